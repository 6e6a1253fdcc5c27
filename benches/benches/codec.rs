//! How long does a record take to bytes and back, and how many bytes is it, beside postcard and JSON of the same content?

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use holdfast_benches::sample::records;
use holdfast_core::{EntityId, Event, ShardId, Timestamp};
use holdfast_persistence::{
    Record,
    journal::probe::{decode_record, encode_record},
};
use serde::Serialize;

/// What a record says, as a plain value: the peers get no less and no more.
type Content = (u16, u64, EntityId, u64, Timestamp, Event);

const SHARD: ShardId = ShardId(3);
const SEQUENCE: u64 = 1_234_567;
/// Ours begins with its length, which a frame needs to be split; the decoder does not see it.
const LENGTH_BYTES: usize = 4;

fn content(record: &Record) -> Content {
    (SHARD.0, SEQUENCE, record.entity.clone(), record.version, record.at, record.event.clone())
}

fn ours(record: &Record) -> Vec<u8> {
    encode_record(SHARD, SEQUENCE, record).unwrap_or_else(|error| panic!("{error}"))
}

fn postcard(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_else(|error| panic!("{error}"))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| panic!("{error}"))
}

fn codec(criterion: &mut Criterion) {
    eprintln!("{:>16} {:>6} {:>9} {:>6}  bytes a record", "", "ours", "postcard", "json");
    for (name, record) in records() {
        let content = content(&record);
        let (own, card, text) = (ours(&record), postcard(&content), json(&content));
        eprintln!("{name:>16} {:>6} {:>9} {:>6}", own.len(), card.len(), text.len());
        let mut group = criterion.benchmark_group(format!("codec/{name}"));
        group.bench_function("encode/ours", |bencher| bencher.iter(|| ours(black_box(&record))));
        group.bench_function("encode/postcard", |bencher| bencher.iter(|| postcard(black_box(&content))));
        group.bench_function("encode/json", |bencher| bencher.iter(|| json(black_box(&content))));
        group.bench_function("decode/ours", |bencher| {
            bencher.iter(|| decode_record(black_box(&own[LENGTH_BYTES..])).unwrap_or_else(|error| panic!("{error}")));
        });
        group.bench_function("decode/postcard", |bencher| {
            let decode = || postcard::from_bytes::<Content>(black_box(&card)).unwrap_or_else(|error| panic!("{error}"));
            bencher.iter(decode);
        });
        group.bench_function("decode/json", |bencher| {
            let decode =
                || serde_json::from_slice::<Content>(black_box(&text)).unwrap_or_else(|error| panic!("{error}"));
            bencher.iter(decode);
        });
        group.finish();
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
