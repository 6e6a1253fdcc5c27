//! How a step towards the plan goes.
//!
//! Takeover: begin the next epoch; wait until the follower has every record before it; open the shard. Hand-over: finish what
//! the shard has accepted, all of it durable; end the epoch in the journal; tell the heir. Whatever fails is tried again from
//! where it stands, at the next turn.
//!
//! Invariant: a shard is opened only while its stream is in this node's epoch, as far as this node knows.

use std::{sync::Arc, time::Duration};

use holdfast_actors::Role;
use holdfast_core::ShardId;
use tokio::time::sleep;

use super::{
    decide::Step,
    ports::StepError,
    reconcile::{Reconciler, TICK},
};
use crate::{boot::BootId, members::beat::Yielded};

/// Between two looks at whether the owner before has given up.
const LOOK: Duration = Duration::from_millis(1);

impl Reconciler {
    pub(super) async fn carry_out(self: Arc<Self>, shard: ShardId, step: Step, epoch: u64) {
        let began = self.now();
        let (name, outcome) = match step {
            Step::TakeOver { clean } => ("take over", self.take_over(shard, clean, epoch).await),
            Step::Open => ("open", self.open(shard).await),
            Step::HandOver { to } => ("hand over", self.hand_over(shard, to).await),
            Step::Demote => {
                self.shards.demote(shard);
                ("demote", Ok(()))
            }
        };
        let took_ms = self.now().as_millis() - began.as_millis();
        match outcome {
            Ok(()) => {
                metrics::counter!("holdfast_cluster_steps_total", "step" => name).increment(1);
                tracing::info!(shard = shard.0, step = name, took_ms, epoch = self.owners.of(shard).epoch, "done");
            }
            Err(error) => {
                metrics::counter!("holdfast_cluster_steps_failed_total", "step" => name).increment(1);
                tracing::warn!(shard = shard.0, step = name, took_ms, %error, "not done: once more, from where it stands");
                sleep(TICK).await;
            }
        }
        self.knowledge().busy.remove(&shard);
        self.urge.notify_one();
        self.wake.notify_one();
    }

    async fn take_over(&self, shard: ShardId, clean: bool, epoch: u64) -> Result<(), StepError> {
        self.log.acquire(shard, clean, epoch).await?;
        self.open(shard).await
    }

    async fn open(&self, shard: ShardId) -> Result<(), StepError> {
        let head = self.log.next_seq(shard).saturating_sub(1);
        self.catch_up(shard, head).await?;
        self.wait_until_free(shard).await?;
        self.refuse_overtaken(shard)?;
        self.shards.take_ownership(shard, head).await
    }

    /// Waits until the shard here has every record up to `head`. The journal gives it those of others, and tells at once when
    /// it has; what this node appended itself, before a hand-over that was broken off, the shard has anyway.
    async fn catch_up(&self, shard: ShardId, head: u64) -> Result<(), StepError> {
        let caught_up = self.log.caught_up(shard, head + 1);
        tokio::pin!(caught_up);
        let mut owners = self.owners.changes();
        while self.shards.position(shard) < head {
            self.refuse_overtaken(shard)?;
            tokio::select! {
                biased;
                reached = &mut caught_up => return reached,
                Ok(()) = owners.changed() => {}
                () = sleep(TICK) => {}
            }
        }
        Ok(())
    }

    /// Waits until nobody else can believe that the shard is his.
    async fn wait_until_free(&self, shard: ShardId) -> Result<(), StepError> {
        let since = self.now();
        while !self.knowledge().may_open(shard, self.now()) {
            let waited_ms = self.now().as_millis() - since.as_millis();
            if waited_ms >= i64::try_from(self.settings.dead_after_ms.saturating_mul(2)).unwrap_or(i64::MAX) {
                tracing::error!(
                    shard = shard.0,
                    waited_ms,
                    "the owner before lives and does not give up: opened beside it"
                );
                break;
            }
            // Its own claim would keep the one that overtook it waiting, and that one's claim it.
            self.refuse_overtaken(shard)?;
            sleep(LOOK).await;
        }
        Ok(())
    }

    fn refuse_overtaken(&self, shard: ShardId) -> Result<(), StepError> {
        let overtaken = || StepError("another node took it over meanwhile".to_owned());
        self.log.owns(shard).then_some(()).ok_or_else(overtaken)
    }

    async fn hand_over(&self, shard: ShardId, to: BootId) -> Result<(), StepError> {
        let epoch = self.owners.of(shard).epoch;
        if self.shards.role(shard) == Role::Owner {
            self.shards.yield_shard(shard, Duration::from_millis(self.settings.handover_ms)).await?;
        }
        let next_seq = self.log.release(shard).await?;
        // Lost, it is in the beats as well: a beat later.
        self.air.tell(to, &Yielded { shard, epoch, next_seq }).await
    }
}
