//! The bytes on disk, pinned. A change here means a shipped type changed: freeze the old one under its version and write an
//! upcaster instead (see `codec`). A golden file that is missing is written, and the test fails once so that it is looked at.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use holdfast_core::ShardId;
use holdfast_persistence::{Journal, Record, decode_snapshot, encode_snapshot};

use crate::{
    memory_disk::MemoryDisk,
    samples::{append, every_event, open, received, replay},
    snapshots::states,
};

const SEGMENT: &str = "segment-0000000001.journal";
/// Where the first frame begins with four shards.
const HEADER: usize = 128;
/// Bytes of a frame in front of its records.
const FRAME: usize = 28;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// Compares named bytes with the golden file `name`: one `what bytes` per line.
fn check(name: &str, entries: &BTreeMap<String, Vec<u8>>) {
    let text = entries.iter().fold(String::new(), |mut text, (what, bytes)| {
        writeln!(text, "{what} {}", hex(bytes)).unwrap();
        text
    });
    let path = golden(name);
    let Ok(pinned) = fs::read_to_string(&path) else {
        fs::write(&path, text).unwrap();
        panic!("{} was missing and is written now: look at it and run again", path.display());
    };
    for (pinned, now) in pinned.lines().zip(text.lines()) {
        assert_eq!(now, pinned, "an encoding changed (see the top of this file)");
    }
    assert_eq!(pinned.lines().count(), text.lines().count(), "{name} has another number of entries");
}

/// A segment with one record per frame, and each frame's bytes.
fn frames(records: &[Record]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    for record in records {
        append(&journal, 1, vec![record.clone()]).unwrap();
    }
    let bytes = disk.get(SEGMENT);
    let mut rest = &bytes[HEADER..];
    let mut frames = Vec::new();
    for _ in records {
        let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize + 8;
        frames.push(rest[..len].to_vec());
        rest = &rest[len..];
    }
    (bytes[..HEADER].to_vec(), frames)
}

#[test]
fn every_events_record_has_the_bytes_it_always_had() {
    let events = every_event();
    let records: Vec<_> = events.iter().map(|(_, record)| record.clone()).collect();
    let (_, frames) = frames(&records);
    let entries = events.into_iter().zip(frames).map(|((name, _), frame)| (name, frame[FRAME..].to_vec())).collect();
    check("records.hex", &entries);
}

#[test]
fn a_frame_and_a_segment_header_have_the_bytes_they_always_had() {
    let (header, frames) = frames(&[received(1)]);
    let entries = [("segment_header", header), ("frame", frames[0].clone())];
    check("segment.hex", &entries.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect());
}

#[test]
fn every_kind_of_snapshot_has_the_bytes_it_always_had() {
    let entries = states().into_iter().map(|state| {
        let encoded = encode_snapshot(&state.as_ref()).unwrap();
        (format!("{:?}", encoded.entity.kind()).to_lowercase(), encoded.bytes)
    });
    check("snapshots.hex", &entries.collect());
}

#[test]
fn a_journal_written_by_version_1_still_replays() {
    let path = golden("journal.hex");
    let records: Vec<Record> = every_event().into_iter().map(|(_, record)| record).collect();
    if !path.exists() {
        let (header, frames) = frames(&records);
        fs::write(&path, hex(&[header, frames.concat()].concat()) + "\n").unwrap();
        panic!("{} was missing and is written now: look at it and run again", path.display());
    }
    let disk = MemoryDisk::new();
    disk.put(SEGMENT, unhex(fs::read_to_string(path).unwrap().trim()));
    let (journal, torn) = open(&disk).unwrap();
    assert_eq!(torn, None);
    let expected = (1..).zip(records).collect();
    assert_eq!(replay(&journal), BTreeMap::from([(1, expected)]));
    assert_eq!(journal.writable(ShardId(0)), Ok(()));
}

#[test]
fn snapshots_written_by_version_1_still_decode() {
    let pinned = fs::read_to_string(golden("snapshots.hex")).unwrap();
    for state in states() {
        let kind = format!("{:?}", state.id().kind()).to_lowercase();
        let line = pinned.lines().find_map(|line| line.strip_prefix(&format!("{kind} "))).unwrap();
        assert_eq!(decode_snapshot(&state.id(), &unhex(line)).unwrap(), (state.version(), state));
    }
}
