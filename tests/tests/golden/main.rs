//! Data folders written by older versions: the server of today opens them, and what comes out is what went in.
//!
//! `v1` holds the identity, the secret and the journal of a small shop with everything that can happen to an order in it.
//! A folder that is missing is written, and the test fails once so that it is looked at; one that is there is never
//! written again. The snapshots are left out on purpose: they are rebuilt from the journal.

mod shop;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use holdfast_tests::{House, binary, purchase::Purchase};
use serde_json::{Value, json};

/// Segment files are cut behind their last byte that is not zero; this is their whole length, in bytes.
const SEGMENT_BYTES: u64 = 1 << 20;

/// Settings under which the folders were written; their segments are small.
const SETTINGS: [(&str, &str); 5] = [
    ("STORE__JOURNAL__SEGMENT_BYTES", "1048576"),
    ("STORE__JOURNAL__RESERVE_BYTES", "262144"),
    ("STORE__JOURNAL__FRAME_LIMIT_BYTES", "131072"),
    ("STORE__JOURNAL__RECORD_LIMIT_BYTES", "73728"),
    ("RUNTIME__TURN_BYTES", "65536"),
];

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// Files of the journal folder that hold records, by name.
fn journal_files(data: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(data.join("journal"))?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

/// Keeps what cannot be made again of a data folder.
fn pack(data: &Path, golden: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(golden.join("journal"))?;
    for name in ["meta", "secret"] {
        fs::copy(data.join(name), golden.join(name))?;
    }
    for path in journal_files(data)? {
        let mut bytes = fs::read(&path)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        fs::write(golden.join("journal").join(path.file_name().context("a name")?), bytes)?;
    }
    Ok(())
}

fn unpack(golden: &Path, data: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(data.join("journal"))?;
    for name in ["meta", "secret"] {
        fs::copy(golden.join(name), data.join(name)).with_context(|| format!("the golden {name}"))?;
        // A repository keeps no modes, and nobody but the owner may read a secret.
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600))?;
    }
    for path in journal_files(golden)? {
        let copy = data.join("journal").join(path.file_name().context("a name")?);
        fs::copy(&path, &copy)?;
        fs::OpenOptions::new().write(true).open(&copy)?.set_len(SEGMENT_BYTES)?;
    }
    Ok(())
}

/// What the journal of a folder leads to, without the time it took.
fn replayed(data: &Path) -> anyhow::Result<Value> {
    let mut command = Command::new(binary::holdfast()?);
    command.args(["journal", "replay", "--json", "--data"]).arg(data);
    let output = command.output()?;
    ensure!(output.status.success(), "{output:?}");
    let mut outcome: Value = serde_json::from_slice(&output.stdout)?;
    outcome.as_object_mut().context("an object")?.remove("seconds");
    Ok(outcome)
}

/// Runs a small shop and keeps its folder and what is known of it.
async fn write(golden: &Path) -> anyhow::Result<()> {
    let mut house = House::with_settings(&SETTINGS)?;
    let receipts = shop::run(&house).await?;
    house.kill();
    let data = house.folder().join("data");
    pack(&data, golden)?;
    let known = json!({ "replayed": replayed(&data)?, "orders": receipts });
    fs::write(golden.join("known.json"), serde_json::to_string_pretty(&known)?)?;
    Ok(())
}

#[tokio::test]
async fn a_folder_of_version_1_opens_with_everything_in_it() -> anyhow::Result<()> {
    let golden = golden("v1");
    if !golden.exists() {
        write(&golden).await?;
        anyhow::bail!("{} was missing and is written now: look at it and run again", golden.display());
    }
    let known: Value = serde_json::from_slice(&fs::read(golden.join("known.json"))?)?;
    let house = House::prepared(&SETTINGS, |folder| {
        let data = folder.join("data");
        unpack(&golden, &data)?;
        assert_eq!(replayed(&data)?, known["replayed"], "the journal leads elsewhere");
        Ok(())
    })?;
    for order in known["orders"].as_array().context("orders")? {
        let text = |field: &str| order[field].as_str().map(str::to_owned).context("a text");
        let purchase = Purchase { id: text("id")?, token: text("token")? };
        assert_eq!(purchase.read(house.shop()).await?["status"], order["status"], "{}", purchase.id);
    }
    for stock in known["replayed"]["stock"].as_array().context("stock")? {
        let sku = stock["sku"].as_str().context("a SKU")?;
        if sku == shop::REMOVED {
            house.shop().units(sku).await.expect_err("a removed product is back");
        } else {
            let units = house.shop().units(sku).await?;
            assert!(units.balance() && stock["on_hand"] == units.on_hand, "{stock}: {units:?}");
        }
    }
    println!("version 1: {} records, {} orders", known["replayed"]["records"], known["replayed"]["orders"]);
    Ok(())
}
