//! How the projection paces itself and how much it holds: section `[postgres.projection]`.

use serde::{Deserialize, Serialize};

use crate::{journal::FollowLimit, postgres::PostgresError};

/// Settings of the projection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectionSettings {
    /// Records of one batch at most, in number. Larger batches write a hot row less often; this many take about 0.2 s.
    pub batch_records: usize,
    /// Records of one batch at most, in bytes as encoded: with the rows made of them, about ten times this is held.
    pub batch_bytes: usize,
    /// Entities remembered between batches, in number; about 1 KiB each. One that is not is read back when it is needed.
    pub entities: usize,
    /// Up to this size the state of an entity is written whole by every batch that touches it, in bytes. Of a larger one only
    /// its events are, until they come to the size of the state: the stock of a hot SKU is megabytes.
    pub whole_bytes: usize,
    /// How long records are gathered before they are projected, in milliseconds: the lag when nothing else is going on.
    pub gather_ms: u64,
    /// Above so many journal records per second the sale counts as busy, and the projection begins to yield: the more is
    /// sold, the less it works. A checkout makes about six.
    pub busy_records_per_s: u64,
    /// From so many journal records per second on the projection works `busy_share_percent` of the time and no more. This
    /// many is what a machine can sell and project at once.
    pub rush_records_per_s: u64,
    /// The share of the time the projection may work in a rush, in percent. What is left over is caught up with afterwards.
    pub busy_share_percent: u32,
    /// Records of one batch at most in a rush, in number: a short batch is felt by no buyer. Between a quiet shop and a rush the
    /// batches grow shorter with the share.
    pub busy_batch_records: usize,
    /// The longest the projection rests between two batches while the sale is busy, in milliseconds.
    pub busy_rest_ms: u64,
    /// The wait after the first failure, in milliseconds; it doubles with each further one.
    pub retry_initial_ms: u64,
    /// The longest wait between two attempts, in milliseconds.
    pub retry_max_ms: u64,
    /// Journal history kept for a projection that does not come forward, in bytes, when `store.journal.retain_bytes` bounds
    /// the history. Beyond it the history is purged all the same, and the projection must be rebuilt.
    pub backlog_bytes: u64,
}

impl Default for ProjectionSettings {
    fn default() -> Self {
        Self {
            batch_records: 32_768,
            batch_bytes: 8 << 20,
            entities: 65_536,
            whole_bytes: 4_096,
            gather_ms: 100,
            busy_records_per_s: 5_000,
            rush_records_per_s: 40_000,
            busy_share_percent: 5,
            busy_batch_records: 4_096,
            busy_rest_ms: 10_000,
            retry_initial_ms: 200,
            retry_max_ms: 10_000,
            backlog_bytes: 16 << 30,
        }
    }
}

impl ProjectionSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`PostgresError::Setting`] naming the first that makes no sense.
    pub fn validate(&self) -> Result<(), PostgresError> {
        let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        within("projection.batch_records", number(self.batch_records), 1, 1 << 20)?;
        within("projection.batch_bytes", number(self.batch_bytes), 1 << 10, 256 << 20)?;
        within("projection.entities", number(self.entities), 1, 1 << 30)?;
        within("projection.whole_bytes", number(self.whole_bytes), 0, 256 << 20)?;
        within("projection.gather_ms", self.gather_ms, 0, 60_000)?;
        within("projection.busy_records_per_s", self.busy_records_per_s, 1, u64::MAX)?;
        within("projection.rush_records_per_s", self.rush_records_per_s, self.busy_records_per_s, u64::MAX)?;
        within("projection.busy_share_percent", self.busy_share_percent.into(), 1, 100)?;
        within("projection.busy_batch_records", number(self.busy_batch_records), 1, 1 << 20)?;
        within("projection.busy_rest_ms", self.busy_rest_ms, 0, 600_000)?;
        within("projection.retry_initial_ms", self.retry_initial_ms, 1, 600_000)?;
        within("projection.retry_max_ms", self.retry_max_ms, self.retry_initial_ms, 3_600_000)?;
        within("projection.backlog_bytes", self.backlog_bytes, 0, u64::MAX)
    }

    /// How much a batch may be when the projection may work this share of the time: the less the sale leaves over, the shorter.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "below 2^20"
    )]
    pub(super) fn limit(&self, share: f64) -> FollowLimit {
        let (least, most) = (self.busy_batch_records.min(self.batch_records), self.batch_records);
        let rush = f64::from(self.busy_share_percent.clamp(1, 100)) / 100.0;
        let left_over = if share < 1.0 { (share - rush) / (1.0 - rush) } else { 1.0 };
        let records = least + ((most - least) as f64 * left_over.clamp(0.0, 1.0)) as usize;
        FollowLimit { records, bytes: self.batch_bytes }
    }
}

fn within(setting: &'static str, given: u64, min: u64, max: u64) -> Result<(), PostgresError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    let problem = format!("must be from {min} to {max}, not {given}");
    Err(PostgresError::Setting { setting, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_whole_in_a_quiet_shop_and_short_in_a_rush() {
        let settings = ProjectionSettings {
            batch_records: 1_000,
            busy_batch_records: 100,
            busy_share_percent: 10,
            ..ProjectionSettings::default()
        };
        assert_eq!(settings.limit(1.0).records, 1_000);
        assert_eq!(settings.limit(0.55).records, 550);
        assert_eq!(settings.limit(0.1).records, 100);
        let always = ProjectionSettings { busy_share_percent: 100, ..settings };
        assert_eq!(always.limit(1.0).records, 1_000);
    }
}
