//! The commands that scripts read: the demo, the load generator, the journal tools, and what is printed for others.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};
use holdfast_api::load::scratch::ScratchFolder;
use holdfast_tests::{House, binary, purchase::buy};
use serde_json::Value;

/// Runs the program; its standard output.
fn holdfast(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary::holdfast()?).args(arguments).output()?;
    ensure!(output.status.success(), "holdfast {}: {output:?}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_program_allocates_with_mimalloc() -> anyhow::Result<()> {
    let output = Command::new(binary::holdfast()?).arg("--version").env("MIMALLOC_VERBOSE", "1").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("mimalloc: process init"), "its malloc is another's: {output:?}");
    Ok(())
}

fn json(arguments: &[&str]) -> anyhow::Result<Value> {
    let text = holdfast(arguments)?;
    serde_json::from_str(&text).with_context(|| format!("holdfast {}: {text}", arguments.join(" ")))
}

#[test]
fn the_demo_sells_out_and_loses_nothing() -> anyhow::Result<()> {
    let result = json(&["demo", "--json", "--units", "500", "--buyers", "1500", "--countdown", "1s"])?;
    println!("{result}");
    let figure = |name: &str| result[name].as_u64().with_context(|| format!("{name} in {result}"));
    assert_eq!((figure("units")?, figure("buyers")?), (500, 1_500));
    assert_eq!((figure("sold")?, figure("refused")?, figure("oversold")?), (500, 1_000, 0));
    assert_eq!((figure("recovered_orders")?, figure("lost_orders")?), (500, 0));
    assert!(figure("fsyncs")? > 0 && figure("batches")? > 0, "{result}");
    Ok(())
}

#[test]
fn a_demo_without_a_countdown_sells_out_too() -> anyhow::Result<()> {
    let result = json(&["demo", "--json", "--units", "50", "--buyers", "100", "--countdown", "0s"])?;
    assert_eq!((&result["sold"], &result["refused"]), (&50.into(), &50.into()), "{result}");
    assert_eq!((&result["oversold"], &result["lost_orders"]), (&0.into(), &0.into()), "{result}");
    Ok(())
}

#[test]
fn the_demo_refuses_a_folder_with_something_in_it_and_leaves_it_alone() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "demo-data")?;
    let (note, new) = (folder.path().join("note"), folder.path().join("new"));
    std::fs::write(&note, "mine")?;
    let demo = |data: &Path| {
        let small = ["demo", "--json", "--units", "5", "--buyers", "10", "--countdown", "0s", "--data"];
        Command::new(binary::holdfast()?).args(small).arg(data).output().context("the program runs")
    };
    let refused = demo(folder.path())?;
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && words.contains("is not empty"), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 1, "nothing was put beside the note");
    let taken = demo(&new)?;
    assert!(taken.status.success() && new.join("data").is_dir(), "{taken:?}");
    Ok(())
}

#[tokio::test]
async fn a_log_that_is_not_shown_on_a_terminal_has_no_colors() -> anyhow::Result<()> {
    let house = House::with_settings(&[("LOG__FILTER", "debug")])?;
    house.put_up("PLAIN", 1).await?;
    let log = std::fs::read_to_string(house.server()?.log())?;
    assert!(log.contains("INFO"), "the log says nothing: {log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    Ok(())
}

#[test]
fn the_load_generator_reads_the_sale_back_from_the_books() -> anyhow::Result<()> {
    let house = House::open()?;
    let (url, token) = (house.shop().target().to_string(), house.shop().admin_token().unwrap_or_default().to_owned());
    let common = ["bench", "flash-sale", "--url", &url, "--admin-token", &token, "--stock", "100", "--duration", "1s"];
    let closed = json(&[&common[..], &["--connections", "16", "--json"]].concat())?;
    let open = json(&[&common[..], &["--connections", "16", "--rate", "200", "--json"]].concat())?;
    for report in [&closed, &open] {
        assert_eq!(
            (&report["sold"], &report["oversold"], &report["errors"]),
            (&100.into(), &0.into(), &0.into()),
            "{report}"
        );
        assert!(report["p99_ms"].as_f64() >= report["p50_ms"].as_f64(), "{report}");
    }
    assert_eq!(open["orders"], 200, "an open loop sends what was due: {open}");
    let few =
        ["--admin-token", &token, "--stock", "20", "--skus", "3", "--connections", "16", "--duration", "1s", "--json"];
    let wide = json(&[&["bench", "flash-sale", "--url", &url][..], &few].concat())?;
    assert_eq!((&wide["sold"], &wide["oversold"], &wide["errors"]), (&60.into(), &0.into(), &0.into()), "{wide}");
    Ok(())
}

#[test]
fn the_echo_is_measured_by_the_same_generator() -> anyhow::Result<()> {
    let report = json(&["bench", "echo", "--connections", "8", "--duration", "500ms", "--json"])?;
    assert_eq!((&report["echo"], &report["errors"]), (&true.into(), &0.into()), "{report}");
    assert!(report["rps"].as_f64() > Some(100.0), "{report}");
    Ok(())
}

#[tokio::test]
async fn the_journal_tools_see_what_was_sold() -> anyhow::Result<()> {
    let mut house = House::open()?;
    house.put_up("TOOLS", 10).await?;
    for _ in 0..3 {
        buy(house.shop(), &[("TOOLS", 1)], "tok_approve").await?;
    }
    let units = house.settled_units("TOOLS").await?;
    house.kill();
    let data = house.folder().join("data");
    let data = data.to_str().context("a Unicode path")?;
    let replayed = json(&["journal", "replay", "--json", "--data", data])?;
    assert_eq!((&replayed["orders"], &replayed["unbalanced"]), (&3.into(), &0.into()), "{replayed}");
    assert_eq!(replayed["stock"][0]["allocated"], units.allocated, "{replayed}");
    assert_eq!(json(&["journal", "verify", "--json", "--data", data])?["intact"], true);
    let audited = json(&["journal", "audit", "--json", "--data", data])?;
    assert_eq!(audited["records"], replayed["records"], "{audited}");
    let records = holdfast(&["journal", "inspect", "--records", "--json", "--data", data])?;
    assert_eq!(records.lines().count() as u64, replayed["records"].as_u64().unwrap_or_default());
    Ok(())
}

#[test]
fn what_is_printed_for_other_programs_is_complete() -> anyhow::Result<()> {
    let openapi = json(&["openapi"])?;
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", openapi["openapi"]);
    assert!(openapi["paths"]["/api/v1/orders"]["post"].is_object());
    for shell in ["bash", "zsh", "fish"] {
        assert!(holdfast(&["completions", shell])?.contains("flash-sale"), "{shell}");
    }
    let shown = holdfast(&["config", "show", "--set", "admin.token=0123456789abcdef0123456789abcdef"])?;
    assert!(shown.contains("mailbox_permits") && !shown.contains("0123456789abcdef"), "{shown}");
    Ok(())
}
