//! The ways of a house's nodes to its servers: straight, through a proxy for each way, or in two networks that can be cut apart. What
//! goes wrong on them goes wrong here.

use std::sync::Arc;

use anyhow::Context as _;
use holdfast_servers::{Mischief, NatsProxy, Partition, Site, namespace::Side};

use super::ClusterHouse;

impl ClusterHouse {
    /// What goes wrong on a node's ways to the servers.
    pub fn mischief(&self, index: usize) -> Vec<Arc<Mischief>> {
        let proxies = self.proxies.get(index).into_iter().flatten();
        proxies.map(|proxy| Arc::clone(&proxy.mischief)).collect()
    }

    /// The two networks.
    ///
    /// # Errors
    /// When there is one only.
    pub fn partition(&self) -> anyhow::Result<&Partition> {
        self.partition.as_ref().context("the house has one network")
    }

    pub(super) fn nats_url(&mut self, index: usize) -> anyhow::Result<String> {
        if let Some(partition) = &self.partition {
            let own = if index == 0 { 0..1 } else { 1..self.nats.count() };
            let host = partition.reached_at(if index == 0 { Side::Left } else { Side::Right });
            let urls: Vec<_> = own.map(|server| format!("nats://{host}:{}", self.nats.client_port(server))).collect();
            return Ok(urls.join(","));
        }
        if !self.plan.with_proxies {
            return Ok(self.nats.url());
        }
        let ports = (0..self.nats.count()).map(|server| NatsProxy::start(self.nats.client_port(server)));
        self.proxies.push(ports.collect::<anyhow::Result<_>>()?);
        let own = self.proxies.last().map_or(&[][..], Vec::as_slice);
        Ok(own.iter().map(NatsProxy::url).collect::<Vec<_>>().join(","))
    }
}

pub(super) fn sites(partition: &Partition, servers: usize) -> Vec<Site> {
    let site = |index| {
        let side = if index == 0 { Side::Left } else { Side::Right };
        let namespace = partition.namespace(side);
        Site { namespace, routes_at: partition.wire_at(side), reached_at: partition.reached_at(side) }
    };
    (0..servers).map(site).collect()
}
