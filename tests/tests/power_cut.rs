//! The power goes at any instant under the real server, on a disk that forgets what was not synced, reorders it, or wrote
//! half of it: the next start has every order that was acknowledged by then, and the books add up.
//!
//! One run of the server is recorded call by call, and every instant of it is a power cut that can be tried. Three controls
//! show that the test can fail: a program that only writes loses what it acknowledged, so does one that trusts
//! `sync_file_range` as sled 0.34 does, and so does this server when its syncs are taken away.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use holdfast_api::{
    demo::buyer::{Buyer, Receipts},
    load::{
        crowd::{self, Patience, Plan},
        order::{OrderTemplate, fresh_run},
        pace::Until,
        scratch::ScratchFolder,
        tally::Ledger,
    },
};
use holdfast_tests::{
    House,
    books::Books,
    dice::Dice,
    fault::{self, Layer, Rule, RuleCall},
    power::{Cut, Disk, Entry, Recording},
    purchase::buy,
};

/// Power cuts, unless the variable `HOLDFAST_POWER_CUTS` says otherwise.
const CUTS: u64 = 16;
/// Small segments, frequent checkpoints and purges: a short run meets every step, and no snapshot can be rebuilt.
const SETTINGS: [(&str, &str); 10] = [
    ("STORE__JOURNAL__RETAIN_BYTES", "1"),
    ("STORE__SHARDS", "4"),
    ("STORE__JOURNAL__SEGMENT_BYTES", "131072"),
    ("STORE__JOURNAL__RESERVE_BYTES", "32768"),
    ("STORE__JOURNAL__FRAME_LIMIT_BYTES", "16384"),
    ("STORE__JOURNAL__RECORD_LIMIT_BYTES", "8192"),
    ("LIMITS__BODY_BYTES", "4096"),
    ("RUNTIME__TURN_BYTES", "16384"),
    ("RUNTIME__CHECKPOINT_RECORDS", "100"),
    ("RUNTIME__HOLD_TTL_MS", "600000"),
];
const SKUS: [&str; 3] = ["CUT-A", "CUT-B", "CUT-C"];
const UNITS: u64 = 10_000;

/// Names a recording to cut, in place of a fresh one: the one that a failure kept.
const RECORD: &str = "HOLDFAST_POWER_RECORD";

/// Where a recording is kept that did not survive.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("power-cut.record")
}

fn cuts() -> anyhow::Result<u64> {
    match std::env::var_os("HOLDFAST_POWER_CUTS") {
        Some(text) => Ok(text.to_string_lossy().parse()?),
        None => Ok(CUTS),
    }
}

/// Drives a server under the layer through starting, selling and checkpoints, and leaves it as `end` says. What it did, and
/// a copy of its folder as it was left.
async fn record(rules: &[Rule], end: End, left: &Path) -> anyhow::Result<Recording> {
    let mut layer = None;
    let mut house = House::launched(&SETTINGS, |folder, launch| {
        let made = Layer::new(&folder.join("data"), folder)?;
        made.panel().arm()?;
        made.surround_recording(launch, rules);
        layer = Some(made);
        Ok(())
    })?;
    let layer = layer.context("a layer")?;
    for sku in SKUS {
        house.put_up(sku, UNITS).await?;
    }
    for round in 0..10 {
        let sku = SKUS[round % SKUS.len()];
        let plan = Plan {
            address: house.shop().target().address(),
            connections: 8,
            until: Until::Requests(60),
            rate: None,
            patience: Patience::None,
            grace: Duration::ZERO,
        };
        let (receipts, ledger) = (Receipts::new(usize::MAX), Arc::new(Ledger::default()));
        let orders = OrderTemplate::new(house.shop().target(), sku, &fresh_run()?);
        let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(&receipts) };
        crowd::run(plan, buyer, Arc::clone(&ledger)).await;
        assert_eq!(ledger.tally().failed, 0, "{:?}", ledger.tally().first_failure);
        buy(house.shop(), &[(SKUS[0], 1), (SKUS[1], 2), (SKUS[2], 3)], "tok_approve").await?;
    }
    layer.assert_active()?;
    match end {
        End::Kill => house.kill(),
        End::Drain => {
            let status = house.terminate(Duration::from_secs(20)).await?.context("the server did not drain")?;
            ensure!(status.success(), "{status}");
            copy(&house.data(), left)?;
        }
    }
    Recording::read(layer.record())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Drain,
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = {
            let entry = entry?;
            let to = to.join(entry.file_name());
            (entry, to)
        };
        if entry.file_type()?.is_dir() { copy(&entry.path(), &to)? } else { fs::copy(entry.path(), &to).map(drop)? }
    }
    Ok(())
}

