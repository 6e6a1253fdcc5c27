//! Damage anywhere but in the unacknowledged tail: refused, with its place, and nothing is changed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use holdfast_persistence::{JournalError, journal::Damage};

use crate::{
    append::wait_for_spare,
    memory_disk::MemoryDisk,
    samples::{append, open, received, replay},
};

const FIRST: &str = "segment-0000000001.journal";
const SECOND: &str = "segment-0000000002.journal";
/// Where the first frame begins with four shards.
const HEADER: usize = 128;

fn ten_batches() -> (MemoryDisk, Vec<usize>) {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let mut ends = Vec::new();
    for n in 1..=10 {
        append(&journal, 0, vec![received(n)]).unwrap();
        ends.push(disk.get(FIRST).iter().rposition(|byte| *byte != 0).unwrap() + 1);
    }
    wait_for_spare(&disk);
    drop(journal);
    (disk, ends)
}

fn three_segments() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    for batch in 0..150 {
        append(&journal, 0, (1..=16).map(|n| received(batch * 16 + n)).collect()).unwrap();
    }
    drop(journal);
    assert!(disk.names().len() >= 3, "{:?}", disk.names());
    disk
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused_and_named_wherever_it_is() {
    let (disk, ends) = ten_batches();
    let whole = disk.get(FIRST);
    let last_frame_begins = ends[8];
    let mut flips = 0;
    for byte in (0..last_frame_begins).filter(|byte| *byte < HEADER - 44 || *byte >= HEADER) {
        let damaged = disk.copy();
        let mut bytes = whole.clone();
        bytes[byte] ^= 1 << (byte % 8);
        damaged.put(FIRST, bytes.clone());
        let error = open(&damaged).expect_err(&format!("a flip at {byte} went unnoticed"));
        let text = error.to_string();
        assert!(text.contains(FIRST), "{text}");
        if let JournalError::Damaged { offset, .. } = error {
            let frame_begins = ends.iter().rev().copied().find(|end| *end <= byte).unwrap_or(HEADER);
            let expected = if byte < HEADER { 0 } else { frame_begins as u64 };
            // A frame that ends in zero bytes is followed by one that seems to begin early.
            assert!(offset.abs_diff(expected) <= 8, "flip at {byte}: {text}");
        } else {
            assert!((8..12).contains(&byte), "flip at {byte}: {text}");
        }
        assert_eq!(damaged.get(FIRST), bytes, "a damaged file was changed");
        flips += 1;
    }
    println!("{flips} flips, all refused");
}

#[test]
fn a_missing_middle_frame_is_damage_and_not_the_end() {
    let (disk, ends) = ten_batches();
    let mut bytes = disk.get(FIRST);
    bytes[ends[3]..ends[5]].fill(0);
    disk.put(FIRST, bytes);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { what: Damage::Frame { .. }, .. }), "{error}");
}

#[test]
fn a_repeated_or_removed_frame_is_a_gap() {
    let (disk, ends) = ten_batches();
    let whole = disk.get(FIRST);
    let without_third = [&whole[..ends[1]], &whole[ends[2]..]].concat();
    disk.put(FIRST, without_third);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { what: Damage::Gap { expected: 3, found: 4 }, .. }), "{error}");
    let third_twice = [&whole[..ends[2]], &whole[ends[1]..]].concat();
    disk.put(FIRST, third_twice);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { what: Damage::Gap { expected: 4, found: 3 }, .. }), "{error}");
}

#[test]
fn a_missing_segment_is_named() {
    let disk = three_segments();
    let without = MemoryDisk::new();
    for name in disk.names().into_iter().filter(|name| name != SECOND) {
        without.put(&name, disk.get(&name));
    }
    let error = open(&without).unwrap_err();
    assert!(matches!(error, JournalError::MissingSegment { .. }), "{error}");
    assert!(error.to_string().contains(SECOND), "{error}");
}

#[test]
fn the_end_of_a_segment_that_others_follow_is_not_a_torn_tail() {
    let disk = three_segments();
    let whole = disk.get(FIRST);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for (name, cut) in [("shortened", end - 30), ("emptied", HEADER)] {
        let damaged = disk.copy();
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        damaged.put(FIRST, bytes);
        let error = open(&damaged).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{name}: {error}");
        assert!(error.to_string().contains(FIRST), "{name}: {error}");
    }
}

#[test]
fn a_segment_shorter_than_its_header_is_damage() {
    let (disk, _) = ten_batches();
    for cut in [0, 1, HEADER / 2, HEADER] {
        let damaged = disk.copy();
        damaged.put(SECOND, disk.get(SECOND)[..cut].to_vec());
        let error = open(&damaged).unwrap_err();
        assert!(error.to_string().contains(SECOND), "{error}");
    }
}

#[test]
fn random_bytes_in_place_of_a_segment_never_panic() {
    let (disk, _) = ten_batches();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..300 {
        let damaged = disk.copy();
        let mut bytes = disk.get(FIRST);
        let len = bytes.len() as u64;
        for _ in 0..=round % 20 {
            let at = usize::try_from(random() % if round % 2 == 0 { 2_000 } else { len }).unwrap();
            bytes[at] = random().to_le_bytes()[0];
        }
        damaged.put(FIRST, bytes);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if let Ok((journal, _)) = open(&damaged) {
                replay(&journal);
            }
        }));
        assert!(outcome.is_ok(), "round {round}");
    }
}
