//! What came of a campaign, for people and for machines.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use crate::books::Found;

/// Figures of a campaign.
#[derive(Debug, Clone)]
pub struct Report {
    seed: u64,
    kills: BTreeMap<&'static str, u64>,
    sums: Found,
    /// Snapshots that were compared with the journal.
    audited: u64,
    slowest_restart: Duration,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, kills: BTreeMap::new(), sums: Found::default(), audited: 0, slowest_restart: Duration::ZERO }
    }

    pub(super) fn killed(&mut self, point: &'static str, restart: Duration) {
        *self.kills.entry(point).or_default() += 1;
        self.slowest_restart = self.slowest_restart.max(restart);
    }

    pub(super) fn found(&mut self, found: &Found) {
        let sums = &mut self.sums;
        sums.acknowledged += found.acknowledged;
        sums.found += found.found;
        sums.unannounced += found.unannounced;
        sums.units += found.units;
        sums.captured += found.captured;
    }

    pub(super) fn audited(&mut self, snapshots: u64) {
        self.audited += snapshots;
    }

    /// Snapshots that were found to be what the journal leads to.
    pub fn snapshots(&self) -> u64 {
        self.audited
    }

    /// How often the server was killed at the point of this name.
    pub fn kills(&self, point: &str) -> u64 {
        self.kills.get(point).copied().unwrap_or(0)
    }

    /// The sums over all shops.
    pub fn sums(&self) -> &Found {
        &self.sums
    }

    /// A line about one point, with the sums so far.
    pub fn line(&self, point: &str) -> String {
        format!(
            "{point:<20}{:>5} kills | so far {} orders acknowledged, {} found, slowest restart {} ms",
            self.kills(point),
            self.sums.acknowledged,
            self.sums.found,
            self.slowest_restart.as_millis()
        )
    }

    /// The whole for people.
    pub fn summary(&self) -> String {
        let Found { acknowledged, found, unannounced, units, captured } = self.sums;
        let cycles: u64 = self.kills.values().sum();
        format!(
            "{cycles} cycles at {} points (seed {}): {acknowledged} orders acknowledged, {found} found, {} lost; \
             {unannounced} found that nobody was told of; {units} units sold, {captured} orders captured; \
             {} snapshots are what the journal leads to; slowest restart {} ms",
            self.kills.len(),
            self.seed,
            acknowledged.saturating_sub(found),
            self.audited,
            self.slowest_restart.as_millis()
        )
    }

    /// The whole for machines.
    pub fn json(&self) -> Value {
        json!({
            "seed": self.seed,
            "cycles": self.kills.values().sum::<u64>(),
            "kills": self.kills,
            "acknowledged": self.sums.acknowledged,
            "found": self.sums.found,
            "unannounced": self.sums.unannounced,
            "units_sold": self.sums.units,
            "orders_captured": self.sums.captured,
            "snapshots_audited": self.audited,
            "slowest_restart_ms": u64::try_from(self.slowest_restart.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
