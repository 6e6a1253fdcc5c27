//! Bytes that no node sends.

use holdfast_actors::message::{Message, Request};
use holdfast_cluster::wire::{Answer, Header, Kind, framed};
use holdfast_core::{ShardId, Timestamp};

use crate::house::{Member, deal, nats, sku_in};

/// A few hundred things that are nearly a request or a message: cut short, too long, of another version or kind, with every
/// byte changed in turn.
fn garbage(whole: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    all.push([whole, &[0]].concat());
    all.push([whole, &[0xff; 4_096]].concat());
    for place in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = whole.to_vec();
            changed[place] ^= change;
            all.push(changed);
        }
    }
    // Lists that claim to be longer than anything.
    all.push([&whole[..Header::BYTES], &[7, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_sent_garbage_goes_on_serving() {
    let nats = nats();
    let (first, second) = (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let sku = sku_in(2, 1, 0);
    first.stock(&sku, 5).await;
    let client = async_nats::connect(nats.url()).await.expect("the server answers");
    let header =
        Header { kind: Kind::Ask, shard: ShardId(u16::MAX), epoch: 1, expires_at: Timestamp::MAX, command: 9, hops: 0 };
    let asked = framed(&header, &Request::ReadProduct(sku.clone())).expect("it can be written");
    let hold = holdfast_core::HoldId { order: holdfast_core::OrderId::from_u128(1), line: 0 };
    let told = Message::ReleaseHold { sku: sku.clone(), hold, expires_at: Timestamp::MAX };
    let told = framed(&Header { kind: Kind::Tell, ..header }, &told).expect("it can be written");
    let node = format!("holdfast.test.node.{}", second.boot);
    for bytes in garbage(&asked) {
        let (subject, reply) = (format!("{node}.ask"), client.new_inbox());
        client.publish_with_reply(subject, reply, bytes.into()).await.expect("sent");
    }
    for bytes in garbage(&told) {
        client.publish(format!("{node}.tell"), bytes.into()).await.expect("sent");
    }
    for bytes in [&[][..], &[9], &[1, 2], &[0], &[0, 0xff, 0xff]] {
        let subject = format!("holdfast.test.node.{}.answer.0000000000000000000000000000000f", first.boot);
        client.publish(subject, bytes.to_vec().into()).await.expect("sent");
    }
    client.flush().await.expect("sent");
    let other_version = client.request(format!("{node}.ask"), vec![1, 1, 0, 0].into()).await.expect("answered");
    let answer = Answer::from_bytes(&other_version.payload).expect("an answer");
    assert!(matches!(answer, Answer::Version), "{answer:?}");
    let seen = first.commerce().product(&sku).await.expect("it still serves");
    assert_eq!(seen.stock.level.available(), 5);
}