/// The files of a folder, by name, with their contents.
fn contents(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name().to_string_lossy().into_owned())
        };
        if path.is_dir() {
            all.extend(contents(&path)?.into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            all.push((name, fs::read(&path)?));
        }
    }
    all.sort();
    Ok(all)
}

/// What happened when the server was started on what a cut left.
struct Aftermath {
    acknowledged: u64,
    unannounced: u64,
    unsynced: usize,
}

/// Cuts the power after the first `instant` entries and starts the server on what is left.
async fn cut(recording: &Recording, instant: usize, cut: &mut Cut) -> anyhow::Result<Aftermath> {
    let (mut disk, mut books) = (Disk::new(), Books::default());
    for entry in &recording.entries()[..instant] {
        disk.play(entry)?;
        if let Some(body) = entry.acknowledged()? {
            match (body["sku"].as_str(), body["buyer_token"].is_string()) {
                (_, true) => books.acknowledge(&body)?,
                (Some(sku), _) => drop(books.stock.insert(sku.to_owned(), UNITS)),
                _ => {}
            }
        }
    }
    let house =
        House::prepared(&SETTINGS, |folder| disk.cut_into(&folder.join("data"), cut)).context("after the cut")?;
    let found = books.check(house.shop()).await?;
    Ok(Aftermath { acknowledged: found.acknowledged, unannounced: found.unannounced, unsynced: disk.unsynced() })
}

/// So many cuts at instants spread over a recording; the first that loses something is an error that says how to cut again.
async fn cut_often(recording: &Recording, cuts: u64) -> anyhow::Result<String> {
    let (entries, mut random) = (recording.entries().len() as u64, Dice::new(cuts));
    let (mut checked, mut unannounced, mut unsynced) = (0, 0, 0);
    for seed in 0..cuts {
        let instant = usize::try_from(entries * seed / cuts + random.below(entries / cuts))?;
        let mut how = Cut::of_seed(seed);
        let aftermath = cut(recording, instant, &mut how).await;
        if aftermath.is_err() {
            recording.keep(&kept())?;
        }
        let aftermath = aftermath.with_context(|| {
            format!("cut {seed} ({how:?}) after {instant} of {entries} entries; again: {RECORD}={}", kept().display())
        })?;
        checked += aftermath.acknowledged;
        unannounced += aftermath.unannounced;
        unsynced += aftermath.unsynced;
    }
    Ok(format!(
        "{cuts} power cuts over {entries} recorded calls, {unsynced} unsynced changes torn, reordered or dropped: {checked} \
         acknowledged orders looked for and found, {unannounced} found that nobody was told of"
    ))
}

#[tokio::test]
async fn every_acknowledged_order_survives_a_power_cut_at_any_instant() -> anyhow::Result<()> {
    let recording = match std::env::var_os(RECORD) {
        Some(kept) => Recording::read(Path::new(&kept))?,
        None => record(&[], End::Kill, Path::new("")).await?,
    };
    println!("{}", cut_often(&recording, cuts()?).await?);
    Ok(())
}

