//! Servers that would not keep the promise are refused at start, each with its reason.

use std::{io::Write as _, net::TcpListener, sync::atomic::Ordering, thread};

use holdfast_cluster::{JetStream, NatsError, NatsSettings};
use holdfast_cluster_tests::{STORE, append, open, open_as, replay, settings, shards};
use holdfast_persistence::{StoreId, journal::JournalOptions};
use holdfast_servers::{Nats, NatsOptions, NatsProxy};

fn start(options: &NatsOptions) -> Nats {
    Nats::start(options).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn a_server_that_acknowledges_before_it_syncs_is_refused_where_it_can_be_seen() {
    let nats = start(&NatsOptions { sync_always: false, ..NatsOptions::default() });
    let seen = NatsSettings { monitors: nats.monitors(), ..settings(&nats.url(), 1) };
    let error = open(&seen, shards(1).unwrap()).unwrap_err();
    assert!(matches!(&error, NatsError::NotDurable { found, .. } if found == "120s"), "{error}");
    let durable = start(&NatsOptions::default());
    let seen = NatsSettings { monitors: durable.monitors(), ..settings(&durable.url(), 1) };
    open(&seen, shards(1).unwrap()).unwrap();
}

#[test]
fn servers_without_streams_or_with_too_small_messages_are_refused() {
    let nats = start(&NatsOptions { jetstream: false, ..NatsOptions::default() });
    let error = open(&settings(&nats.url(), 1), shards(1).unwrap()).unwrap_err();
    assert!(matches!(error, NatsError::NoJetStream), "{error}");
    let nats = start(&NatsOptions { max_payload: 1 << 20, ..NatsOptions::default() });
    let error = open(&settings(&nats.url(), 1), shards(1).unwrap()).unwrap_err();
    assert!(matches!(error, NatsError::Payload { found: 0x10_0000, .. }), "{error}");
}

#[test]
fn fewer_replicas_than_configured_are_refused() {
    let nats = start(&NatsOptions::default());
    let hasty = NatsSettings { start_deadline_ms: 2_000, ..settings(&nats.url(), 3) };
    let error = open(&hasty, shards(1).unwrap()).unwrap_err();
    assert!(matches!(error, NatsError::Request { .. }) && error.to_string().contains("replicas"), "{error}");
    drop(open(&settings(&nats.url(), 1), shards(1).unwrap()).unwrap());
    let error = open(&hasty, shards(1).unwrap()).unwrap_err();
    assert!(matches!(&error, NatsError::Stream { problem, .. } if problem.contains("1 replicas")), "{error}");
}

#[test]
fn another_store_or_another_number_of_shards_is_refused() {
    let nats = start(&NatsOptions::default());
    let settings = settings(&nats.url(), 1);
    drop(open(&settings, shards(2).unwrap()).unwrap());
    let error = open_as(&settings, shards(2).unwrap(), StoreId::from_bytes([9; 16])).unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    let error = open(&settings, shards(1).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the settings say 1"), "{error}");
    let elsewhere = NatsSettings { deployment: "other".to_owned(), ..settings };
    drop(open_as(&elsewhere, shards(1).unwrap(), StoreId::from_bytes([9; 16])).unwrap());
    assert_ne!(STORE, StoreId::from_bytes([9; 16]));
}

#[test]
fn streams_that_a_server_shows_only_later_are_waited_for_and_never_begun_anew() {
    let nats = start(&NatsOptions::default());
    let proxy = NatsProxy::start(nats.client_port(0)).unwrap();
    let (through, count) = (settings(&proxy.url(), 1), shards(3).unwrap());
    let journal = open(&through, count).unwrap();
    append(&*journal, 2, 5, 1).unwrap().unwrap();
    drop(journal);
    // Up to more than the streams are asked for: the last ones meet a node that believes it is the first.
    for unfound in [1, 2, 3, 4, 7, 12] {
        proxy.mischief.unfound.store(unfound, Ordering::Relaxed);
        let options = JournalOptions::default();
        let servers = JetStream::connect(&through, &options).unwrap();
        assert_eq!(
            servers.store_or_begin(count, StoreId::from_bytes([9; 16])).unwrap(),
            STORE,
            "{unfound} times not found"
        );
        proxy.mischief.unfound.store(unfound, Ordering::Relaxed);
        let (journal, _) = servers.open(STORE, count, &options).unwrap();
        assert_eq!(replay(&*journal, count, 1).unwrap()[&2].len(), 5, "{unfound} times not found");
    }
}

#[test]
fn a_stream_that_is_gone_is_missed_and_not_made_again() {
    let nats = start(&NatsOptions::default());
    let (settings, count) = (settings(&nats.url(), 1), shards(3).unwrap());
    let journal = open(&settings, count).unwrap();
    let gone = [2, 0];
    for shard in gone {
        let request = journal
            .requests()
            .client
            .request(format!("$JS.API.STREAM.DELETE.HOLDFAST_{}_{shard}", settings.deployment), "".into());
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(request).unwrap();
    }
    drop(journal);
    let hasty = NatsSettings { start_deadline_ms: 2_000, ..settings };
    let error = open(&hasty, count).unwrap_err();
    assert!(matches!(&error, NatsError::StreamLost { stream } if stream.ends_with("_2")), "{error}");
}

#[test]
fn a_server_before_2_11_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let info = r#"INFO {"server_id":"x","server_name":"old","version":"2.10.29","proto":1,"go":"go1","host":"x","port":1,"headers":true,"max_payload":8388608,"jetstream":true}"#;
        for mut client in listener.incoming().flatten() {
            // The client's own greeting ends with a ping.
            let _ = client.write_all(format!("{info}\r\nPONG\r\n").as_bytes());
            thread::spawn(move || std::io::copy(&mut client, &mut std::io::sink()));
        }
    });
    let error = open(&settings(&url, 1), shards(1).unwrap()).unwrap_err();
    assert!(matches!(&error, NatsError::TooOld { found, .. } if found == "2.10.29"), "{error}");
}
