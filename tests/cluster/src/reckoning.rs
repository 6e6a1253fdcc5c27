//! The reckoning after a fault: what customers were told against what every node says, what the gateway took against what the
//! orders say, and what is in the streams.
//!
//! Invariant: nothing is counted before the shards are settled, and nothing is forgiven afterwards.

use std::fmt;

use anyhow::{Context as _, ensure};
use holdfast_tests::books::Found;

use crate::{
    audit::audit_streams,
    crowd::Crowd,
    doors::Tally,
    house::{ClusterHouse, DEPLOYMENT},
};

/// What a reckoning found.
#[derive(Debug, Clone)]
pub struct Reckoning {
    /// As every node says it.
    pub found: Found,
    /// What customers met since the last reckoning.
    pub tally: Tally,
    /// Messages in the streams, each in its place.
    pub messages: u64,
    /// How often shards changed hands, all in all.
    pub epochs: u64,
}

impl fmt::Display for Reckoning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { acknowledged, found, captured, .. } = self.found;
        write!(f, "{acknowledged} orders acknowledged, {found} found at every node, {captured} captured; ")?;
        write!(f, "{} messages of {} epochs in their places; {}", self.messages, self.epochs, self.tally)
    }
}

/// Reckons with a house whose nodes are all to run again, after the shoppers have gone home.
///
/// # Errors
/// The first promise that was not kept, in words.
pub async fn reckon(house: &ClusterHouse, crowd: &Crowd) -> anyhow::Result<Reckoning> {
    house.settled(&[]).await?;
    let tally = crowd.doors.begin_anew();
    ensure!(tally.unanswered.is_empty(), "requests were left unanswered: {tally}");
    let books = crowd.books();
    let mut all = None;
    for index in house.running() {
        let found = books.check(&house.shop(index)).await;
        let found = found.with_context(|| format!("as {} says it", house.name(index)))?;
        ensure!(found.found == found.acknowledged, "{found:?} at {}", house.name(index));
        all = Some(found);
    }
    let (url, shards) = (house.nats.url(), house.shards()?.get());
    let streams = tokio::task::spawn_blocking(move || audit_streams(&url, DEPLOYMENT, shards)).await?;
    let streams = streams.context("the streams")?;
    let messages = streams.values().map(|stream| stream.messages).sum();
    let epochs = streams.values().map(|stream| stream.epochs.len() as u64).sum();
    Ok(Reckoning { found: all.context("no node runs")?, tally, messages, epochs })
}
