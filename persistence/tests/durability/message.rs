//! A batch as a message of a journal that is kept elsewhere: what was put in comes out, and nothing else passes for it.

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::{
    Batch, Record, StoreId,
    journal::{BatchRefusal, Message, MessageDamage, MessageFormat},
};

use crate::samples::{STORE, cart_id, every_event, received, shards};

fn format() -> MessageFormat {
    MessageFormat::new(STORE, shards(), 8 << 10, 16 << 10)
}

fn batch(shard: u16, first_seq: u64, records: Vec<Record>) -> Batch {
    Batch { shard: ShardId(shard), first_seq, records }
}

#[test]
fn every_event_comes_out_of_a_message_as_it_went_in() {
    let records: Vec<_> = every_event().into_iter().map(|(_, record)| record).collect();
    let bytes = format().encode(&batch(2, 7, records.clone()), 3).unwrap();
    let message = format().read(ShardId(2), &bytes).unwrap();
    assert_eq!((message.epoch, message.first_seq, message.boot), (3, 7, None));
    assert_eq!(message.next_seq(), 7 + records.len() as u64);
    let read: Vec<_> = message.records().map(|(seq, record)| (seq, record.unwrap())).collect();
    assert_eq!(read, (7..).zip(records).collect::<Vec<_>>());
}

#[test]
fn batches_that_join_are_the_message_of_all_their_records_and_what_does_not_follow_stays_apart() {
    let records = |range: std::ops::Range<u64>| range.map(received).collect::<Vec<_>>();
    let encode = |shard, first_seq, records| format().encode_records(&batch(shard, first_seq, records)).unwrap();
    let mut joined = encode(1, 5, records(1..3));
    let limit = joined.size() * 10;
    for (apart, limit) in [
        (encode(1, 8, records(3..6)), limit),
        (encode(1, 6, records(3..6)), limit),
        (encode(2, 7, records(3..6)), limit),
        (encode(1, 7, records(3..6)), joined.size()),
    ] {
        assert_eq!(joined.join(apart.clone(), limit), Err(apart));
    }
    assert_eq!(joined.join(encode(1, 7, records(3..6)), limit), Ok(()));
    assert_eq!(joined.count(), 5);
    assert_eq!(format().seal(joined, 4), format().encode(&batch(1, 5, records(1..6)), 4).unwrap());
}

#[test]
fn the_beginning_of_an_epoch_says_who_began_it_and_where_the_sequence_goes_on() {
    let bytes = format().encode_epoch(ShardId(1), 9, [5; 16], 42);
    let message: Message<'_> = format().read(ShardId(1), &bytes).unwrap();
    assert_eq!((message.epoch, message.first_seq, message.next_seq(), message.boot), (9, 42, 42, Some([5; 16])));
    assert_eq!(message.records().count(), 0);
}

#[test]
fn a_message_of_another_store_or_shard_is_refused() {
    let bytes = format().encode(&batch(1, 1, vec![received(1)]), 1).unwrap();
    let epoch = format().encode_epoch(ShardId(1), 1, [5; 16], 1);
    for bytes in [bytes, epoch] {
        let other = MessageFormat::new(StoreId::from_bytes([9; 16]), shards(), 8 << 10, 16 << 10);
        assert!(matches!(other.read(ShardId(1), &bytes), Err(MessageDamage::Frame(_))));
        assert!(matches!(format().read(ShardId(2), &bytes), Err(MessageDamage::Shard { found: ShardId(1) })));
    }
}

#[test]
fn a_flipped_bit_a_missing_byte_or_one_too_many_is_noticed() {
    let bytes = format().encode(&batch(1, 1, vec![received(1), received(2)]), 1).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(format().read(ShardId(1), &flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(format().read(ShardId(1), &bytes[..len]).is_err(), "{len} bytes");
    }
    assert!(format().read(ShardId(1), &[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_batch_that_cannot_be_a_message_is_refused_whole() {
    let unknown = format().encode(&batch(4, 1, vec![received(1)]), 1);
    assert!(matches!(unknown, Err(BatchRefusal::UnknownShard { shards: 4 })));
    let large = format().encode(&batch(1, 1, (1..=400).map(received).collect()), 1);
    assert!(matches!(large, Err(BatchRefusal::BatchTooLarge { limit: 0x4000, .. })));
    let mixed = Record { entity: EntityId::Cart(cart_id()), ..received(1) };
    assert!(matches!(format().encode(&batch(1, 1, vec![mixed]), 1), Err(BatchRefusal::KindMismatch { .. })));
}
