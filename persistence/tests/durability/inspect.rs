//! Looking into a journal from outside.

use std::ops::ControlFlow;

use holdfast_core::ShardId;
use holdfast_persistence::{
    Journal, JournalError, JournalReader,
    journal::{
        JournalOptions, SegmentJournal,
        probe::{parse_frame, seal_frame},
    },
};

use crate::samples::{STORE, append, every_event, received, shards, small};

fn written(dir: &std::path::Path) -> SegmentJournal {
    let (journal, _) = SegmentJournal::open(dir, STORE, shards(), small()).unwrap();
    append(&journal, 2, every_event().into_iter().map(|(_, record)| record).collect()).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    journal
}

#[test]
fn frames_and_records_are_shown_while_the_journal_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let journal = written(dir.path());
    let reader = JournalReader::open(dir.path()).unwrap();
    let mut frames = Vec::new();
    reader
        .frames(&mut |frame| {
            frames.push((frame.offset, frame.first_lsn, frame.records, frame.damage));
            ControlFlow::Continue(())
        })
        .unwrap();
    let events = u32::try_from(every_event().len()).unwrap();
    assert_eq!((frames[0], frames.len()), ((128, 1, events, None), 2));
    let mut records = Vec::new();
    reader
        .records(&mut |record| {
            records.push((record.lsn, record.shard.0, record.seq, record.record.unwrap()));
            if records.len() == every_event().len() + 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(records.last(), Some(&(u64::from(events) + 1, 0, 1, received(1))));
    assert_eq!(journal.next_seq(ShardId(2)), u64::from(events) + 1);
}

#[test]
fn verifying_counts_what_is_intact_and_names_the_first_damage() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path()));
    let reader = JournalReader::open(dir.path()).unwrap();
    let summary = reader.verify().unwrap();
    assert!(summary.damage.is_none() && summary.torn_tail.is_none(), "{summary:?}");
    assert_eq!((summary.frames, summary.records), (2, every_event().len() as u64 + 1));
    let path = reader.segments().unwrap()[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[300] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
    let damage = reader.verify().unwrap().damage.unwrap();
    assert!(matches!(&damage, JournalError::Damaged { offset: 128, .. }), "{damage}");
    assert!(damage.to_string().contains("segment-0000000001.journal is damaged at offset 128"), "{damage}");
}

#[test]
fn a_reader_changes_nothing_and_needs_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    assert!(JournalReader::open(&dir.path().join("nowhere")).is_err());
    let reader = JournalReader::open(dir.path()).unwrap();
    assert_eq!(reader.verify().unwrap().segments, 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    JournalOptions::default().validate().unwrap();
}

#[test]
fn a_record_that_ends_before_its_payload_is_shown_and_the_next_keeps_its_number() {
    let dir = tempfile::tempdir().unwrap();
    drop(written(dir.path()));
    let path = dir.path().join("segment-0000000001.journal");
    let mut file = std::fs::read(&path).unwrap();
    // Header of four shards, frame header, then the first record: its entity id claims to be 255 bytes long.
    let (frame_at, id_len_at) = (128, 128 + 28 + 34);
    file[id_len_at] = 255;
    let len = u32::from_le_bytes(file[frame_at..frame_at + 4].try_into().unwrap()) as usize + 8;
    let records = file[frame_at + 28..frame_at + len].to_vec();
    let count = u32::try_from(every_event().len()).unwrap();
    let sealed = seal_frame(&records, STORE, 1, 1, count);
    assert!(parse_frame(&sealed, STORE, 1).is_some_and(|frame| frame.bytes == len));
    file[frame_at..frame_at + len].copy_from_slice(&sealed);
    std::fs::write(&path, file).unwrap();
    let mut shown = Vec::new();
    JournalReader::open(dir.path())
        .unwrap()
        .records(&mut |info| {
            shown.push((info.lsn, info.shard, info.record.is_ok()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(shown[..2], [(1, ShardId(2), false), (2, ShardId(2), true)]);
    assert_eq!(shown.len(), every_event().len() + 1, "none is left out");
}
