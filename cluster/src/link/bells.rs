//! Wakes what waits for a shard to be asked: when its owner changes, and when its mailbox here opens or closes.
//!
//! Invariant: who subscribed before it looked misses no change. Places to wait have a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use holdfast_actors::Mailbox;
use holdfast_core::ShardId;
use tokio::sync::watch;

use crate::owners::{Owners, Ownership};

/// How often mailboxes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One bell per shard.
#[derive(Debug)]
pub(super) struct Bells {
    shards: Vec<watch::Sender<u64>>,
    waiting: AtomicUsize,
    limit: usize,
}

/// A place to wait in.
#[derive(Debug)]
pub(super) struct Place(Arc<Bells>);

impl Bells {
    pub(super) fn new(count: usize, limit: usize) -> Arc<Self> {
        let shards = (0..count).map(|_| watch::Sender::new(0)).collect();
        Arc::new(Self { shards, waiting: AtomicUsize::new(0), limit })
    }

    /// Tells whenever there may be news of the shard.
    pub(super) fn listen(&self, shard: ShardId) -> Option<watch::Receiver<u64>> {
        self.shards.get(usize::from(shard.0)).map(watch::Sender::subscribe)
    }

    /// There may be news of the shard.
    pub(super) fn ring(&self, shard: ShardId) {
        if let Some(bell) = self.shards.get(usize::from(shard.0)) {
            bell.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// A place to wait, if one is left.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("holdfast_cluster_waiting_refused_total").increment(1);
            return None;
        }
        Some(Place(Arc::clone(self)))
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Rings whenever anything changes. Ends with the owners.
    pub(super) async fn run(self: Arc<Self>, owners: Arc<Owners>, mailboxes: Arc<[Arc<Mailbox>]>) {
        let look = |mailbox: &Arc<Mailbox>| (owners.of(mailbox.shard()), mailbox.is_open());
        let mut known: Vec<(Ownership, bool)> = mailboxes.iter().map(look).collect();
        let mut changes = owners.changes();
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = changes.changed() => if news.is_err() { return },
                _ = interval.tick() => {}
            }
            for (mailbox, known) in mailboxes.iter().zip(&mut known) {
                let found = look(mailbox);
                if found != *known {
                    *known = found;
                    self.ring(mailbox.shard());
                }
            }
            metrics::gauge!("holdfast_cluster_waiting")
                .set(f64::from(u32::try_from(self.waiting()).unwrap_or(u32::MAX)));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_wait_are_counted_and_given_back() {
        let bells = Bells::new(1, 1);
        let place = bells.place();
        assert!(place.is_some());
        assert!(bells.place().is_none(), "there is only one");
        drop(place);
        assert!(bells.place().is_some());
    }

    #[test]
    fn who_listens_hears_only_its_own_shard() {
        let bells = Bells::new(2, 1);
        let heard = bells.listen(ShardId(1)).expect("there is one");
        bells.ring(ShardId(0));
        assert!(!heard.has_changed().expect("the bells are there"));
        bells.ring(ShardId(1));
        assert!(heard.has_changed().expect("the bells are there"));
        assert!(bells.listen(ShardId(2)).is_none());
    }
}