/// What makes the test above worth anything: nothing the server does to its folder is missing in the recording.
#[tokio::test]
async fn the_recording_accounts_for_every_byte_of_the_data_folder() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "recording")?;
    let (left, played) = (folder.path().join("left"), folder.path().join("played"));
    let recording = record(&[], End::Drain, &left).await?;
    let mut disk = Disk::new();
    recording.entries().iter().try_for_each(|entry| disk.play(entry))?;
    disk.cut_into(&played, &mut Cut::Nothing)?;
    let (left, played) = (contents(&left)?, contents(&played)?);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&left), names(&played));
    for ((name, left), (_, played)) in left.iter().zip(&played) {
        assert!(left == played, "{name}: {} bytes left, {} recorded", left.len(), played.len());
    }
    assert!(names(&left).iter().any(|name| name.starts_with("snapshots/")), "{:?}", names(&left));
    Ok(())
}

/// Positive control: this very server on a disk whose syncs do nothing must lose what it acknowledged.
#[tokio::test]
async fn a_server_whose_syncs_are_taken_away_is_found_out() -> anyhow::Result<()> {
    let lies = [Rule::lie(RuleCall::Sync, "journal/segment-*.journal")];
    let recording = record(&lies, End::Kill, Path::new("")).await?;
    let entries = recording.entries().len();
    let mut found_out = None;
    for eighths in (1..=8).rev() {
        if let Err(error) = cut(&recording, entries * eighths / 8, &mut Cut::Everything).await {
            found_out = Some(format!("{error:#}"));
            break;
        }
    }
    let found_out = found_out.context("a server that never syncs its journal lost nothing: the test sees nothing")?;
    println!("without syncs: {}", found_out.chars().take(200).collect::<String>());
    Ok(())
}

/// What a small program that writes and acknowledges in this way loses: of 64 acknowledged records, how many are gone.
fn careless(way: &str) -> anyhow::Result<usize> {
    let folder = ScratchFolder::new(None, "careless")?;
    let program = fault::compile(&["careless/careless.c"], &format!("careless-{way}"), &[])?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    let record = folder.path().join("record");
    let status = Command::new(program)
        .args([data.as_os_str(), way.as_ref()])
        .env("LD_PRELOAD", fault::library()?)
        .env("FAULT_DIR", &data)
        .env("FAULT_RECORD", &record)
        .status()?;
    ensure!(status.success(), "{status}");
    let recording = Recording::read(&record)?;
    let mut lost = 0;
    for seed in 0..20 {
        let (mut disk, mut acknowledged) = (Disk::new(), 0);
        let instant = usize::try_from(Dice::new(seed).below(recording.entries().len() as u64))?;
        for entry in &recording.entries()[..instant] {
            disk.play(entry)?;
            acknowledged += usize::from(matches!(entry, Entry::Answer { .. }));
        }
        let image = folder.path().join(seed.to_string());
        disk.cut_into(&image, &mut Cut::of_seed(seed))?;
        let bytes = fs::read(image.join("log")).unwrap_or_default();
        let kept =
            bytes.chunks(512).take_while(|record| record.len() == 512 && record.iter().all(|byte| *byte == b'x'));
        lost += acknowledged - acknowledged.min(kept.count());
    }
    Ok(lost)
}

/// The controls of the method: the cut takes from whoever does not sync, and from nobody else.
#[test]
fn a_write_without_a_sync_is_lost_and_so_is_one_that_trusts_sync_file_range() -> anyhow::Result<()> {
    let (plain, range, synced) = (careless("plain")?, careless("range")?, careless("sync")?);
    println!("acknowledged records lost in 20 cuts: plain {plain}, sync_file_range {range}, fdatasync {synced}");
    assert!(plain > 0, "a plain write survived every cut");
    assert!(range > 0, "sync_file_range was taken for a sync");
    assert_eq!(synced, 0, "a synced write was lost");
    Ok(())
}
