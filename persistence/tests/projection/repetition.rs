//! Doing it again changes nothing.

use holdfast_persistence::postgres::projection::ProjectionSettings;

use crate::{
    agreement::{assert_agrees, assert_states_agree, assert_sums},
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
    project(&journal, &url, &schema, SHARDS, ProjectionSettings { whole_bytes: 0, ..small(13, 20) });
    assert_eq!(dump(&schema), first);
    // From somewhere in the middle, with half of the snapshots gone back.
    query(&schema, "UPDATE projection_watermarks SET seq = seq / 2");
    project(&journal, &url, &schema, SHARDS, small(1_000, 10_000));
    assert_eq!(dump(&schema), first);
    assert_states_agree(&world, &schema);
    assert_sums(&schema);
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
    project(&journal, &url, &pieces, SHARDS, ProjectionSettings { whole_bytes: 0, ..small(1, 1) });
    assert_eq!(dump(&whole), dump(&pieces));
    assert_eq!(dump(&whole), dump(&grown));
}

#[test]
fn a_large_state_is_not_written_by_every_batch_and_its_events_are_forgotten_with_the_next_snapshot() {
    let (journal, _folder) = journal(1);
    let mut world = World::new(9, 1);
    world.run(600, &*journal);
    let schema = schema();
    let rewritten = "SELECT n_tup_upd + n_tup_ins FROM pg_stat_user_tables WHERE relname = 'entity_snapshots'";
    let writes = |whole_bytes| {
        let schema = self::schema();
        project(&journal, &SERVER.url(), &schema, 1, ProjectionSettings { whole_bytes, ..small(20, 1_000) });
        let counted = format!("SELECT pg_sleep(1.1); {rewritten} AND schemaname = '{schema}'");
        let changes = query(&schema, "SELECT count(*) FROM entity_changes").parse::<u64>().unwrap();
        (query(&schema, &counted).lines().last().unwrap().parse::<u64>().unwrap(), changes)
    };
    let ((whole, none), (parted, some)) = (writes(1 << 20), writes(0));
    assert!(parted < whole && none == 0 && some > 0, "{parted} of {whole} writes, {some} stretches of events");
    project(&journal, &SERVER.url(), &schema, 1, ProjectionSettings { whole_bytes: 0, ..small(20, 1_000) });
    // Whoever writes states whole forgets what was kept behind them.
    world.run(600, &*journal);
    project(&journal, &SERVER.url(), &schema, 1, ProjectionSettings { whole_bytes: 1 << 20, ..small(20, 1_000) });
    let left = "SELECT count(*) FROM entity_changes AS c JOIN entity_snapshots AS s USING (shard, kind, entity) \
         WHERE c.version <= s.version";
    assert_eq!(query(&schema, left), "0");
    assert_agrees(&world, &schema);
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
