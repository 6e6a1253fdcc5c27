-- What happened to large entities since their snapshot (ADR 0025).
--
-- The stock of a hot SKU is megabytes of promises, and every batch of the projection touches it. Written whole each time it
-- would be most of what is written. So its events are kept here, behind its snapshot, until they are as long as that.

CREATE TABLE entity_changes (
    shard      int2 NOT NULL,
    kind       int2 NOT NULL CHECK (kind BETWEEN 1 AND 4),
    entity     bytea NOT NULL,
    first      int8 NOT NULL,
    version    int8 NOT NULL CHECK (version >= first),
    events     bytea NOT NULL,
    PRIMARY KEY (shard, kind, entity, first)
);
-- Events do not compress well.
ALTER TABLE entity_changes ALTER COLUMN events SET STORAGE EXTERNAL;
COMMENT ON TABLE entity_changes IS 'Events of large entities since their row in entity_snapshots, which together are the state as of the watermarks.';
COMMENT ON COLUMN entity_changes.shard IS 'The shard the entity lives in.';
COMMENT ON COLUMN entity_changes.kind IS '1 stock, 2 product, 3 cart, 4 order.';
COMMENT ON COLUMN entity_changes.entity IS 'The entity id: the text of a SKU, or 16 bytes, little-endian.';
COMMENT ON COLUMN entity_changes.first IS 'The version the first of the events led to.';
COMMENT ON COLUMN entity_changes.version IS 'The version the last of the events led to.';
COMMENT ON COLUMN entity_changes.events IS 'codec | schema version | kind | first | (event type | length | payload) of each | crc32c.';

-- Which record the tables end with: a journal that has another one there is an older copy that was sold from.
ALTER TABLE store ADD COLUMN last_shard int2, ADD COLUMN last_seq int8,
    ADD COLUMN last_record bytea CHECK (octet_length(last_record) = 16);
COMMENT ON COLUMN store.last_shard IS 'Whose record was projected last; none before the first.';
COMMENT ON COLUMN store.last_seq IS 'Its sequence number.';
COMMENT ON COLUMN store.last_record IS 'Its fingerprint, in which a journal that went another way differs.';
