//! What a run did, counted as it goes.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use crate::{bus::BusFigures, world::World};

/// Counts of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    pub(crate) starts: u64,
    /// Records that were decided, never acknowledged, and gone after a crash.
    pub(crate) unacknowledged: u64,
    pub(crate) bus: BusFigures,
    pub(crate) faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// One more of a kind.
    pub(crate) fn note(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }
}

impl BusFigures {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.duplicated += other.duplicated;
        self.delayed += other.delayed;
    }
}

impl World {
    /// Everything that went wrong, by kind.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        let mut faults = self.tally.faults.clone();
        let (bus, gateway) = (self.bus_figures(), self.machine.gateway.figures());
        let panics = self.machine.panics.count.load(Ordering::Relaxed);
        faults.extend([
            ("messages dropped", bus.dropped),
            ("messages duplicated", bus.duplicated),
            ("messages delayed", bus.delayed),
            ("calls lost before", gateway.lost_before),
            ("calls lost after", gateway.lost_after),
            ("calls unavailable", gateway.unavailable),
            ("calls late", gateway.late),
            ("webhooks", gateway.webhooks),
            ("keys forgotten", gateway.forgotten),
            ("write or sync errors", self.machine.disk.failures()),
            ("snapshot errors", self.machine.snapshots.failures()),
            ("panics", panics),
        ]);
        faults
    }

    /// What happened otherwise, by kind.
    pub(crate) fn events(&self) -> BTreeMap<&'static str, u64> {
        let outside = *self.outside.figures.lock();
        BTreeMap::from([
            ("replays", outside.replays),
            ("refusals", outside.refusals),
            ("lost answers", outside.lost),
            ("hung up", outside.hung_up),
            ("put off", outside.put_off),
            ("cancels", outside.cancels),
            ("shipments", outside.shipments),
            ("refunds", outside.refunds),
            ("keys misused", outside.misuses),
            ("carts", outside.carts),
            ("starts", self.tally.starts),
            ("records lost unacknowledged", self.tally.unacknowledged),
            ("gateway calls", self.machine.gateway.figures().calls),
            ("messages", self.bus_figures().sent),
        ])
    }
}
