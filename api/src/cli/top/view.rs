//! Two samples compared: what is shown.
//!
//! Every node has the units and orders of all shards in its views, so those are one node's; what is counted where it happens
//! (answers, orders placed) is added up over the nodes.

use std::collections::BTreeMap;

use holdfast_cluster::operator::{ClusterStatus, ShardState, ShardStatus};

use super::{
    sample::Sample,
    scrape::{Histogram, Scrape},
};

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Over what time, in seconds.
    pub(super) seconds: f64,
    pub(super) answers_per_s: BTreeMap<String, f64>,
    pub(super) placed_per_s: f64,
    pub(super) rejected_per_s: f64,
    pub(super) lapsed_per_s: f64,
    pub(super) batches_per_s: f64,
    pub(super) placing: Histogram,
    pub(super) all: Histogram,
    pub(super) units: BTreeMap<String, f64>,
    pub(super) orders: f64,
    pub(super) nodes: Vec<NodeRow>,
    /// Those that need looking at first, then the busiest.
    pub(super) shards: Vec<ShardStatus>,
    pub(super) cluster: Option<ClusterStatus>,
    /// Why there is no newer sample.
    pub(super) trouble: Option<String>,
}

/// One node.
#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) name: String,
    /// What it is up to; `silent` when it did not answer.
    pub(super) state: &'static str,
    pub(super) shards: usize,
    pub(super) answers_per_s: f64,
    pub(super) p99_ms: Option<f64>,
    pub(super) connections: f64,
}

impl View {
    /// What happened between two samples, and how it is after the second.
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let mut shards = now.shards.clone();
        shards.sort_by(|one, other| attention(other).total_cmp(&attention(one)).then(one.shard.cmp(&other.shard)));
        let mut view = Self { seconds, shards, cluster: now.cluster.clone(), ..Self::default() };
        for (name, scrape) in &now.nodes {
            // A node that was not there before has no rate yet.
            let earlier = before.nodes.get(name).unwrap_or(scrape);
            view.add(name, earlier, scrape, now);
        }
        for name in &now.silent {
            let state = "silent";
            let owned = owned(name, now);
            view.nodes.push(NodeRow {
                name: name.clone(),
                state,
                shards: owned,
                answers_per_s: 0.0,
                p99_ms: None,
                connections: 0.0,
            });
        }
        view.add_dead(now);
        view.nodes.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(scrape) = now.nodes.values().max_by(|one, other| one.orders.total_cmp(&other.orders)) {
            view.units = scrape.units.clone();
            view.orders = scrape.orders;
        }
        view
    }

    fn add(&mut self, name: &str, before: &Scrape, now: &Scrape, sample: &Sample) {
        let seconds = self.seconds;
        let rate = |before: f64, now: f64| if seconds > 0.0 { risen(before, now) / seconds } else { 0.0 };
        for (class, count) in &now.answers {
            let earlier = before.answers.get(class).copied().unwrap_or_default();
            *self.answers_per_s.entry(class.clone()).or_default() += rate(earlier, *count);
        }
        self.placed_per_s += rate(before.placed, now.placed);
        self.rejected_per_s += rate(before.rejected, now.rejected);
        self.lapsed_per_s += rate(before.lapsed, now.lapsed);
        self.batches_per_s += rate(before.batches, now.batches);
        let all = now.all.since(&before.all);
        self.placing = std::mem::take(&mut self.placing).with(&now.placing.since(&before.placing));
        self.all = std::mem::take(&mut self.all).with(&all);
        let answers_per_s = if seconds > 0.0 { all.count() / seconds } else { 0.0 };
        self.nodes.push(NodeRow {
            name: name.to_owned(),
            state: state(name, sample),
            shards: owned(name, sample),
            answers_per_s,
            p99_ms: all.quantile_ms(0.99),
            connections: now.connections,
        });
    }

    /// Nodes the cluster knows and that were not asked: dead ones, and those that do not say where they are.
    fn add_dead(&mut self, now: &Sample) {
        for node in now.cluster.iter().flat_map(|cluster| &cluster.nodes) {
            if self.nodes.iter().all(|row| row.name != node.node) {
                let state = crate::cli::admin::node_word(node.state);
                let shards = usize::from(node.shards);
                let name = node.node.clone();
                self.nodes.push(NodeRow { name, state, shards, answers_per_s: 0.0, p99_ms: None, connections: 0.0 });
            }
        }
    }

    /// All answers, per second.
    pub(super) fn all_answers_per_s(&self) -> f64 {
        self.answers_per_s.values().sum()
    }
}

/// How far up a shard is shown: nobody's above those on their way, these above all others, and those by their rate.
fn attention(shard: &ShardStatus) -> f64 {
    match shard.state {
        ShardState::Unowned => f64::INFINITY,
        ShardState::Moving => f64::MAX,
        ShardState::Owned => shard.commands_per_s,
    }
}

/// How much a count has risen. One that fell was begun anew.
fn risen(before: f64, now: f64) -> f64 {
    if now < before { now } else { now - before }
}

fn state(name: &str, sample: &Sample) -> &'static str {
    let nodes = sample.cluster.iter().flat_map(|cluster| &cluster.nodes);
    let node = nodes.into_iter().find(|node| node.node == name);
    node.map_or("alone", |node| crate::cli::admin::node_word(node.state))
}

/// How many shards a node owns; a server on its own has them all.
fn owned(name: &str, sample: &Sample) -> usize {
    let is_its = |shard: &&ShardStatus| sample.cluster.is_none() || shard.owner.as_deref() == Some(name);
    sample.shards.iter().filter(is_its).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_is_nobodys_is_shown_above_the_busiest() {
        let shard = |number, state, commands_per_s| ShardStatus {
            shard: holdfast_core::ShardId(number),
            owner: None,
            desired: None,
            epoch: 1,
            state,
            entities: 0,
            commands_per_s,
            mailbox_depth: 0,
            lag_records: 0,
            memory_bytes: 0,
            sequence: 0,
        };
        let shards = vec![
            shard(0, ShardState::Owned, 0.0),
            shard(1, ShardState::Owned, 900.0),
            shard(2, ShardState::Moving, 0.0),
            shard(3, ShardState::Unowned, 0.0),
            shard(4, ShardState::Owned, 0.0),
        ];
        let sample = |shards| Sample {
            at: crate::cli::top::sample::now(),
            nodes: BTreeMap::new(),
            silent: vec!["n2".to_owned()],
            shards,
            cluster: None,
        };
        let view = View::between(&sample(Vec::new()), &sample(shards));
        assert_eq!(view.shards.iter().map(|shard| shard.shard.0).collect::<Vec<_>>(), [3, 2, 1, 0, 4]);
        assert_eq!(
            view.nodes.iter().map(|node| (node.name.as_str(), node.state)).collect::<Vec<_>>(),
            [("n2", "silent")]
        );
    }

    #[test]
    fn a_count_that_fell_was_begun_anew() {
        assert_eq!((risen(10.0, 15.0), risen(10.0, 3.0)), (5.0, 3.0));
    }
}
