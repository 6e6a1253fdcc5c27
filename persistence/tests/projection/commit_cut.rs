//! The connection is cut at COMMIT, again and again with the outcome unknown each time: every record is in the tables
//! exactly once.

use std::sync::{Arc, atomic::Ordering};

use holdfast_core::ShardCount;
use holdfast_persistence::postgres::projection::Projection;

use crate::{
    agreement::assert_agrees,
    harness::{SERVER, database, dump, journal, project, schema, small, wait_for},
    proxy::{Fate, Proxy},
    world::World,
};

const SHARDS: u16 = 4;

fn fate(commit: u32) -> Fate {
    match commit % 5 {
        0 | 3 => Fate::CutAfter,
        1 => Fate::CutBefore,
        _ => Fate::Passes,
    }
}

#[test]
fn a_connection_cut_at_commit_neither_loses_nor_doubles_anything() {
    let (journal, _folder) = journal(SHARDS);
    let mut world = World::new(17, SHARDS);
    let proxy = Proxy::start(SERVER.port(), fate);
    let url = SERVER.url().replace(&format!(":{}", SERVER.port()), &format!(":{}", proxy.port));
    assert!(url.contains(&proxy.port.to_string()), "{url}");
    let (cut, straight) = (schema(), schema());
    // Made ready without the wire: it is about the projection's own transactions.
    drop(database(&SERVER.url(), &cut, SHARDS));
    let database = database(&url, &cut, SHARDS);
    let count = ShardCount::new(SHARDS).unwrap();
    let projection = Projection::start(Arc::clone(&journal), database, count, small(20, 100)).unwrap();
    // Half of it while it is written, half of it behind.
    for _ in 0..5 {
        world.run(300, &*journal);
    }
    wait_for(&journal, &projection.progress(), count);
    projection.stop();
    let cuts = proxy.cuts.load(Ordering::SeqCst);
    println!("{cuts} connections were cut at COMMIT, {} records", journal.stats().records);
    assert!(cuts >= 50, "{cuts}");
    assert_agrees(&world, &cut);
    project(&journal, &SERVER.url(), &straight, SHARDS, small(1_000, 10_000));
    assert_eq!(dump(&cut), dump(&straight));
}
