//! Every limit of the runtime, named, with its unit and its default. The edge reads them from the configuration's
//! `[runtime]` section.

use holdfast_core::order::{CapturePolicy, Order};
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
    /// A turn takes no further message once its journal records come to about so many bytes. With the largest single record
    /// on top it must stay below the journal's `reserve_bytes`, which bounds a batch.
    pub turn_bytes: usize,
    /// While a batch of the shard is on its way to the disk, the next turn waits until so many messages have gathered, or as many
    /// as a quarter of the node's requests under way (two at least), if that is less. 1 takes a turn for each at once.
    pub gather_messages: usize,
    /// What a refused client is asked to wait, in milliseconds.
    pub retry_after_ms: u64,
    /// How often a shard with nothing to do looks at its deadlines, in milliseconds: the precision of every expiry.
    pub tick_ms: u64,
    /// An entity untouched for so long leaves memory, in milliseconds.
    pub passivate_after_ms: i64,
    /// The most entities all shards of a node keep in memory together; above it the longest idle leave early. A cart takes
    /// up to 500 bytes, an order of one line about 1,050.
    pub max_live_entities: usize,
    /// A shard checkpoints after so many journal records: about what a restart replays per second and core.
    pub checkpoint_records: u64,
    /// ... once so many of its entities have changed, in percent: a checkpoint writes anew whatever lies beside what changed.
    pub checkpoint_changed_percent: u8,
    /// While a node journals more records a second than this, a sale is on: checkpoints wait until it has been over for two seconds,
    /// or half as many entities as `max_live_entities` have changed. Whom none has saved stays in memory until then, if that is not short.
    pub checkpoint_rush_records: u64,
    /// ... and after so many journal records, if those are more, however little has changed and whatever is on.
    pub checkpoint_records_at_most: u64,
    /// A shard with changes checkpoints after so long, in milliseconds.
    pub checkpoint_interval_ms: i64,
    /// The most entities snapshotted in one turn, so that a checkpoint never stalls a sale.
    pub checkpoint_slice: usize,
    /// From so many entities on what waits is written to the snapshot store: those of a shard are synced together, and what they
    /// lie beside is in memory until then. A shard hands out twice as many, and no more until some are written.
    pub snapshot_batch: usize,
    /// The nice value of the thread that encodes and writes snapshots: at 19 it takes what the sale leaves of the processors, and a
    /// hundredth of one where nothing is left.
    pub snapshot_nice: u8,
    /// How long a message to another shard may stay unanswered before it is sent again, in milliseconds.
    pub step_retry_ms: i64,
    /// After so many panics an entity is quarantined.
    pub quarantine_after: u8,
    /// A shard that dies more often than this within a minute is not restarted: the process leaves.
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

/// A setting that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("runtime.{setting} must be from {min} to {max}, not {given}")]
pub struct SettingError {
    /// Its name.
    pub setting: &'static str,
    /// What it is.
    pub given: i128,
    /// The least it may be.
    pub min: i128,
    /// The most it may be.
    pub max: i128,
}

/// The longest span of time a setting may name, in milliseconds: ten years.
const LONGEST_MS: i128 = 10 * 365 * 24 * 60 * 60 * 1_000;

impl RuntimeSettings {
    /// Refuses what would stop or break a shard.
    ///
    /// # Errors
    /// [`SettingError`] naming the first senseless setting.
    pub fn check(&self) -> Result<(), SettingError> {
        let counted = |units: usize| i128::try_from(units).unwrap_or(i128::MAX);
        let bounds = [
            ("hold_ttl_ms", i128::from(self.hold_ttl_ms), 1, LONGEST_MS),
            ("cart_ttl_ms", i128::from(self.cart_ttl_ms), 1, LONGEST_MS),
            ("checkout_deadline_ms", i128::from(self.checkout_deadline_ms), 1, LONGEST_MS),
            ("max_order_lines", counted(self.max_order_lines), 1, counted(Order::MAX_LINES)),
            ("mailbox_permits", counted(self.mailbox_permits), 1, 10_000_000),
            ("turn_messages", counted(self.turn_messages), 1, 1_000_000),
            ("gather_messages", counted(self.gather_messages), 1, 1_000_000),
            ("turn_bytes", counted(self.turn_bytes), 1, 1 << 30),
            ("tick_ms", i128::from(self.tick_ms), 1, 1_000),
            ("passivate_after_ms", i128::from(self.passivate_after_ms), 1, LONGEST_MS),
            ("max_live_entities", counted(self.max_live_entities), 1, i128::MAX),
            ("checkpoint_records", i128::from(self.checkpoint_records), 1, i128::MAX),
            ("checkpoint_changed_percent", i128::from(self.checkpoint_changed_percent), 0, 100),
            ("checkpoint_rush_records", i128::from(self.checkpoint_rush_records), 1, i128::MAX),
            ("checkpoint_records_at_most", i128::from(self.checkpoint_records_at_most), 1, i128::MAX),
            ("checkpoint_interval_ms", i128::from(self.checkpoint_interval_ms), 1, LONGEST_MS),
            ("checkpoint_slice", counted(self.checkpoint_slice), 1, 1_000_000),
            ("snapshot_batch", counted(self.snapshot_batch), 1, 1_000_000),
            ("snapshot_nice", i128::from(self.snapshot_nice), 0, 19),
            ("step_retry_ms", i128::from(self.step_retry_ms), 1, LONGEST_MS),
            ("quarantine_after", i128::from(self.quarantine_after), 1, 255),
        ];
        for (setting, given, min, max) in bounds {
            if given < min || given > max {
                return Err(SettingError { setting, given, min, max });
            }
        }
        Ok(())
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
            turn_bytes: 1 << 20,
            gather_messages: 32,
            retry_after_ms: 1_000,
            tick_ms: 100,
            passivate_after_ms: 5 * 60 * 1_000,
            max_live_entities: 5_000_000,
            checkpoint_records: 2_000_000,
            checkpoint_changed_percent: 25,
            checkpoint_rush_records: 20_000,
            checkpoint_records_at_most: 16_000_000,
            checkpoint_interval_ms: 10 * 60 * 1_000,
            checkpoint_slice: 256,
            snapshot_batch: 4_096,
            snapshot_nice: 19,
            step_retry_ms: 2_000,
            quarantine_after: 3,
            shard_restarts_per_minute: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(RuntimeSettings::default().check(), Ok(()));
    }

    #[test]
    fn a_setting_that_would_stop_a_shard_is_refused_by_name() {
        let settings = RuntimeSettings { turn_messages: 0, ..RuntimeSettings::default() };
        assert_eq!(settings.check().expect_err("refused").setting, "turn_messages");
        let settings = RuntimeSettings { hold_ttl_ms: -5, ..RuntimeSettings::default() };
        assert_eq!(settings.check().expect_err("refused").setting, "hold_ttl_ms");
    }
}
