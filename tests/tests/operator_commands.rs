//! `holdfast admin` and `holdfast top` as scripts use them, against a real server, and the lines they leave in its log.

use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use holdfast_tests::{House, binary, purchase::buy};
use serde_json::Value;

/// More units than anybody sells while a screen is drawn.
const STOCK: u32 = 1_000_000;

/// Runs the program as an operator of this house.
fn operator(house: &House, arguments: &[&str]) -> anyhow::Result<Output> {
    let admin = house.server()?.ready().admin.context("the operators' listener")?;
    let mut command = Command::new(binary::holdfast()?);
    command.args(arguments).env("HOLDFAST_ADMIN_URL", format!("http://{admin}")).env("USER", "jo");
    command.env("HOLDFAST__ADMIN__TOKEN", house.shop().admin_token().context("a token")?);
    Ok(command.output()?)
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn an_operator_sees_the_shards_has_them_snapshotted_and_leaves_a_line_for_each_call() -> anyhow::Result<()> {
    let mut house = House::with_settings(&[("STORE__SHARDS", "4")])?;
    house.put_up("A", 10).await?;
    for _ in 0..5 {
        buy(house.shop(), &[("A", 1)], "tok_approve").await?;
    }
    let (code, text, errors) = told(&operator(&house, &["admin", "shards"])?);
    ensure!(code == Some(0) && text.contains("owner") && text.contains("4 shards, "), "{code:?} {text} {errors}");
    let (code, text, _) = told(&operator(&house, &["admin", "snapshot", "--json"])?);
    let taken: Value = serde_json::from_str(&text)?;
    let shards = taken["shards"].as_array().context("shards")?.clone();
    ensure!(code == Some(0) && shards.len() == 4, "{code:?} {text}");
    let (_, text, _) = told(&operator(&house, &["admin", "shards", "--json"])?);
    let after: Value = serde_json::from_str(&text)?;
    for (taken, shard) in shards.iter().zip(after["shards"].as_array().context("shards")?) {
        ensure!(taken["watermark"] == shard["snapshot_watermark"], "{taken} {shard}");
    }
    ensure!(shards.iter().any(|shard| shard["watermark"].as_u64() > Some(10)), "{taken}");

    // What is about several nodes: refused, with the reason and exit code 1.
    for call in
        [&["admin", "cluster"][..], &["admin", "rebalance", "--dry-run"], &["admin", "drain", "n1", "--no-wait"]]
    {
        let (code, text, errors) = told(&operator(&house, call)?);
        ensure!(code == Some(1) && text.is_empty() && errors.contains("cluster-not-configured"), "{code:?} {errors}");
    }
    let log = std::fs::read_to_string(house.server()?.log())?;
    for (call, outcome) in [("shards", "200"), ("snapshots", "200"), ("drain", "\"cluster-not-configured\"")] {
        let line = log.lines().find(|line| line.contains("audit") && line.contains(&format!("call=\"{call}\"")));
        let line = line.with_context(|| format!("no line about {call} in {log}"))?;
        ensure!(line.contains("by=\"jo\"") && line.contains(&format!("outcome={outcome}")), "{line}");
    }
    let count = log.lines().filter(|line| line.contains("call=\"shards\"")).count();
    ensure!(count == 2, "{count} lines about two looks at the shards: {log}");
    house.kill();
    Ok(())
}

#[test]
fn exit_codes_tell_a_wrong_call_from_a_server_that_is_away_and_no_token_is_ever_an_argument() -> anyhow::Result<()> {
    let program = binary::holdfast()?;
    let run = |arguments: &[&str], token: Option<&str>| {
        let mut command = Command::new(&program);
        command.args(arguments).env_remove("HOLDFAST__ADMIN__TOKEN").env_remove("HOLDFAST__ADMIN__TOKEN_FILE");
        command.envs(token.map(|token| ("HOLDFAST__ADMIN__TOKEN", token)));
        command.output()
    };
    let token = Some("0123456789abcdef0123456789abcdef");
    // Nothing listens on port 1.
    let away = ["admin", "shards", "--url", "http://127.0.0.1:1"];
    let (code, _, errors) = told(&run(&away, token)?);
    ensure!(code == Some(3) && errors.contains("http://127.0.0.1:1"), "{code:?} {errors}");
    let (code, _, errors) = told(&run(&away, None)?);
    ensure!(code == Some(2) && errors.contains("HOLDFAST__ADMIN__TOKEN_FILE"), "{code:?} {errors}");
    for wrong in [
        &["admin", "shards", "--url", "https://127.0.0.1:1"][..],
        &["admin", "rebalance", "--dry-run", "--cancel"],
        &["admin", "move", "many", "n1"],
        &["admin", "shards", "--token", "x"],
        &["top", "--every-ms", "5"],
    ] {
        let (code, _, errors) = told(&run(wrong, token)?);
        ensure!(code == Some(2) && !errors.is_empty(), "{wrong:?}: {code:?} {errors}");
    }
    let (code, _, errors) = told(&run(&["top", "--url", "http://127.0.0.1:1", "--once"], token)?);
    ensure!(code == Some(3), "{code:?} {errors}");
    Ok(())
}

#[tokio::test]
async fn one_screen_of_top_shows_rates_percentiles_units_and_shards_in_80_by_24() -> anyhow::Result<()> {
    let house = House::with_settings(&[("STORE__SHARDS", "4")])?;
    house.put_up("A", u64::from(STOCK)).await?;
    let selling = async {
        loop {
            if let Err(error) = buy(house.shop(), &[("A", 1)], "tok_approve").await {
                return error;
            }
        }
    };
    let looking = async {
        let admin = house.server()?.ready().admin.context("the operators' listener")?;
        let token = house.shop().admin_token().context("a token")?.to_owned();
        let mut command = Command::new(binary::holdfast()?);
        command.args(["top", "--once", "--every-ms", "2000", "--url", &format!("http://{admin}")]);
        command.env("HOLDFAST__ADMIN__TOKEN", token);
        anyhow::Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    };
    let output: Output = tokio::select! {
        error = selling => return Err(error),
        looked = looking => looked?,
    };
    let (code, text, errors) = told(&output);
    ensure!(code == Some(0), "{code:?} {errors}");
    let lines: Vec<&str> = text.trim_end_matches('\n').lines().collect();
    ensure!(lines.len() <= 24 && lines.iter().all(|line| line.chars().count() <= 80), "{text}");
    let figure = |line: &str, before: &str| -> Option<f64> {
        let rest = lines.iter().find(|text| text.starts_with(line))?.split_once(before)?.1;
        rest.trim_start().split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?.parse().ok()
    };
    ensure!(figure("orders", "orders") > Some(0.0) && figure("answers", "2xx") > Some(0.0), "{text}");
    ensure!(figure("latency", "p50") > Some(0.0) && figure("latency", "p99") > Some(0.0), "{text}");
    let units = ["held", "allocated", "available", "fulfilled"].map(|state| figure("units", state).unwrap_or(f64::NAN));
    ensure!((units.iter().sum::<f64>() - f64::from(STOCK)).abs() < 0.5, "{units:?} in {text}");
    // The busiest shard comes first; there are four.
    let header = lines.iter().position(|line| line.starts_with("shard")).context("shards")?;
    ensure!(lines.len() == header + 5, "{text}");
    let rate = |line: &&str| line.split_whitespace().nth(5).and_then(|rate| rate.parse::<f64>().ok());
    ensure!(lines.get(header + 1).and_then(rate) > Some(0.0), "{text}");
    Ok(())
}
