//! Doing it again changes nothing.

use crate::{
    agreement::assert_agrees,
    harness::{SERVER, dump, journal, project, query, schema, small},
    world::World,
};

const SHARDS: u16 = 4;

#[test]
fn a_replay_over_rows_that_are_there_changes_nothing() {
    let (journal, _folder) = journal(SHARDS);
    let mut world = World::new(7, SHARDS);
    world.run(1_500, &*journal);
    let schema = schema();
    let url = SERVER.url();
    project(&journal, &url, &schema, SHARDS, small(97, 50));
    let first = dump(&schema);
    assert!(first.iter().filter(|(_, rows)| rows.is_empty()).all(|(table, _)| *table == "addresses"), "{first:?}");
    // From the beginning again, in other batches.
    query(&schema, "UPDATE projection_watermarks SET seq = 0");
    project(&journal, &url, &schema, SHARDS, small(13, 20));
    assert_eq!(dump(&schema), first);
    // From somewhere in the middle, with half of the snapshots gone back.
    query(&schema, "UPDATE projection_watermarks SET seq = seq / 2");
    project(&journal, &url, &schema, SHARDS, small(1_000, 10_000));
    assert_eq!(dump(&schema), first);
    assert_agrees(&world, &schema);
}

#[test]
fn where_batches_end_does_not_show_in_the_tables() {
    let (journal, _folder) = journal(SHARDS);
    let mut world = World::new(8, SHARDS);
    let url = SERVER.url();
    let (whole, pieces, grown) = (schema(), schema(), schema());
    for _ in 0..4 {
        world.run(200, &*journal);
        project(&journal, &url, &grown, SHARDS, small(31, 5));
    }
    project(&journal, &url, &whole, SHARDS, small(100_000, 100_000));
    project(&journal, &url, &pieces, SHARDS, small(1, 1));
    assert_eq!(dump(&whole), dump(&pieces));
    assert_eq!(dump(&whole), dump(&grown));
}

#[test]
fn every_column_of_every_table_has_a_comment() {
    let (journal, _folder) = journal(1);
    let schema = schema();
    project(&journal, &SERVER.url(), &schema, 1, small(1, 1));
    let silent = format!(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 \
         WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'refinery%' \
         AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    );
    assert_eq!(query(&schema, &silent), "");
}
