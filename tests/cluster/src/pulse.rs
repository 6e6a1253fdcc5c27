//! The pulse of every shard: one order after the other for a SKU of its own, so that it is known when the shard answered, when
//! it did not, and how long one request waited.
//!
//! Invariant: what is measured is seen from outside: from the first byte sent until the acknowledgment is read, at nodes that
//! the test leaves alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use holdfast_api::load::order::{ORDERS, OrderTemplate, fresh_run};
use holdfast_core::ShardId;
use holdfast_tests::counter::Ask;
use hyper::{Method, StatusCode};
use tokio::{task::JoinSet, time::sleep};

use crate::{crowd::Crowd, doors::Doors};

/// Between two orders.
const BETWEEN: Duration = Duration::from_millis(10);

/// One acknowledged order, on the clock of the doors.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// When it was sent.
    pub sent: Duration,
    /// When it was acknowledged.
    pub heard: Duration,
}

type Beats = Arc<Mutex<BTreeMap<ShardId, Vec<Heard>>>>;

/// The pulse of some shards.
pub struct Pulse {
    tasks: JoinSet<anyhow::Result<Vec<serde_json::Value>>>,
    stop: Arc<AtomicBool>,
    beats: Beats,
}

impl Pulse {
    /// Begins to feel it, at these doors in turn.
    ///
    /// # Errors
    /// When there is no such shard.
    pub fn feel(crowd: &Crowd, shards: &[ShardId], at: &[usize]) -> anyhow::Result<Self> {
        let (mut tasks, stop, beats) = (JoinSet::new(), Arc::new(AtomicBool::new(false)), Beats::default());
        for shard in shards {
            let (doors, sku) = (Arc::clone(&crowd.doors), crowd.sku(*shard)?.to_owned());
            tasks.spawn(beat(doors, *shard, sku, at.to_vec(), Arc::clone(&stop), Arc::clone(&beats)));
        }
        Ok(Self { tasks, stop, beats })
    }

    /// How long after `since` the shard acknowledged an order that was sent after it; none if it has not yet.
    pub fn back_after(&self, shard: ShardId, since: Duration) -> Option<Duration> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let first = beats.get(&shard)?.iter().find(|beat| beat.sent >= since)?;
        Some(first.heard.saturating_sub(since))
    }

    /// How long the slowest order waited that was under way between the two.
    pub fn longest_wait(&self, shard: ShardId, from: Duration, to: Duration) -> Option<Duration> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let within = beats.get(&shard)?.iter().filter(|beat| beat.heard >= from && beat.sent <= to);
        within.map(|beat| beat.heard.saturating_sub(beat.sent)).max()
    }

    /// Stops, and enters every acknowledgment into the crowd's books.
    ///
    /// # Errors
    /// The first answer that makes no sense.
    pub async fn end(mut self, crowd: &Crowd) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            for body in ended?? {
                crowd.enter(&body)?;
            }
        }
        Ok(())
    }
}

async fn beat(
    doors: Arc<Doors>,
    shard: ShardId,
    sku: String,
    at: Vec<usize>,
    stop: Arc<AtomicBool>,
    beats: Beats,
) -> anyhow::Result<Vec<serde_json::Value>> {
    let (mut acknowledged, mut turn) = (Vec::new(), usize::from(shard.0));
    while !stop.load(Ordering::Relaxed) {
        let key = fresh_run()?;
        let ask = Ask::new(Method::POST, ORDERS).header("idempotency-key", &key).json(OrderTemplate::body(&sku));
        let mut sent = doors.elapsed();
        // The same order until it is acknowledged: none may be forgotten.
        let answer = loop {
            turn = turn.wrapping_add(1);
            if let Some(answer) = doors.attempt(at[turn % at.len()], &ask).await? {
                break answer;
            }
            sleep(BETWEEN).await;
            sent = doors.elapsed();
        };
        let heard = doors.elapsed();
        acknowledged.push(answer.expect("an order", &[StatusCode::CREATED])?.body);
        beats.lock().unwrap_or_else(PoisonError::into_inner).entry(shard).or_default().push(Heard { sent, heard });
        sleep(BETWEEN).await;
    }
    Ok(acknowledged)
}
