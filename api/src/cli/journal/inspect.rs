//! `journal inspect`: segments, frames and records, one a line.

use std::ops::ControlFlow;

use anyhow::Context as _;
use holdfast_persistence::journal::{FrameInfo, RecordInfo, SegmentInfo};
use serde_json::{Value, json};

use super::{JournalArguments, console};

/// Lists the segment files.
pub(super) fn segments(journal: &JournalArguments) -> anyhow::Result<()> {
    for segment in journal.open()?.segments().context("cannot list the segments")? {
        if journal.json { console::say_json(&segment_json(&segment))? } else { console::say(segment_text(&segment))? }
    }
    Ok(())
}

/// Lists the frames.
pub(super) fn frames(journal: &JournalArguments) -> anyhow::Result<()> {
    let mut said = Ok(());
    let mut visit = |frame: FrameInfo| {
        said = if journal.json { console::say_json(&frame_json(&frame)) } else { console::say(frame_text(&frame)) };
        if said.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    journal.open()?.frames(&mut visit).context("cannot read the frames")?;
    said
}

/// Lists the records.
pub(super) fn records(journal: &JournalArguments) -> anyhow::Result<()> {
    let mut said = Ok(());
    let mut visit = |record: RecordInfo| {
        said = if journal.json { console::say_json(&record_json(&record)) } else { console::say(record_text(&record)) };
        if said.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    journal.open()?.records(&mut visit).context("cannot read the records")?;
    said
}

fn segment_json(segment: &SegmentInfo) -> Value {
    json!({
        "path": segment.path, "generation": segment.generation, "bytes": segment.bytes,
        "first_lsn": segment.first_lsn, "intact": segment.intact,
    })
}

fn segment_text(segment: &SegmentInfo) -> String {
    let content = match (segment.intact, segment.first_lsn) {
        (false, _) => "HEADER DAMAGED".to_owned(),
        (true, None) => "spare".to_owned(),
        (true, Some(lsn)) => format!("from record {lsn}"),
    };
    format!("{}  generation {}  {} bytes  {content}", segment.path.display(), segment.generation, segment.bytes)
}

fn frame_json(frame: &FrameInfo) -> Value {
    json!({
        "path": frame.path, "offset": frame.offset, "bytes": frame.bytes, "first_lsn": frame.first_lsn,
        "records": frame.records, "damage": frame.damage,
    })
}

fn frame_text(frame: &FrameInfo) -> String {
    let place = format!("{}:{}", frame.path.display(), frame.offset);
    match frame.damage {
        Some(damage) => format!("{place}  {} bytes  DAMAGED: {damage}", frame.bytes),
        None => format!("{place}  {} bytes  {} records from {}", frame.bytes, frame.records, frame.first_lsn),
    }
}

fn record_json(info: &RecordInfo) -> Value {
    let record = info.record.as_ref();
    // Events are shown in words: their ids are 128 bits, which no JSON number holds.
    json!({
        "lsn": info.lsn, "shard": info.shard, "seq": info.seq, "path": info.path, "frame_offset": info.frame_offset,
        "payload_bytes": info.payload_bytes,
        "entity": record.ok().map(|record| record.entity.to_string()),
        "version": record.ok().map(|record| record.version),
        "at_ms": record.ok().map(|record| record.at),
        "event": record.ok().map(|record| format!("{:?}", record.event)),
        "error": record.err().map(ToString::to_string),
    })
}

fn record_text(info: &RecordInfo) -> String {
    let place = format!("{:>10}  shard {} seq {}", info.lsn, info.shard.0, info.seq);
    match &info.record {
        Ok(record) => format!("{place}  {} v{}  {:?}", record.entity, record.version, record.event),
        Err(error) => format!("{place}  UNREADABLE: {error}"),
    }
}
