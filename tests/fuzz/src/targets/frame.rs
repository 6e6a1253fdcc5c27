//! Frames: bytes as they lie on a disk, and bytes sealed as the journal seals them.
//!
//! Must hold: a frame that is accepted is, byte for byte, the one that sealing its content gives; a sealed frame is
//! accepted, and one with a flipped bit, of another store or another generation is not.

use holdfast_persistence::{
    StoreId,
    journal::probe::{parse_frame, seal_frame},
};

const STORE: StoreId = StoreId::from_bytes(*b"golden store id!");
const OTHER_STORE: StoreId = StoreId::from_bytes(*b"another store id");
/// Bytes of a frame in front of its records.
const HEADER: usize = 28;

pub(crate) fn run(bytes: &[u8]) {
    if let Some(frame) = parse_frame(bytes, STORE, 1) {
        assert_eq!(frame.generation, 1, "a frame of another generation was accepted");
        let whole = &bytes[..frame.bytes];
        let again = seal_frame(&whole[HEADER..], STORE, 1, frame.first_lsn, frame.count);
        assert_eq!(again, whole, "a frame was accepted that is never written");
    }
    let first_lsn = bytes.iter().fold(1_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
    let mut sealed = seal_frame(bytes, STORE, 1, first_lsn, 7);
    let frame = parse_frame(&sealed, STORE, 1);
    assert!(frame.is_some_and(|frame| (frame.first_lsn, frame.count, frame.bytes) == (first_lsn, 7, sealed.len())));
    assert_eq!(parse_frame(&sealed, OTHER_STORE, 1), None, "another store's frame");
    assert_eq!(parse_frame(&sealed, STORE, 2), None, "another generation's frame");
    let bit = usize::try_from(first_lsn % (sealed.len() as u64 * 8)).unwrap_or_default();
    sealed[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(parse_frame(&sealed, STORE, 1), None, "bit {bit} was flipped");
}
