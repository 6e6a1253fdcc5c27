//! What nodes tell one another besides records: last messages that are kept, and a change that only one of two can make.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt as _;
use holdfast_cluster::{
    NatsError,
    jetstream::{Appended, RequestError, control::LastOfEach},
};
use holdfast_cluster_tests::{PATIENCE, nodes::Node, settings, shards};
use holdfast_servers::{Nats, NatsOptions};

fn stream(in_memory: bool) -> LastOfEach {
    LastOfEach {
        name: "HOLDFAST_holdfast_SMALL".to_owned(),
        subjects: vec!["holdfast.holdfast.small.*".to_owned()],
        kept: 2,
        in_memory,
        replicas: 1,
        metadata: BTreeMap::from([("holdfast.store".to_owned(), "5".to_owned())]),
    }
}

#[tokio::test]
async fn the_last_message_of_a_subject_is_kept_and_only_one_of_two_changes_it() {
    let (nats, node) = one_node().await;
    let requests = node.journal.requests();
    requests.keep(&stream(false), PATIENCE).await.unwrap();
    requests.keep(&stream(false), PATIENCE).await.unwrap();
    let mut heard = requests.subscribe("holdfast.holdfast.small.>").await.unwrap();
    let (subject, limit) = ("holdfast.holdfast.small.plan", Duration::from_secs(10));
    assert!(requests.last("HOLDFAST_holdfast_SMALL", subject).await.unwrap().is_none());
    assert_eq!(requests.append(subject, 0, "one".into()).await, Appended::At(1));
    assert_eq!(requests.append(subject, 0, "another".into()).await, Appended::WrongLast(Some(1)));
    assert_eq!(requests.append(subject, 1, "two".into()).await, Appended::At(2));
    assert_eq!(requests.publish("holdfast.holdfast.small.n1", "beat".into(), limit).await, Ok(3));
    let last = requests.last("HOLDFAST_holdfast_SMALL", subject).await.unwrap().unwrap();
    assert_eq!((last.sequence, &*last.payload), (2, &b"two"[..]));
    let first = heard.next().await.unwrap();
    assert_eq!(&*first.payload, b"one");
    drop(nats);
}

#[tokio::test]
async fn the_messages_before_the_last_are_its_history_and_the_oldest_make_room() {
    let (nats, node) = one_node().await;
    let requests = node.journal.requests();
    requests.keep(&stream(false), PATIENCE).await.unwrap();
    let subject = "holdfast.holdfast.small.plan";
    for (after, said) in [(0, "one"), (1, "two"), (2, "three")] {
        assert_eq!(requests.append(subject, after, said.into()).await, Appended::At(after + 1));
    }
    let last = requests.last("HOLDFAST_holdfast_SMALL", subject).await.unwrap().unwrap();
    assert_eq!((last.sequence, &*last.payload), (3, &b"three"[..]));
    let before = requests.message("HOLDFAST_holdfast_SMALL", 2).await.unwrap().unwrap();
    assert_eq!((before.sequence, &*before.payload), (2, &b"two"[..]));
    // A direct read of what is gone answers with what comes after it, or with nothing.
    let gone = requests.message("HOLDFAST_holdfast_SMALL", 1).await.unwrap();
    assert!(gone.is_none_or(|stored| stored.sequence != 1), "two are kept");
    let error = requests.keep(&LastOfEach { kept: 5, ..stream(false) }, PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("--max-msgs-per-subject 5"), "{error}");
    drop(nats);
}

#[tokio::test]
async fn a_stream_of_another_store_or_kind_is_refused_and_none_is_told_apart() {
    let (nats, node) = one_node().await;
    let requests = node.journal.requests();
    requests.keep(&stream(false), PATIENCE).await.unwrap();
    let error = requests.keep(&stream(true), PATIENCE).await.unwrap_err();
    assert!(matches!(&error, NatsError::Stream { problem, .. } if problem.contains("memory")), "{error}");
    let metadata = BTreeMap::from([("holdfast.store".to_owned(), "6".to_owned())]);
    let error = requests.keep(&LastOfEach { metadata, ..stream(false) }, PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
    let nobody = requests.publish("holdfast.holdfast.nobody", "x".into(), Duration::from_secs(10)).await;
    assert_eq!(nobody, Err(RequestError::NoResponders));
    drop(nats);
}

/// Joining waits, and so does whoever drops a node: not on a thread that drives tasks.
async fn one_node() -> (Nats, std::mem::ManuallyDrop<Node>) {
    let started = tokio::task::spawn_blocking(|| {
        let nats = Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() }).unwrap();
        let node = Node::join(&settings(&nats.url(), 1), shards(1).unwrap(), 1).unwrap();
        (nats, std::mem::ManuallyDrop::new(node))
    });
    started.await.unwrap()
}
