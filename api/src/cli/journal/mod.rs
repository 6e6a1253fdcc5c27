//! `journal`: what is in a data folder, seen without a server. Read-only, and but for `audit` it needs no lock: it may look
//! while a server writes, and then ends where the server is.

mod inspect;
mod replay;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdfast_api::load::crowd::cause_chain;
use holdfast_persistence::{Audit, JournalReader, Store};
use serde_json::json;

use super::console;

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// List the segment files; with --frames or --records what is in them.
    Inspect {
        #[command(flatten)]
        journal: JournalArguments,
        /// List every frame: what one sync made durable.
        #[arg(long)]
        frames: bool,
        /// List every record.
        #[arg(long, conflicts_with = "frames")]
        records: bool,
    },
    /// Read every byte and name the first damage; exit code 1 if there is any.
    Verify {
        #[command(flatten)]
        journal: JournalArguments,
    },
    /// Compare every snapshot with what the journal's records lead to, of a stopped server; exit code 1 if one differs.
    Audit {
        #[command(flatten)]
        journal: JournalArguments,
    },
    /// Apply every record in memory and show what comes out: entities, and the units of every SKU.
    Replay {
        #[command(flatten)]
        journal: JournalArguments,
    },
}

/// Which journal, and how to show it.
#[derive(Debug, Args)]
pub(crate) struct JournalArguments {
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// One JSON object a line instead of text.
    #[arg(long)]
    json: bool,
}

impl JournalArguments {
    fn open(&self) -> anyhow::Result<JournalReader> {
        let folder = Store::journal_dir(&self.data);
        JournalReader::open(&folder).with_context(|| format!("cannot open the journal in {}", self.data.display()))
    }
}

/// Runs the command.
pub(crate) fn run(command: &JournalCommand) -> anyhow::Result<ExitCode> {
    match command {
        JournalCommand::Inspect { journal, frames: true, .. } => inspect::frames(journal)?,
        JournalCommand::Inspect { journal, records: true, .. } => inspect::records(journal)?,
        JournalCommand::Inspect { journal, .. } => inspect::segments(journal)?,
        JournalCommand::Verify { journal } => return verify(journal),
        JournalCommand::Audit { journal } => audit(journal)?,
        JournalCommand::Replay { journal } => return replay::run(journal),
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(journal: &JournalArguments) -> anyhow::Result<ExitCode> {
    let found = journal.open()?.verify().context("cannot verify the journal")?;
    let damage = found.damage.as_ref().map(|damage| cause_chain(damage));
    let torn = found.torn_tail.as_ref().map(ToString::to_string);
    if journal.json {
        console::say_json(&json!({
            "segments": found.segments, "frames": found.frames, "records": found.records, "bytes": found.bytes,
            "torn_tail": torn, "damage": damage, "intact": damage.is_none(),
        }))?;
    } else {
        let (segments, frames, records, bytes) = (found.segments, found.frames, found.records, found.bytes);
        console::say(format!("{segments} segments, {frames} frames, {records} records, {bytes} bytes"))?;
        if let Some(torn) = torn {
            console::say(format!("an unfinished write at the end, cut off at the next start: {torn}"))?;
        }
        console::say(damage.as_deref().unwrap_or("intact"))?;
    }
    Ok(if damage.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn audit(journal: &JournalArguments) -> anyhow::Result<()> {
    let folder = journal.data.display();
    let audit = Store::audit(&journal.data).with_context(|| format!("the audit of {folder} failed"))?;
    let Audit { records, entities, snapshots } = audit;
    let json = json!({ "records": records, "entities": entities, "snapshots": snapshots });
    let text = format!("{snapshots} snapshots are what {records} records of {entities} entities lead to");
    console::say_either(journal.json, &json, text)
}
