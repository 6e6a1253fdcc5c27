//! What wakes a shard, what waits, and what whoever asks a closed one is told.

use super::*;

/// A message that waits, as far as waking the shard is concerned.
fn something_waits(mailbox: &Mailbox) -> bool {
    mailbox.wake_for(1);
    mailbox.is_woken()
}

#[test]
fn what_arrives_during_a_commit_waits_for_its_end() {
    let mailbox = Mailbox::new(ShardId(0), &RuntimeSettings::default(), Lease::perpetual());
    mailbox.open_stepped();
    mailbox.take(&mut Vec::new());
    mailbox.begin_commit();
    assert!(!something_waits(&mailbox));
    mailbox.end_commit();
    assert!(something_waits(&mailbox));
}

#[test]
fn how_much_gathers_follows_from_the_requests_of_all_shards_of_the_node() {
    let shards = [ShardId(0), ShardId(1)].into_iter();
    let mailboxes = Mailbox::of_node(shards, &RuntimeSettings::default(), &Lease::perpetual());
    mailboxes.iter().for_each(|mailbox| mailbox.open_stepped());
    let (busy, other) = (&mailboxes[0], &mailboxes[1]);
    busy.take(&mut Vec::new());
    busy.begin_commit();
    let sku = holdfast_core::SkuId::parse("SNEAKER").expect("a SKU");
    let ask = || other.request(Request::ReadProduct(sku.clone()), None).expect("it is open");
    let asked: Vec<_> = (0..12).map(|_| ask()).collect();
    busy.wake_for(2);
    assert!(!busy.is_woken(), "a quarter of twelve is three");
    other.take(&mut Vec::new());
    drop(asked);
    busy.wake_for(2);
    assert!(busy.is_woken(), "the twelve were answered");
}

#[test]
fn a_commit_that_died_with_its_shard_holds_up_nothing_of_the_next() {
    let mailbox = Mailbox::new(ShardId(0), &RuntimeSettings::default(), Lease::perpetual());
    mailbox.open_stepped();
    mailbox.begin_commit();
    mailbox.close_for_recovery();
    mailbox.open_stepped();
    mailbox.take(&mut Vec::new());
    assert!(something_waits(&mailbox));
}

#[test]
fn a_request_that_was_taken_in_is_not_told_that_nothing_was_done() {
    let mailbox = Mailbox::new(ShardId(0), &RuntimeSettings::default(), Lease::perpetual());
    mailbox.open_stepped();
    mailbox.drain();
    let refused = mailbox.refusal().map(|error| error == mailbox.unavailable(Unavailable::Draining));
    assert_eq!(refused, Some(true), "one that comes now was not taken in");
    assert_eq!(mailbox.lost(), mailbox.unavailable(Unavailable::Unknown));
    mailbox.fail();
    assert_eq!(mailbox.lost(), mailbox.unavailable(Unavailable::StorageFailed));
    assert_eq!(mailbox.refusal(), Some(mailbox.unavailable(Unavailable::Leaving)), "nor one that comes after it");
}
