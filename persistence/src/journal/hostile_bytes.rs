//! Bytes that nobody wrote: whatever a disk gives back, reading it is a value or an error.

use holdfast_core::{ShardCount, ShardId};
use proptest::{collection::vec, prelude::*};

use super::{
    frame::{self, HEADER_BYTES, Parsed, Place, Seed},
    record,
    segment::{BadHeader, Header},
};
use crate::store::StoreId;

fn sealed(records: &[u8], generation: u64, first_lsn: u64, count: u32) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(records);
    frame::seal(&mut bytes, Seed::of_store(StoreId::from_bytes([3; 16])), Place { generation, first_lsn, count });
    bytes
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_as_a_frame_or_refused(bytes in vec(any::<u8>(), 0..200), generation: u64) {
        let parsed = frame::parse(&bytes, Seed::of_store(StoreId::from_bytes([3; 16])), generation);
        let is_frame = matches!(parsed, Parsed::Frame { .. });
        prop_assert!(!is_frame);
    }

    #[test]
    fn a_frame_is_parsed_as_it_was_sealed(records in vec(any::<u8>(), 0..300), generation: u64, first_lsn: u64, count: u32) {
        let mut bytes = sealed(&records, generation, first_lsn, count);
        let expected = Parsed::Frame { place: Place { generation, first_lsn, count }, bytes: bytes.len() };
        bytes.extend_from_slice(&[9; 40]);
        prop_assert_eq!(frame::parse(&bytes, Seed::of_store(StoreId::from_bytes([3; 16])), generation), expected);
        prop_assert_ne!(frame::parse(&bytes, Seed::of_store(StoreId::from_bytes([4; 16])), generation), expected, "another store");
        prop_assert_ne!(frame::parse(&bytes, Seed::of_store(StoreId::from_bytes([3; 16])), !generation), expected, "another generation");
    }

    #[test]
    fn one_flipped_bit_is_noticed(records in vec(any::<u8>(), 0..300), bit: prop::sample::Index) {
        let mut bytes = sealed(&records, 7, 1, 1);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let parsed = frame::parse(&bytes, Seed::of_store(StoreId::from_bytes([3; 16])), 7);
        let is_frame = matches!(parsed, Parsed::Frame { .. });
        prop_assert!(!is_frame);
    }

    #[test]
    fn any_bytes_are_split_into_records_without_reading_past_their_end(bytes in vec(any::<u8>(), 0..300)) {
        for record in record::split(&bytes).flatten() {
            let _ = record::address(record);
            if let Some(raw) = record::parse(record) {
                let _ = raw.decode();
            }
        }
    }

    #[test]
    fn a_segment_header_is_read_as_it_was_written(store: [u8; 16], generation: u64, first_lsn: u64, seqs in vec(any::<u64>(), 1..40)) {
        let header = Header { store: StoreId::from_bytes(store), generation, first_lsn, next_seqs: seqs };
        let mut bytes = header.encode();
        prop_assert_eq!(bytes.len() % 64, 0);
        prop_assert_eq!(Header::parse(&bytes), Ok(header));
        bytes[44] ^= 0x40;
        prop_assert_eq!(Header::parse(&bytes), Err(BadHeader::NotIntact));
    }

    #[test]
    fn any_bytes_are_no_segment_header(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Header::parse(&bytes).is_err());
    }
}

#[test]
fn a_spare_says_that_nothing_was_written() {
    let spare = Header::spare(StoreId::from_bytes([1; 16]), 5, ShardCount::new(3).unwrap());
    assert!(spare.is_spare());
    assert_eq!(Header::parse(&spare.encode()), Ok(spare));
    assert_eq!(record::address(&[0; 3]), None);
    assert_eq!(record::address(&[0; 14]), Some((ShardId(0), 0)));
}
