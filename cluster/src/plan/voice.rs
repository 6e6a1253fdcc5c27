//! What a node says of itself, again and again, and what it takes from being heard.
//!
//! Invariant: a lease is counted from when a beat was sent, never from when it was acknowledged.

use std::{sync::Arc, time::Duration};

use holdfast_core::{ShardId, Timestamp};
use tokio::{task::JoinSet, time::sleep};

use super::{proof::Renewal, reconcile::Reconciler};

/// The shortest time between two beats, however much there is to say.
const BEAT_GAP: Duration = Duration::from_millis(20);
/// Beats that wait to be acknowledged, in number.
const BEATS_AT_ONCE: usize = 8;

impl Reconciler {
    /// Beats, until it is dropped.
    pub async fn beat(self: Arc<Self>) {
        let mut on_the_way = JoinSet::new();
        loop {
            if on_the_way.len() < BEATS_AT_ONCE {
                on_the_way.spawn(Arc::clone(&self).say());
            }
            sleep(BEAT_GAP.min(self.settings.beat_interval())).await;
            let rest = sleep(self.settings.beat_interval().saturating_sub(BEAT_GAP));
            tokio::pin!(rest);
            loop {
                tokio::select! {
                    biased;
                    Some(_) = on_the_way.join_next() => {}
                    () = self.urge.notified() => break,
                    () = &mut rest => break,
                }
            }
        }
    }

    /// Says one beat, and knows by its acknowledgment that a quorum heard it.
    pub async fn say(self: Arc<Self>) {
        let sent_at = self.now();
        let beat = self.knowledge().beat(sent_at);
        match self.air.beat(&beat).await {
            Ok(()) => self.renew(sent_at).await,
            Err(error) => {
                metrics::counter!("holdfast_cluster_beats_unanswered_total").increment(1);
                tracing::debug!(%error, "a beat was not acknowledged");
            }
        }
    }

    /// A quorum took what this node had sent at `sent_at`.
    async fn renew(&self, sent_at: Timestamp) {
        let was_valid = self.lease.is_valid();
        let renewal = self.knowledge().acknowledged(was_valid, self.now());
        let is_proved = match renewal {
            Renewal::Now => true,
            Renewal::Later => false,
            Renewal::AfterLook => self.look_at_own().await,
        };
        if !is_proved {
            return;
        }
        let lasts_ms = i64::try_from(self.settings.lease_ms).unwrap_or(i64::MAX);
        self.lease.renew_until(sent_at.saturating_add_millis(lasts_ms));
        if !was_valid {
            self.wake.notify_one();
        }
    }

    /// Looks whether the shards that this node believes to own are its own. `false` when one could not be looked at, or is
    /// another node's and not given up yet.
    async fn look_at_own(&self) -> bool {
        let owned: Vec<ShardId> = {
            let knowledge = self.knowledge();
            self.owners.shards().iter().filter(|shard| knowledge.is_here(*shard)).collect()
        };
        let looks = owned.into_iter().map(|shard| async move { (shard, self.log.confirm(shard).await) });
        let looks = futures_util::future::join_all(looks).await;
        looks.into_iter().all(|(shard, look)| match look {
            Ok(true) => true,
            Ok(false) => {
                self.shards.demote(shard);
                !self.knowledge().is_here(shard)
            }
            Err(error) => {
                tracing::debug!(shard = shard.0, %error, "whose the shard is could not be looked at");
                false
            }
        })
    }
}
