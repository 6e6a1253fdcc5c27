//! Every limit of the runtime, named, with its unit and its default. The edge reads them from the configuration's
//! `[runtime]` section.

use holdfast_core::order::CapturePolicy;
use serde::{Deserialize, Serialize};

/// The runtime's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeSettings {
    /// How long an order may wait for its payment before its holds lapse, in milliseconds.
    pub hold_ttl_ms: i64,
    /// How long a cart lives after its last change, in milliseconds.
    pub cart_ttl_ms: i64,
    /// How long one checkout attempt may take over all its shards, in milliseconds. Past it no shard accepts the order.
    pub checkout_deadline_ms: i64,
    /// The most lines of one order, after lines of one SKU were added up.
    pub max_order_lines: usize,
    /// When authorized amounts are captured: `on_shipment` or `on_confirmation`.
    pub capture: CaptureSetting,
    /// The most requests that may wait for or be in one shard; the next is refused with 503.
    pub mailbox_permits: usize,
    /// The most messages of one turn: the upper bound of a journal batch, in messages.
    pub turn_messages: usize,
    /// What a refused client is asked to wait, in milliseconds.
    pub retry_after_ms: u64,
    /// How often a shard with nothing to do looks at its deadlines, in milliseconds: the precision of every expiry.
    pub tick_ms: u64,
    /// An entity untouched for so long leaves memory, in milliseconds.
    pub passivate_after_ms: i64,
    /// The most entities all shards of a node keep in memory together; above it the longest idle leave early. A cart takes
    /// up to 500 bytes, an order about 700.
    pub max_live_entities: usize,
    /// A shard checkpoints after so many journal records: about what a restart replays per second and core.
    pub checkpoint_records: u64,
    /// A shard with changes checkpoints after so long, in milliseconds.
    pub checkpoint_interval_ms: i64,
    /// The most entities snapshotted in one turn, so that a checkpoint never stalls a sale.
    pub checkpoint_slice: usize,
    /// How long a message to another shard may stay unanswered before it is sent again, in milliseconds.
    pub step_retry_ms: i64,
    /// After so many panics an entity is quarantined.
    pub quarantine_after: u8,
    /// After so many failures within a minute a shard is not restarted and the process leaves.
    pub shard_restarts_per_minute: u32,
}

/// When authorized amounts are captured, as written in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureSetting {
    /// When the goods leave the house.
    #[default]
    OnShipment,
    /// As soon as the order is confirmed.
    OnConfirmation,
}

impl From<CaptureSetting> for CapturePolicy {
    fn from(setting: CaptureSetting) -> Self {
        match setting {
            CaptureSetting::OnShipment => Self::OnShipment,
            CaptureSetting::OnConfirmation => Self::OnConfirmation,
        }
    }
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            hold_ttl_ms: 10 * 60 * 1_000,
            cart_ttl_ms: 30 * 24 * 60 * 60 * 1_000,
            checkout_deadline_ms: 10_000,
            max_order_lines: 100,
            capture: CaptureSetting::OnShipment,
            mailbox_permits: 8_192,
            turn_messages: 1_024,
            retry_after_ms: 1_000,
            tick_ms: 100,
            passivate_after_ms: 5 * 60 * 1_000,
            max_live_entities: 5_000_000,
            checkpoint_records: 2_000_000,
            checkpoint_interval_ms: 10 * 60 * 1_000,
            checkpoint_slice: 256,
            step_retry_ms: 2_000,
            quarantine_after: 3,
            shard_restarts_per_minute: 5,
        }
    }
}
