//! Records: the bytes as one record, and as the records of a frame.
//!
//! Must hold: what is decoded is encoded and decoded to the same again.

use holdfast_persistence::journal::probe::{decode_record, encode_record, split_records};

/// Bytes of the length in front of a record.
const LENGTH: usize = 4;

pub(crate) fn run(bytes: &[u8]) {
    check(bytes);
    split_records(bytes).flatten().for_each(check);
}

fn check(bytes: &[u8]) {
    let Ok((shard, seq, record)) = decode_record(bytes) else { return };
    let Ok(encoded) = encode_record(shard, seq, &record) else {
        // The one record that decodes and is never written: an event of another kind than its entity.
        panic!("{record:?} was decoded, and cannot be encoded");
    };
    let again = decode_record(&encoded[LENGTH..]);
    assert!(
        again.as_ref().is_ok_and(|again| *again == (shard, seq, record.clone())),
        "{record:?} was decoded, and {again:?} after it was encoded"
    );
}
