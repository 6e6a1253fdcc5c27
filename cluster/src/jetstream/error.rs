//! Why a journal in NATS cannot be opened, or a shard of it not be had. Every error says what was found and what to do.

use holdfast_core::ShardId;

/// A fault or a refusal at start.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No server could be reached.
    #[error("cannot connect to NATS at {url}")]
    Connect {
        /// `nats.url`.
        url: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server is too old.
    #[error("the NATS server {server} is version {found}, at least 2.11 is needed: appends are not fenced before")]
    TooOld {
        /// Its name.
        server: String,
        /// Its version.
        found: String,
    },
    /// A server takes too small messages.
    #[error(
        "the NATS server {server} takes messages of at most {found} bytes, a batch may have {needed} \
         (store.journal.reserve_bytes): set max_payload in its configuration"
    )]
    Payload {
        /// Its name.
        server: String,
        /// Its limit, in bytes.
        found: u64,
        /// What is needed, in bytes.
        needed: u64,
    },
    /// `JetStream` is off.
    #[error("JetStream is not enabled on the NATS servers, or not for this user: set jetstream in their configuration")]
    NoJetStream,
    /// A server acknowledges before it has synced.
    #[error(
        "the NATS server at {monitor} acknowledges before it has synced to disk (sync_interval is {found}): set \
         `sync_interval: always` in the jetstream block of its configuration"
    )]
    NotDurable {
        /// Its monitoring address.
        monitor: String,
        /// What it says.
        found: String,
    },
    /// A monitoring address does not say what is needed.
    #[error("the NATS server's monitoring address {monitor} cannot be asked (nats.monitors): {problem}")]
    Monitor {
        /// The address.
        monitor: String,
        /// What is wrong.
        problem: String,
    },
    /// A stream is not as it has to be.
    #[error("the stream {stream} is not fit to be a journal: {problem}")]
    Stream {
        /// Its name.
        stream: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A stream is gone.
    #[error("the stream {stream} is gone although the store has one for every shard: restore it from a copy")]
    StreamLost {
        /// Its name.
        stream: String,
    },
    /// The shard could not be taken over in time.
    #[error("shard {} could not be taken over within {waited_ms} ms (nats.start_deadline_ms): {last}", shard.0)]
    Takeover {
        /// The shard.
        shard: ShardId,
        /// How long it was tried, in milliseconds.
        waited_ms: u64,
        /// How the last attempt ended.
        last: String,
    },
    /// Another node has taken the shard over, before this one could begin or let go.
    #[error("shard {} is another node's", shard.0)]
    Overtaken {
        /// The shard.
        shard: ShardId,
    },
    /// The shard is not this node's to let go.
    #[error("shard {} is not owned here", shard.0)]
    NotOwned {
        /// The shard.
        shard: ShardId,
    },
    /// There is no such shard.
    #[error("there is no shard {}", shard.0)]
    UnknownShard {
        /// The shard.
        shard: ShardId,
    },
    /// The shard's tail ended, or there is none.
    #[error("nobody follows shard {} here", shard.0)]
    NotFollowed {
        /// The shard.
        shard: ShardId,
    },
    /// The journal failed or was closed.
    #[error("the journal takes nothing more: {0}")]
    Closed(String),
    /// The servers refused or did not answer.
    #[error("NATS did not {action}")]
    Request {
        /// What was asked for, as a verb.
        action: &'static str,
        /// Why not.
        #[source]
        source: RequestError,
    },
    /// The log holds what is no message of this store.
    #[error(transparent)]
    Journal(#[from] holdfast_persistence::JournalError),
    /// The operating system gave no thread or no randomness.
    #[error("the operating system refused {what}: {problem}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        problem: String,
    },
}

/// Why one request was not answered as wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody serves it: there is no leader now, or `JetStream` is off.
    #[error("nobody answers it")]
    NoResponders,
    /// The answer did not come in time.
    #[error("the answer did not come in time")]
    TimedOut,
    /// The connection is gone.
    #[error("the connection is gone: {0}")]
    Connection(String),
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
    /// `JetStream` refused it.
    #[error("{description} ({code})")]
    Refused {
        /// `JetStream`'s own error code.
        code: u64,
        /// What it says.
        description: String,
    },
}
