//! `migrate`: the schema in PostgreSQL, brought up to date or only looked at. It needs no data folder and no server.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use holdfast_api::settings::SettingsError;
use holdfast_persistence::postgres::{
    AppliedMigration, Connector, MigrationState, MigrationStatus, PostgresError, migrate,
};
use serde_json::{Value, json};

use super::{console, settings::SettingsArguments};

/// What to do with the schema.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Apply every migration that is missing, making the schema (`postgres.schema`) if it is not there.
    Up(MigrateArguments),
    /// List the migrations and how they stand. Exit code 1 when the schema is not up to date, or refused.
    Status(MigrateArguments),
}

/// Where the database is, and how to show its state.
#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(command: &MigrateCommand) -> anyhow::Result<ExitCode> {
    let (MigrateCommand::Up(arguments) | MigrateCommand::Status(arguments)) = command;
    let (settings, json) = (arguments.settings.clone().load()?.postgres, arguments.json);
    if settings.url.is_none() {
        let problem = "is not set: there is no database to migrate".to_owned();
        return Err(SettingsError::from(PostgresError::Setting { setting: "url", problem }).into());
    }
    let connector = Connector::new(&settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the operating system gave no event queue")?;
    match command {
        MigrateCommand::Up(_) => runtime.block_on(up(&connector, json))?,
        MigrateCommand::Status(_) => return runtime.block_on(status(&connector, json)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(connector: &Connector, as_json: bool) -> anyhow::Result<()> {
    let applied = migrate::up(connector).await.context("cannot migrate")?;
    let schema = connector.schema();
    let text = match applied.as_slice() {
        [] => format!("the schema {schema} is up to date"),
        some => format!("applied to the schema {schema}: {}", some.join(", ")),
    };
    console::say_either(as_json, &json!({ "schema": schema, "applied": applied }), text)
}

async fn status(connector: &Connector, as_json: bool) -> anyhow::Result<ExitCode> {
    let status = migrate::status(connector).await.context("cannot look at the schema")?;
    let verdict = status.next().map(|next| next.map(str::to_owned));
    let refused = verdict.as_ref().err().map(ToString::to_string);
    if as_json {
        console::say_json(&in_json(&status, matches!(verdict, Ok(None)), refused.as_deref()))?;
    } else {
        console::say(table(&status))?;
        let words = match &verdict {
            Ok(None) => "up to date".to_owned(),
            Ok(Some(next)) => format!("not up to date: {next} is next (holdfast migrate up)"),
            Err(error) => format!("refused: {error}"),
        };
        console::say(format!("schema {}: {words}", status.schema))?;
    }
    Ok(if matches!(verdict, Ok(None)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_json(status: &MigrationStatus, is_current: bool, refused: Option<&str>) -> Value {
    let migration = |migration: &AppliedMigration| json!({ "name": migration.name, "state": word(migration.state), "applied_on": migration.applied_on });
    let migrations: Vec<_> = status.migrations.iter().map(migration).collect();
    json!({ "schema": status.schema, "up_to_date": is_current, "refused": refused, "migrations": migrations })
}

fn table(status: &MigrationStatus) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(["migration", "state", "applied on"]);
    for migration in &status.migrations {
        table.add_row([
            migration.name.as_str(),
            word(migration.state),
            migration.applied_on.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

/// A state in one word.
const fn word(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Applied => "applied",
        MigrationState::Pending => "pending",
        MigrationState::Newer => "newer",
        MigrationState::Changed => "changed",
        MigrationState::Unknown => "unknown",
        MigrationState::Missing => "missing",
    }
}
