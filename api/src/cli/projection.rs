//! `projection`: how far the tables in PostgreSQL are, and building them anew. Both work beside a running server and without
//! one: they read the journal's files and never write to them.

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use holdfast_api::settings::{Settings, SettingsError};
use holdfast_persistence::{
    SnapshotSource, Store,
    postgres::{
        Connector, PostgresError, StoreIdentity,
        projection::{self, ProjectionStatus, RebuildProgress},
    },
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{console, settings::SettingsArguments};

/// What to do with the projection.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectionCommand {
    /// Show what the tables contain, and how far that is behind the journal. Exit code 1 when there are no tables yet.
    Status(ProjectionArguments),
    /// Build all tables anew beside the live ones, then put them in their place at once. The server may go on selling.
    Rebuild(ProjectionArguments),
}

/// Where the database and the data folder are, and how to show the result.
#[derive(Debug, Args)]
pub(crate) struct ProjectionArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(command: &ProjectionCommand) -> anyhow::Result<ExitCode> {
    let (ProjectionCommand::Status(arguments) | ProjectionCommand::Rebuild(arguments)) = command;
    let settings = arguments.settings.clone().load()?;
    if settings.postgres.url.is_none() {
        let problem = "is not set: there is no database to project into".to_owned();
        return Err(SettingsError::from(PostgresError::Setting { setting: "url", problem }).into());
    }
    let connector = Connector::new(&settings.postgres)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the operating system gave no event queue")?;
    match command {
        ProjectionCommand::Status(_) => runtime.block_on(status(&connector, &settings, arguments.json)),
        ProjectionCommand::Rebuild(_) => runtime.block_on(rebuild(&connector, &settings, arguments.json)),
    }
}

/// The journal's folder, if there is one.
fn journal_dir(settings: &Settings) -> Option<PathBuf> {
    Some(Store::journal_dir(Path::new(&settings.store.path))).filter(|dir| dir.is_dir())
}

async fn status(connector: &Connector, settings: &Settings, as_json: bool) -> anyhow::Result<ExitCode> {
    let found = projection::status(connector, journal_dir(settings).as_deref()).await;
    let status = found.with_context(|| format!("cannot look at the projection in schema {}", connector.schema()))?;
    if as_json {
        console::say_json(&in_json(&status))?;
    } else {
        say(connector.schema(), &status)?;
    }
    Ok(if status.shards.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_json(status: &ProjectionStatus) -> serde_json::Value {
    let shards = status
        .shards
        .iter()
        .map(|shard| json!({ "shard": shard.shard.0, "watermark": shard.watermark, "journal": shard.journal }));
    json!({
        "lag_records": status.lag_records(),
        "lag_seconds": status.lag_seconds,
        "shards": shards.collect::<Vec<_>>(),
        "rows": status.rows,
    })
}

fn say(schema: &str, status: &ProjectionStatus) -> anyhow::Result<()> {
    let mut shards = Table::new();
    shards.load_preset(UTF8_BORDERS_ONLY).set_header(["shard", "contained up to", "journal up to"]);
    for shard in &status.shards {
        let end = shard.journal.map_or_else(|| "-".to_owned(), |end| end.to_string());
        shards.add_row([shard.shard.0.to_string(), shard.watermark.to_string(), end]);
    }
    console::say(shards)?;
    let mut rows = Table::new();
    rows.load_preset(UTF8_BORDERS_ONLY).set_header(["table", "rows (estimated)"]);
    for (table, count) in &status.rows {
        rows.add_row([table.clone(), count.to_string()]);
    }
    console::say(rows)?;
    console::say(match status.lag_records() {
        None => format!("schema {schema}: there is no journal here to compare it with"),
        Some(0) => format!("schema {schema}: up to date"),
        Some(records) => format!("schema {schema}: {records} records behind, moved {:.1} s ago", status.lag_seconds),
    })
}

async fn rebuild(connector: &Connector, settings: &Settings, as_json: bool) -> anyhow::Result<ExitCode> {
    let data = Path::new(&settings.store.path);
    let (store, shards) = Store::identity(data).context("cannot read the data folder")?;
    let identity = StoreIdentity { store, shards: shards.get() };
    let bar = bar()?;
    let mut shown = |progress: RebuildProgress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let dir = Store::journal_dir(data);
    // Only then is the data folder opened, which takes a server that is stopped.
    let own = if projection::needs_snapshots(connector, &dir).await? {
        let opened = Store::open(data, &settings.store_options());
        Some(
            opened
                .context("history was purged before it was projected: the rebuild needs the data folder for itself")?,
        )
    } else {
        None
    };
    let own = own.as_ref().map(|store| store.snapshots.as_ref() as &dyn SnapshotSource);
    let pace = &settings.postgres.projection;
    let rebuilt = Box::pin(projection::rebuild(connector, identity, &dir, pace, own, &mut shown)).await;
    bar.finish_and_clear();
    let done = rebuilt.context("the projection was not rebuilt; the live tables are as they were")?;
    let schema = connector.schema();
    let mut text = format!("rebuilt the schema {schema}: {} records, {} rows", done.records, done.rows);
    if done.snapshots > 0 {
        text = format!("{text}, beginning with {} snapshots because older history was purged", done.snapshots);
    }
    if !done.old_dropped {
        text = format!("{text}; somebody still reads the old tables: drop the schema {schema}_old later");
    }
    let json = json!({
        "schema": schema,
        "records": done.records,
        "rows": done.rows,
        "snapshots": done.snapshots,
        "old_dropped": done.old_dropped,
    });
    console::say_either(as_json, &json, text)?;
    Ok(ExitCode::SUCCESS)
}

/// On a terminal only, and on standard error.
fn bar() -> anyhow::Result<ProgressBar> {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let template = "{elapsed_precise} {bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).context("a progress bar")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
