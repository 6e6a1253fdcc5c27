-- How many entities entity_changes has, for the planner.
--
-- In a flash sale nearly all of its rows are of one hot SKU. Sampled statistics then say that there is one entity, of which any
-- look-up finds them all, so that each of a million snapshots is read beside all rows of the table instead of by its key. Two rows are
-- what a look-up finds, but for the hot ones.

ALTER TABLE entity_changes ALTER COLUMN entity SET (n_distinct = -0.5);
ANALYZE entity_changes;
