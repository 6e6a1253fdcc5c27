//! A segment file as a start surveys it and as `journal verify` shows it: the bytes as they are, or with their checksums put
//! right, so that what lies behind them is reached.
//!
//! Must hold: a segment without damage gives exactly the records that were counted, numbered without a gap.

use std::{cell::RefCell, ops::ControlFlow};

use holdfast_persistence::{JournalReader, journal::probe::rewrite_header};
use tempfile::TempDir;

/// Bytes of a segment's header in front of its shards.
const FIXED: usize = 48;
/// Where in a frame what its checksum covers begins.
const COVERED: usize = 8;
/// The most bytes of a file: more says nothing new.
const MAX_BYTES: usize = 256 << 10;

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// The first byte says whether the checksums are put right; the rest is the file.
pub(crate) fn run(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_first().filter(|(_, file)| file.len() <= MAX_BYTES) else { return };
    let mut file = bytes.to_vec();
    if mode % 2 == 1 {
        put_right(&mut file);
    }
    if let Some(again) = rewrite_header(&file) {
        assert_eq!(rewrite_header(&again), Some(again.clone()), "a header is written as it was read");
    }
    FOLDER.with_borrow_mut(|folder| {
        let folder = match folder {
            Some(folder) => folder,
            none => none.insert(tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"))),
        };
        let path = folder.path().join("segment-0000000001.journal");
        std::fs::write(&path, &file).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        survey(folder);
    });
}

fn survey(folder: &TempDir) {
    let reader = JournalReader::open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    let Ok(summary) = reader.verify() else { return };
    let (mut records, mut next) = (0_u64, None);
    let seen = reader.records(&mut |info| {
        if summary.damage.is_none() {
            assert!(next.is_none_or(|next| next == info.lsn), "record {} after {next:?}", info.lsn);
        }
        next = info.lsn.checked_add(1);
        records += 1;
        ControlFlow::Continue(())
    });
    let frames = reader.frames(&mut |_| ControlFlow::Continue(()));
    if summary.damage.is_none() && summary.segments > 0 && summary.frames > 0 {
        assert!(seen.is_ok() && frames.is_ok(), "no damage was found, and {seen:?} {frames:?}");
        assert_eq!(records, summary.records, "records that were counted are shown");
    }
}

/// Puts the checksums of the header and of every frame right.
fn put_right(file: &mut [u8]) {
    let shards = file.get(12..16).map_or(0, |field| usize::from(u16::from_le_bytes([field[0], field[1]])));
    let end = FIXED + 8 * shards;
    let (Some(header), Some(store)) = (file.get(..end), file.get(16..32)) else { return };
    let (crc, seed) = (crc32c::crc32c(header), crc32c::crc32c(store));
    let generation: [u8; 8] = file[32..40].try_into().unwrap_or_default();
    let Some(field) = file.get_mut(end..end + 4) else { return };
    field.copy_from_slice(&crc.to_le_bytes());
    let mut at = (end + 4).next_multiple_of(64);
    while let Some(prefix) = file.get(at..at + COVERED) {
        let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        let Some(covered) = file.get_mut(at + COVERED..at + COVERED + len).filter(|covered| covered.len() >= 20) else {
            return;
        };
        covered[..8].copy_from_slice(&generation);
        let crc = crc32c::crc32c_append(seed, covered);
        file[at + 4..at + COVERED].copy_from_slice(&crc.to_le_bytes());
        at += COVERED + len;
    }
}
