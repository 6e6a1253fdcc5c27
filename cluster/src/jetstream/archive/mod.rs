//! The shards' snapshots in the servers that have the journal, for stores without `PostgreSQL`: what an empty node is filled
//! from once the streams no longer reach back to the beginning, and what lets them be purged.
//!
//! One stream holds *editions*: an edition is every snapshot of a shard as of a watermark, in pages, and an end that says it is
//! whole. Its subjects name the shard, the watermark and the epoch of its writer, so that [`Archive::contents`] sees all there
//! is in one answer of the stream's leader. `edition` is those names, `write` and `read` the messages, `archivist` decides when.
//!
//! Invariants: an edition is only ever replaced by a whole one with a later watermark, so no writer can set the archive back,
//! whatever it believes to own: one that stood still for an hour adds what is true and old. An edition counts only with its
//! end, which comes after its last page. History is purged below the watermark of the edition before the newest, never above:
//! whoever is being filled from an edition that is replaced meanwhile still finds what follows it.

mod archivist;
mod edition;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::StoreId;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

pub use archivist::Archivist;
use edition::{Edition, Part};

use super::{
    connect::PAUSE,
    error::RequestError,
    requests::{Requests, StreamConfig, StreamInfo},
    settings::NatsSettings,
    streams::{self, PASSING},
};

/// What a page is filled up to, in bytes: appends of the journal wait behind it on the same connection.
const PAGE_BYTES: usize = 128 << 10;
/// The longest message, in bytes, where the servers take it: a page with a single large state is more than one.
const MESSAGE_BYTES: usize = 512 << 10;
/// What a message takes besides its payload, in bytes: headers, generously.
const HEADER_BYTES: usize = 1_024;

/// The archive of one deployment. Its calls block, and must not be made on a thread that drives tasks.
pub struct Archive {
    requests: Requests,
    handle: Handle,
    stream: String,
    /// What its subjects begin with.
    root: String,
    replicas: usize,
    shards: ShardCount,
    /// How long it is tried to read what must be there.
    deadline: Duration,
    page_bytes: usize,
    message_bytes: usize,
    /// The editions that are being read; `None` for a shard that had none.
    chosen: Mutex<BTreeMap<ShardId, Option<Edition>>>,
}

/// What the archive holds.
#[derive(Debug, Default)]
struct Contents {
    /// Whose store it is.
    store: Option<StoreId>,
    /// Why history cannot be let go for it.
    problem: Option<String>,
    /// Editions that are whole.
    whole: BTreeSet<Edition>,
    /// The others: being written, being deleted, or what their writer left behind.
    parts: BTreeSet<Edition>,
}

impl Contents {
    /// The newest whole edition of a shard.
    fn newest(&self, shard: ShardId) -> Option<Edition> {
        self.whole.iter().filter(|edition| edition.shard == shard).max().copied()
    }

    /// What attempts before this one left of the shard: the writer's own, and those of who owned it before.
    fn abandoned(&self, by: Edition) -> impl Iterator<Item = Edition> {
        self.parts.iter().filter(move |edition| edition.shard == by.shard && edition.epoch <= by.epoch).copied()
    }

    /// What a newer whole edition makes useless.
    fn useless(&self, newest: Edition) -> impl Iterator<Item = Edition> {
        let all = self.whole.iter().chain(&self.parts);
        all.filter(move |edition| edition.shard == newest.shard && **edition < newest).copied()
    }
}

impl Archive {
    pub(super) fn new(requests: Requests, handle: Handle, settings: &NatsSettings, shards: ShardCount) -> Self {
        let message_bytes = requests.client.max_payload().saturating_sub(HEADER_BYTES).clamp(1, MESSAGE_BYTES);
        Self {
            requests,
            handle,
            stream: format!("HOLDFAST_{}_ARCHIVE", settings.deployment),
            root: format!("holdfast.{}.archive", settings.deployment),
            replicas: settings.replicas,
            shards,
            deadline: settings.start_deadline(),
            page_bytes: PAGE_BYTES,
            message_bytes,
            chosen: Mutex::default(),
        }
    }

    /// What there is, as the stream's leader says it.
    async fn contents(&self) -> Result<Contents, RequestError> {
        let filter = json!({ "subjects_filter": format!("{}.>", self.root) });
        let Some(info) = self.requests.stream_with(&self.stream, &filter).await? else {
            return Ok(Contents::default());
        };
        let (store, problem) = (streams::store_of(&info), self.problem(&info.config));
        let mut contents = Contents { store, problem, ..Contents::default() };
        for subject in info.state.subjects.keys() {
            match Edition::parse(&self.root, subject) {
                Some((edition, Part::End)) => contents.whole.insert(edition),
                Some((edition, Part::Pages)) => contents.parts.insert(edition),
                None => continue,
            };
        }
        contents.parts.retain(|edition| !contents.whole.contains(edition));
        Ok(contents)
    }

    /// The same, for as long as a start may take: a server that has just started may not show the stream at first.
    async fn contents_patiently(&self) -> Result<Contents, RequestError> {
        let began = Instant::now();
        loop {
            let answer = self.contents().await;
            if answer.as_ref().is_ok_and(|contents| contents.store.is_some()) || began.elapsed() + PAUSE > self.deadline
            {
                return answer;
            }
            tracing::debug!(?answer, "the archive was not read, and is asked again");
            sleep(PAUSE).await;
        }
    }

    /// What is not kept as safely as the journal is cannot take its place.
    fn problem(&self, found: &StreamConfig) -> Option<String> {
        let (stream, wanted) = (&self.stream, self.replicas);
        if found.num_replicas < wanted {
            let found = found.num_replicas;
            return Some(format!(
                "{stream} has {found} replicas, nats.replicas is {wanted}: `nats stream edit --replicas {wanted}` it"
            ));
        }
        let is_lossy = found.has_limit() || found.storage != "file" || found.retention != "limits";
        is_lossy.then(|| {
            format!("{stream} does not keep what it takes: it must be in files, without limits of age or size")
        })
    }

    /// Makes the stream where it is missing. The same again is no error.
    async fn prepare(&self, store: StoreId) -> Result<StreamInfo, RequestError> {
        let metadata = streams::metadata_of(store, self.shards);
        let subjects = vec![format!("{}.>", self.root)];
        self.requests.create(&StreamConfig::lossless(self.stream.clone(), subjects, self.replicas, metadata)).await
    }

    /// Deletes an edition. Its end goes first, so that it is never taken for whole again.
    async fn delete(&self, edition: Edition) -> Result<(), RequestError> {
        for part in [Part::End, Part::Pages] {
            let filter = json!({ "filter": edition.subject(&self.root, part) });
            let _: Value = self.requests.ask(&format!("STREAM.PURGE.{}", self.stream), &filter).await?;
        }
        Ok(())
    }
}

/// Whether asking again may help.
fn passes(error: &RequestError) -> bool {
    !matches!(error, RequestError::Refused { code, .. } if !PASSING.contains(code))
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("stream", &self.stream).finish_non_exhaustive()
    }
}
