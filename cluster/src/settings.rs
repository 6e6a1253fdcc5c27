//! `[cluster]`: what this node is called among the others, and how long each thing between them may take.
//!
//! Invariant: a node's lease ends before any other may take its shards over.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::jetstream::settings::{NatsSettingError, within};

/// This node among others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// What the node is called: its own name in every start, and nobody else's. Letters, digits, `-` and `_`, at most 32.
    /// Empty: there are no other nodes.
    pub node: String,
    /// Where operators reach this node's admin listener, as `http://host:port`; shown to them by every node.
    pub admin_url: String,
    /// How often a node says that it is alive, in milliseconds.
    pub beat_interval_ms: u64,
    /// A node that was silent for so long is taken for dead and its shards are taken over, in milliseconds.
    pub dead_after_ms: u64,
    /// For so long after a quorum last heard from it a node answers from memory, in milliseconds.
    pub lease_ms: u64,
    /// How long one attempt to ask another node may take, in milliseconds. Then it is asked again, under the same id.
    pub attempt_timeout_ms: u64,
    /// How long a request to another node may take with all its attempts, in milliseconds.
    pub request_deadline_ms: u64,
    /// How many requests may wait for a shard that changes hands, in number. Further ones are refused at once.
    pub waiting_requests: usize,
    /// How many messages to other nodes may wait to be sent, in number. Further ones are dropped, and asked for again later.
    pub outgoing_messages: usize,
    /// How many requests, how many messages and how many answers of other nodes may wait to be looked at, in number. Further
    /// ones are dropped, and sent again by who misses the answer.
    pub incoming_messages: usize,
    /// How many requests, messages and answers may wait to be written to a NATS server, in number. Who has another one waits.
    pub unwritten_messages: usize,
    /// How many commands' outcomes are remembered for repeats, in number.
    pub remembered_commands: usize,
    /// For how long a command's outcome is remembered, in milliseconds.
    pub remember_ms: u64,
    /// How many shards a node hands over at once, in number.
    pub moves_at_once: usize,
    /// How long a shard that is handed over may take to finish what it has accepted, in milliseconds.
    pub handover_ms: u64,
    /// How long the nodes that are there must stay the same before shards move to a new one, in milliseconds.
    pub settle_ms: u64,
    /// How soon followers are told of what is durable, in milliseconds: all of that time in one message.
    pub tail_hint_ms: u64,
    /// How often a follower looks for what nobody told it of, in milliseconds.
    pub tail_poll_ms: u64,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            node: String::new(),
            admin_url: String::new(),
            beat_interval_ms: 500,
            dead_after_ms: 3_000,
            lease_ms: 2_000,
            attempt_timeout_ms: 250,
            request_deadline_ms: 8_000,
            waiting_requests: 10_000,
            outgoing_messages: 100_000,
            incoming_messages: 65_536,
            unwritten_messages: 4_096,
            remembered_commands: 100_000,
            remember_ms: 30_000,
            moves_at_once: 2,
            handover_ms: 5_000,
            settle_ms: 2_000,
            tail_hint_ms: 5,
            tail_poll_ms: 500,
        }
    }
}

impl ClusterSettings {
    /// Whether there are other nodes at all.
    pub fn is_on(&self) -> bool {
        !self.node.is_empty()
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`NatsSettingError`] naming the first setting that cannot be used.
    pub fn check(&self) -> Result<(), NatsSettingError> {
        if self.is_on() && !is_name(&self.node) {
            let problem = "must be 1 to 32 letters, digits, '-' or '_'".to_owned();
            return Err(NatsSettingError { setting: "cluster.node", problem });
        }
        let minute = 60_000;
        within("cluster.beat_interval_ms", self.beat_interval_ms, 10, minute)?;
        within("cluster.dead_after_ms", self.dead_after_ms, self.beat_interval_ms.saturating_mul(2), 10 * minute)?;
        within("cluster.lease_ms", self.lease_ms, self.beat_interval_ms, self.dead_after_ms.saturating_sub(1))?;
        within("cluster.attempt_timeout_ms", self.attempt_timeout_ms, 10, minute)?;
        within("cluster.request_deadline_ms", self.request_deadline_ms, self.attempt_timeout_ms, 10 * minute)?;
        within("cluster.waiting_requests", self.waiting_requests as u64, 1, 10_000_000)?;
        within("cluster.outgoing_messages", self.outgoing_messages as u64, 1, 10_000_000)?;
        within("cluster.incoming_messages", self.incoming_messages as u64, 16, 10_000_000)?;
        within("cluster.unwritten_messages", self.unwritten_messages as u64, 16, 1_000_000)?;
        within("cluster.remembered_commands", self.remembered_commands as u64, 1, 10_000_000)?;
        within("cluster.remember_ms", self.remember_ms, self.request_deadline_ms, 60 * minute)?;
        within("cluster.moves_at_once", self.moves_at_once as u64, 1, 1_024)?;
        within("cluster.handover_ms", self.handover_ms, 10, 10 * minute)?;
        within("cluster.settle_ms", self.settle_ms, 0, 60 * minute)?;
        within("cluster.tail_hint_ms", self.tail_hint_ms, 0, minute)?;
        within("cluster.tail_poll_ms", self.tail_poll_ms, 10, minute)
    }

    /// [`ClusterSettings::dead_after_ms`].
    pub fn dead_after(&self) -> Duration {
        Duration::from_millis(self.dead_after_ms)
    }

    /// [`ClusterSettings::beat_interval_ms`].
    pub fn beat_interval(&self) -> Duration {
        Duration::from_millis(self.beat_interval_ms)
    }

    /// [`ClusterSettings::attempt_timeout_ms`].
    pub fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms)
    }

    /// [`ClusterSettings::request_deadline_ms`].
    pub fn request_deadline(&self) -> Duration {
        Duration::from_millis(self.request_deadline_ms)
    }
}

/// Whether a node, or a deployment, may be called so: it becomes a part of subjects and of stream names.
pub fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=32).contains(&text.len()) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_outlasts_the_silence_is_refused_and_the_defaults_are_not() {
        let mut settings = ClusterSettings { node: "n1".to_owned(), ..ClusterSettings::default() };
        assert_eq!(settings.check(), Ok(()));
        settings.lease_ms = settings.dead_after_ms;
        assert_eq!(settings.check().map_err(|error| error.setting), Err("cluster.lease_ms"));
        let settings = ClusterSettings { node: "n.1".to_owned(), ..ClusterSettings::default() };
        assert_eq!(settings.check().map_err(|error| error.setting), Err("cluster.node"));
    }
}
