//! The node's supervisor: keeps one actor per shard alive. A shard that dies is recovered by replay and starts again; one
//! that keeps dying takes the process with it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use holdfast_core::{ShardId, Timestamp};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::{
    actor::{ShardActor, ShardRun},
    node::NodeCore,
};

const MINUTE_MS: i64 = 60_000;

pub(crate) struct Supervisor {
    pub(crate) node: Arc<NodeCore>,
}

/// What the supervisor is told.
pub(crate) enum Supervise {
    /// This shard has been recovered: run it.
    Start(Box<ShardRun>),
}

/// Which actor runs which shard, and when shards died lately.
#[derive(Default)]
pub(crate) struct Wards {
    shards: Vec<(ActorId, ShardId)>,
    deaths: VecDeque<(Timestamp, ShardId)>,
}

impl Actor for Supervisor {
    type Msg = Supervise;
    type State = Wards;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Supervise>, (): ()) -> Result<Wards, ActorProcessingErr> {
        Ok(Wards::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<Supervise>,
        Supervise::Start(run): Supervise,
        wards: &mut Wards,
    ) -> Result<(), ActorProcessingErr> {
        let shard = run.mailbox.shard();
        let (actor, _) = ShardActor::spawn_linked(None, ShardActor, *run, myself.get_cell()).await?;
        wards.shards.retain(|(_, other)| *other != shard);
        wards.shards.push((actor.get_id(), shard));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Supervise>,
        event: SupervisionEvent,
        wards: &mut Wards,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            self.shard_died(&myself, &actor, &error.to_string(), wards);
        }
        Ok(())
    }
}

impl Supervisor {
    fn shard_died(&self, myself: &ActorRef<Supervise>, actor: &ActorCell, error: &str, wards: &mut Wards) {
        let Some((_, shard)) = wards.shards.iter().find(|(id, _)| *id == actor.get_id()).copied() else { return };
        if !self.node.effects.journal.owns(shard) {
            tracing::warn!(shard = shard.0, error, "another node has the shard: it is recovered to follow");
            return self.recover(myself, shard);
        }
        metrics::counter!("holdfast_shard_restarts_total").increment(1);
        tracing::error!(shard = shard.0, error, "a shard died and will be recovered");
        let now = self.node.clock.now();
        wards.deaths.retain(|(death, _)| death.saturating_add_millis(MINUTE_MS) > now);
        wards.deaths.push_back((now, shard));
        let deaths = wards.deaths.iter().filter(|(_, died)| *died == shard).count();
        if deaths > self.node.settings.shard_restarts_per_minute as usize {
            self.node.fatal.raise(&format!("shard {} keeps dying: {error}", shard.0));
            return;
        }
        self.recover(myself, shard);
    }

    fn recover(&self, myself: &ActorRef<Supervise>, shard: ShardId) {
        let (node, supervisor) = (Arc::clone(&self.node), myself.clone());
        self.node.background.run_blocking(Box::new(move || {
            match catch_unwind(AssertUnwindSafe(|| node.recover_one(shard))) {
                Ok(Ok(run)) => {
                    let _ = supervisor.cast(Supervise::Start(Box::new(run)));
                }
                Ok(Err(error)) => node.fatal.raise(&format!("shard {} could not be recovered: {error}", shard.0)),
                Err(_) => node.fatal.raise(&format!("shard {} could not be recovered: its recovery panicked", shard.0)),
            }
        }));
    }
}
