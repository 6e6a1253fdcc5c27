//! A data folder that was tampered with, under the real server: cut short, with a bit flipped, or made of two: only what
//! was never acknowledged is cut, and kept; what does not fit together is refused, by name, and left as it is.
//!
//! A cut at every single byte is the persistence crate's `a_file_cut_at_any_byte_of_its_last_record_loses_only_that_write`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::load::order::fresh_run;
use holdfast_tests::{
    House,
    books::Books,
    purchase::{Purchase, order_body, post_order},
};
use hyper::StatusCode;

const ONE_SHARD: (&str, &str) = ("STORE__SHARDS", "1");
const FIRST: &str = "segment-0000000001.journal";
/// A first segment of this many bytes, so that copies are quick.
const SMALL: [(&str, &str); 7] = [
    ONE_SHARD,
    ("STORE__JOURNAL__SEGMENT_BYTES", "1048576"),
    ("STORE__JOURNAL__RESERVE_BYTES", "262144"),
    ("STORE__JOURNAL__FRAME_LIMIT_BYTES", "131072"),
    ("STORE__JOURNAL__RECORD_LIMIT_BYTES", "73728"),
    ("RUNTIME__TURN_BYTES", "65536"),
    ("RUNTIME__CHECKPOINT_RECORDS", "1000000"),
];

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

fn segment(house: &House) -> PathBuf {
    house.data().join("journal").join(FIRST)
}

/// Where the last record of a segment ends, in bytes.
fn end(segment: &Path) -> anyhow::Result<usize> {
    let bytes = fs::read(segment)?;
    Ok(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1))
}

/// Buys one unit, waits until nothing moves any more, and enters the order.
async fn buy_into(books: &mut Books, house: &House, sku: &str) -> anyhow::Result<()> {
    let answer = post_order(house.shop(), &fresh_run()?, &order_body(&[(sku, 1)], "tok_approve")).await?;
    let answer = answer.expect("an order", &[StatusCode::CREATED])?;
    Purchase::of(&answer)?.settled(house.shop(), &["confirmed"]).await?;
    books.acknowledge(&answer.body)
}

/// A write that was torn, and what is kept of what is cut.
#[tokio::test]
async fn a_journal_cut_short_within_its_last_records_keeps_every_order_before_them() -> anyhow::Result<()> {
    let mut house = House::with_settings(&SMALL)?;
    house.put_up("SHORT", 100).await?;
    let mut books = Books::default();
    books.stock.insert("SHORT".to_owned(), 100);
    let mut after = Vec::new();
    for _ in 0..6 {
        buy_into(&mut books, &house, "SHORT").await?;
        after.push((end(&segment(&house))?, books.clone()));
    }
    house.kill();
    let (first, last) = (after[2].0, after[5].0);
    let original = house.folder().join("original");
    copy(&house.data(), &original)?;
    let (mut starts, mut copies) = (0, 0);
    for cut in (first..last).step_by((last - first) / 9) {
        fs::remove_dir_all(house.data())?;
        copy(&original, &house.data())?;
        fs::OpenOptions::new().write(true).open(segment(&house))?.set_len(cut as u64)?;
        house.restart().await.with_context(|| format!("cut at {cut}"))?;
        let (_, before) = after.iter().rev().find(|(end, _)| *end <= cut).context("an order before the cut")?;
        let found = before.check(house.shop()).await.with_context(|| format!("cut at {cut}"))?;
        assert_eq!(found.found, found.acknowledged);
        house.kill();
        let kept = house.data().join("journal").join(format!("{FIRST}.torn-1"));
        copies += usize::from(kept.exists());
        starts += 1;
    }
    println!("{starts} cuts between byte {first} and {last}, {copies} unfinished writes kept beside the journal");
    assert!(copies > 0, "no cut fell into a record");
    Ok(())
}

/// A bit that flips in the very last record, where nothing tells it from an unfinished write: cut, kept and named.
#[tokio::test]
async fn a_flipped_bit_in_the_very_last_record_is_kept_and_named_in_the_log() -> anyhow::Result<()> {
    let mut house = House::with_settings(&SMALL)?;
    house.put_up("LAST", 100).await?;
    house.kill();
    let path = segment(&house);
    let (mut bytes, last) = (fs::read(&path)?, end(&path)? - 5);
    bytes[last] ^= 0x20;
    fs::write(&path, &bytes)?;
    house.restart().await?;
    house.kill();
    let kept = house.data().join("journal").join(format!("{FIRST}.torn-1"));
    let tail = fs::read(&kept).context("what was cut is not kept")?;
    let start = bytes.windows(tail.len()).position(|part| part == tail);
    assert!(start.is_some(), "{} holds something else than what was cut", kept.display());
    let log = fs::read_to_string(house.folder().join("server.log"))?;
    assert!(log.contains("WARN") && log.contains(&format!("{FIRST}.torn-1")), "{log}");
    Ok(())
}

/// What the server says when it will not start on its folder, and whether it changed the journal.
async fn refusal(house: &mut House) -> anyhow::Result<String> {
    let before = fs::read(segment(house))?;
    let error = house.restart().await.err().context("a folder that does not fit together was opened")?;
    assert!(fs::read(segment(house))? == before, "a refused start changed the journal");
    Ok(format!("{error:#}"))
}

/// A stale copy, as far as one folder can tell: the journal is older than the snapshots beside it.
#[tokio::test]
async fn an_older_copy_of_the_journal_beside_newer_snapshots_is_refused() -> anyhow::Result<()> {
    let mut house = House::with_settings(&SMALL)?;
    house.put_up("STALE", 100).await?;
    let mut books = Books::default();
    buy_into(&mut books, &house, "STALE").await?;
    house.kill();
    let old = house.folder().join("old");
    copy(&house.data().join("journal"), &old)?;
    house.restart().await?;
    for _ in 0..3 {
        buy_into(&mut books, &house, "STALE").await?;
    }
    // A drain writes a checkpoint of everything.
    let status = house.terminate(Duration::from_secs(20)).await?.context("the server did not leave")?;
    assert!(status.success(), "{status}");
    fs::remove_dir_all(house.data().join("journal"))?;
    copy(&old, &house.data().join("journal"))?;
    let said = refusal(&mut house).await?;
    println!("{said}");
    assert!(said.contains("the journal is an older copy"), "{said}");
    Ok(())
}

/// Parts of two folders.
#[tokio::test]
async fn the_journal_of_another_folder_is_refused() -> anyhow::Result<()> {
    let (mut house, mut other) = (House::with_settings(&SMALL)?, House::with_settings(&SMALL)?);
    house.put_up("MINE", 1).await?;
    other.put_up("THEIRS", 1).await?;
    house.kill();
    other.kill();
    fs::remove_dir_all(house.data().join("journal"))?;
    copy(&other.data().join("journal"), &house.data().join("journal"))?;
    let said = refusal(&mut house).await?;
    assert!(said.contains("belongs to another store"), "{said}");
    Ok(())
}
