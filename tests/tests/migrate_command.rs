//! `holdfast migrate`: what scripts and people read, and its exit codes.

use std::process::{Command, Output};

use anyhow::Context as _;
use holdfast_servers::Postgres;
use holdfast_tests::binary;
use serde_json::{Value, json};

fn migrate(what: &str, url: &str, more: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary::holdfast()?);
    command.args(["migrate", what, "--set", "postgres.tls=off"]).args(more).env("HOLDFAST__POSTGRES__URL", url);
    command.output().context("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn body(output: &Output) -> anyhow::Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

#[test]
fn a_schema_is_looked_at_made_and_found_up_to_date() -> anyhow::Result<()> {
    let server = Postgres::start()?;
    let before = migrate("status", &server.url(), &[])?;
    let shown = text(&before.stdout);
    assert_eq!(before.status.code(), Some(1), "{shown}");
    assert!(shown.contains("V1__projection") && shown.contains("pending") && shown.contains("migrate up"), "{shown}");
    let up = body(&migrate("up", &server.url(), &["--json"])?)?;
    assert_eq!(up["schema"], json!("holdfast"));
    assert_eq!(up["applied"], json!(["V1__projection", "V2__entity_changes", "V3__entity_changes_statistics"]));
    let again = body(&migrate("up", &server.url(), &["--json"])?)?;
    assert_eq!(again["applied"], json!([]));
    let after = migrate("status", &server.url(), &["--json"])?;
    assert_eq!(after.status.code(), Some(0));
    let after = body(&after)?;
    assert_eq!((&after["up_to_date"], &after["refused"]), (&json!(true), &json!(null)));
    assert_eq!(after["migrations"][0]["state"], json!("applied"));
    assert!(after["migrations"][0]["applied_on"].is_string(), "{after}");
    Ok(())
}

#[test]
fn a_schema_of_a_newer_version_is_refused_with_its_migration_named() -> anyhow::Result<()> {
    let server = Postgres::start()?;
    migrate("up", &server.url(), &[])?;
    server.sql("INSERT INTO holdfast.refinery_schema_history VALUES (900, 'tomorrow', '2031-01-01T00:00:00Z', '1')")?;
    let up = migrate("up", &server.url(), &[])?;
    assert_eq!(up.status.code(), Some(1));
    assert!(text(&up.stderr).contains("V900__tomorrow"), "{up:?}");
    let status = migrate("status", &server.url(), &["--json"])?;
    assert_eq!(status.status.code(), Some(1));
    assert!(body(&status)?["refused"].as_str().is_some_and(|why| why.contains("V900__tomorrow")), "{status:?}");
    Ok(())
}

#[test]
fn a_wrong_address_is_a_setting_and_a_dead_one_a_failure_and_neither_shows_the_password() -> anyhow::Result<()> {
    let none = Command::new(binary::holdfast()?).args(["migrate", "status"]).output()?;
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("postgres.url"), "{none:?}");
    let wrong = migrate("status", "postgresql://me:hush@127.0.0.1:x/db", &[])?;
    assert_eq!(wrong.status.code(), Some(2));
    let server = Postgres::start()?;
    let url = server.url().replace(server.password(), "hush");
    let refused = migrate("status", &url, &[])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("password authentication failed"), "{refused:?}");
    for output in [wrong, refused] {
        assert!(!format!("{}{}", text(&output.stdout), text(&output.stderr)).contains("hush"), "{output:?}");
    }
    Ok(())
}
