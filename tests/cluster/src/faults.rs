//! What happens to nodes: killed, paused, cut off, held up.
//!
//! Invariant: each returns what it measured, and fails only when a promise was not kept.

use std::{fmt, sync::atomic::Ordering, time::Duration};

use anyhow::ensure;
use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use crate::stage::Stage;

/// How long a node is paused or cut off: longer than `cluster.dead_after_ms` and a takeover.
const AWAY: Duration = Duration::from_secs(2);
/// How long a node is looked at after it came back.
const WATCHED: Duration = Duration::from_secs(3);
/// Reads that wait at a paused node for the moment it goes on.
const WAITING_READS: usize = 16;

/// How a node is cut off from the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its connections are closed, and new ones too.
    Closed,
    /// Nothing passes; what was sent arrives when it is over.
    Held,
    /// Its network reaches one server out of three.
    Minority,
}

/// What was seen of a node that was away and came back.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Return {
    /// From when it was away until others had taken all of its shards over and acknowledged an order in each, in milliseconds.
    pub taken_over_ms: u128,
    /// Reads at it, since others had taken over, that showed the truth.
    pub true_reads: u64,
    /// Such reads that it refused.
    pub refused_reads: u64,
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken_over_ms, true_reads, refused_reads } = self;
        write!(
            f,
            "taken over in {taken_over_ms} ms; afterwards {true_reads} reads told the truth, {refused_reads} were refused, 0 were stale"
        )
    }
}

impl Stage {
    /// `kill -9` to a node. How long until others had taken all of its shards over.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn owner_killed(&mut self, victim: usize) -> anyhow::Result<Duration> {
        let shards = self.house.shards_of(victim).await?;
        let pulse = self.feel(&shards, &self.others(victim)).await?;
        self.crowd.doors.shut(victim);
        let since = self.crowd.doors.elapsed();
        self.house.kill(victim)?;
        let slowest = self.all_back(&pulse, &shards, since).await?;
        pulse.end(&self.crowd).await?;
        self.house.start(victim)?;
        self.recovered().await?;
        Ok(slowest)
    }

    /// SIGSTOP to a node until others have taken over, then SIGCONT: a zombie that believes that no time has passed.
    ///
    /// # Errors
    /// When it answers anything stale, or another promise is not kept.
    pub async fn owner_paused(&mut self, victim: usize) -> anyhow::Result<Return> {
        let (shards, others) = (self.house.shards_of(victim).await?, self.others(victim));
        let witness = self.witness(shards[0], victim).await?;
        let pulse = self.feel(&shards, &others).await?;
        self.crowd.doors.shut(victim);
        let since = self.crowd.doors.elapsed();
        self.house.pause(victim)?;
        let taken_over = self.all_back(&pulse, &shards, since).await?;
        self.cancel(&witness, others[0]).await?;
        // What is read the very moment the node goes on: the questions are in its sockets already.
        let mut reads = JoinSet::new();
        for _ in 0..WAITING_READS {
            let (shop, path) = (self.house.shop(victim), witness.path());
            let token = witness.token().to_owned();
            reads.spawn(async move { shop.call(hyper::Method::GET, &path, Some(&token), &[], None).await });
        }
        sleep(AWAY).await;
        self.house.resume(victim)?;
        let (mut true_reads, mut refused_reads) = (0, 0);
        while let Some(read) = reads.join_next().await {
            match read?.ok().map(|answer| witness.judge(&answer)).transpose()?.flatten() {
                Some(()) => true_reads += 1,
                None => refused_reads += 1,
            }
        }
        let (shown, refused) = self.look_for(&witness, victim, WATCHED).await?;
        pulse.end(&self.crowd).await?;
        self.recovered().await?;
        ensure!(true_reads + shown + refused_reads + refused > 0, "nothing was read");
        Ok(Return {
            taken_over_ms: taken_over.as_millis(),
            true_reads: true_reads + shown,
            refused_reads: refused_reads + refused,
        })
    }

    /// A node is cut off from the servers until others have taken over. It answers nothing from memory meanwhile, and what it
    /// had on its way to the servers commits nothing afterwards.
    ///
    /// # Errors
    /// When it answers anything stale, or another promise is not kept.
    pub async fn node_cut_off(&mut self, victim: usize, cut: Cut) -> anyhow::Result<Return> {
        let (shards, others) = (self.house.shards_of(victim).await?, self.others(victim));
        let witness = self.witness(shards[0], victim).await?;
        let pulse = self.feel(&shards, &others).await?;
        self.crowd.doors.shut(victim);
        let since = self.crowd.doors.elapsed();
        self.cut(victim, cut, true)?;
        let taken_over = self.all_back(&pulse, &shards, since).await?;
        self.cancel(&witness, others[0]).await?;
        let (shown, refused) = self.look_for(&witness, victim, AWAY).await?;
        ensure!(shown == 0, "a node that is cut off answered {shown} reads");
        self.cut(victim, cut, false)?;
        let (true_reads, refused_later) = self.look_for(&witness, victim, WATCHED).await?;
        pulse.end(&self.crowd).await?;
        self.recovered().await?;
        Ok(Return { taken_over_ms: taken_over.as_millis(), true_reads, refused_reads: refused + refused_later })
    }

    fn cut(&self, victim: usize, cut: Cut, is_on: bool) -> anyhow::Result<()> {
        for mischief in self.house.mischief(victim) {
            let flag = if cut == Cut::Closed { &mischief.is_cut } else { &mischief.is_held };
            flag.store(is_on, Ordering::Relaxed);
        }
        match cut {
            Cut::Minority if is_on => self.house.partition()?.cut(),
            Cut::Minority => self.house.partition()?.mend(),
            Cut::Closed | Cut::Held => Ok(()),
        }
    }
}
