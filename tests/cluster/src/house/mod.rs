//! A whole cluster of a test's own: NATS servers, a payment gateway, and nodes of the real binary, all on loopback or in two
//! network namespaces, each with its own folder.
//!
//! Read in this order: `node` is what can be done to one of its nodes, `network` how they reach the servers.
//!
//! Invariant: whatever a test does to them, every process and folder is gone when the house is dropped.

mod network;
mod node;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::load::{
    order::fresh_run,
    scratch::ScratchFolder,
    server_process::{Launch, ServerProcess},
    shop::Shop,
    target::Target,
};
use holdfast_core::ShardCount;
use holdfast_servers::{Nats, NatsOptions, NatsProxy, Partition, namespace::Side, port};
use holdfast_tests::binary;

use network::sites;
use node::HouseNode;

/// What the deployment is called.
pub const DEPLOYMENT: &str = "house";
/// How long a node may take to start before something is wrong, on however slow a machine.
const START_PATIENCE: Duration = Duration::from_mins(3);
/// The variable that names a folder for the nodes' logs, kept when the house is gone.
const KEPT_LOGS: &str = "HOLDFAST_CLUSTER_LOGS";

/// What a house is to be.
#[derive(Debug, Clone)]
pub struct HousePlan {
    /// Nodes, in number.
    pub nodes: usize,
    /// NATS servers, in number.
    pub servers: usize,
    /// Shards, in number.
    pub shards: u16,
    /// Settings of every node, such as `("CLUSTER__DEAD_AFTER_MS", "3000")`.
    pub settings: Vec<(&'static str, String)>,
    /// Whether each node reaches each server through a proxy of its own.
    pub with_proxies: bool,
    /// Whether the first server and the first node are in one network, and all others in another.
    pub with_partition: bool,
}

impl Default for HousePlan {
    fn default() -> Self {
        Self { nodes: 3, servers: 3, shards: 8, settings: Vec::new(), with_proxies: false, with_partition: false }
    }
}

/// A running cluster.
pub struct ClusterHouse {
    // The order matters: whoever asks goes before whoever is asked, and all before their folder.
    nodes: Vec<HouseNode>,
    gateway: ServerProcess,
    proxies: Vec<Vec<NatsProxy>>,
    /// The servers.
    pub nats: Nats,
    partition: Option<Partition>,
    plan: HousePlan,
    token: String,
    folder: ScratchFolder,
}

impl ClusterHouse {
    /// Starts everything and waits until every node serves.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn open(plan: HousePlan) -> anyhow::Result<Self> {
        let program = binary::holdfast()?;
        let folder = ScratchFolder::new(None, "cluster")?;
        let partition = plan.with_partition.then(Partition::make).transpose()?;
        let sites = partition.as_ref().map_or_else(Vec::new, |partition| sites(partition, plan.servers));
        let nats = Nats::start(&NatsOptions { servers: plan.servers, sites, ..NatsOptions::default() })?;
        fs::write(folder.path().join("secret"), [7_u8; 32]).context("the shared secret")?;
        let listen =
            SocketAddr::new(IpAddr::V4(partition.as_ref().map_or(Ipv4Addr::LOCALHOST, |_| Ipv4Addr::UNSPECIFIED)), 0);
        let gateway = Launch {
            program,
            command: vec!["gateway".into(), "--book".into(), folder.path().join("gateway.book").into()],
            listen,
            admin_listen: None,
            environment: Vec::new(),
            folder: folder.path().join("gateway"),
            patience: START_PATIENCE,
        };
        let gateway = gateway.start().context("the payment gateway")?;
        let token = format!("{}{}", fresh_run()?, fresh_run()?);
        let mut house = Self { nodes: Vec::new(), gateway, proxies: Vec::new(), nats, partition, plan, token, folder };
        for _ in 0..house.plan.nodes {
            house.add_node()?;
        }
        house.start_nodes()?;
        Ok(house)
    }

    /// Prepares one more node, without starting it. Returns its number.
    ///
    /// # Errors
    /// When no port is free.
    pub fn add_node(&mut self) -> anyhow::Result<usize> {
        let index = self.nodes.len();
        let name = format!("n{}", index + 1);
        let side = if index == 0 { Side::Left } else { Side::Right };
        let (host, gateway_host) = match &self.partition {
            Some(partition) => (partition.reached_at(side), partition.test_at(side)),
            None => (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST),
        };
        let (public, admin) = (SocketAddr::from((host, port::free()?)), SocketAddr::from((host, port::free()?)));
        let folder = self.folder.path().join(&name);
        let mut launch = Launch::shop(binary::holdfast()?, &folder, &self.token);
        (launch.listen, launch.admin_listen, launch.patience) = (public, Some(admin), START_PATIENCE);
        if let Some(partition) = &self.partition {
            let program = std::mem::replace(&mut launch.program, "/usr/sbin/ip".into());
            let inside = ["netns".into(), "exec".into(), partition.namespace(side).into(), program.into()];
            launch.command.splice(0..0, inside);
        }
        let gateway = SocketAddr::from((gateway_host, self.gateway.ready().public.port()));
        let own = [
            ("LOG__FILTER", "info".to_owned()),
            ("STORE__SHARDS", self.plan.shards.to_string()),
            ("STORE__SECRET_FILE", self.folder.path().join("secret").to_string_lossy().into_owned()),
            ("NATS__URL", self.nats_url(index)?),
            ("NATS__DEPLOYMENT", DEPLOYMENT.to_owned()),
            ("NATS__REPLICAS", self.plan.servers.to_string()),
            ("NATS__START_DEADLINE_MS", "120000".to_owned()),
            ("CLUSTER__NODE", name.clone()),
            ("CLUSTER__ADMIN_URL", format!("http://{admin}")),
            ("PAYMENTS__SANDBOX__URL", format!("http://{gateway}")),
        ];
        for (setting, value) in own.into_iter().chain(self.plan.settings.iter().cloned()) {
            launch = launch.with_setting(setting, &value);
        }
        self.nodes.push(HouseNode { name, launch, process: None, admin });
        Ok(index)
    }

    /// A node's shop, with the operator's eyes.
    pub fn shop(&self, index: usize) -> Shop {
        Shop::new(Target::from(self.nodes[index].launch.listen), Some(self.token.clone()))
    }

    /// A node's admin listener.
    pub fn admin(&self, index: usize) -> Shop {
        Shop::new(Target::from(self.nodes[index].admin), Some(self.token.clone()))
    }

    /// The gateway's book.
    pub fn gateway_book(&self) -> PathBuf {
        self.folder.path().join("gateway.book")
    }

    /// How many shards there are.
    ///
    /// # Errors
    /// When there cannot be so many.
    pub fn shards(&self) -> anyhow::Result<ShardCount> {
        crate::shards(self.plan.shards)
    }

    /// What a node wrote to its log so far.
    pub fn log(&self, index: usize) -> String {
        let path = self.folder.path().join(self.name(index)).join("server.log");
        fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for ClusterHouse {
    fn drop(&mut self) {
        let Some(kept) = std::env::var_os(KEPT_LOGS).map(PathBuf::from) else { return };
        let house = self.folder.path().file_name().unwrap_or_default().to_owned();
        for node in &self.nodes {
            let to = kept.join(&house).join(format!("{}.log", node.name));
            // Only for whoever looks for a reason; that they cannot be kept must not hide it.
            let _ = fs::create_dir_all(kept.join(&house))
                .and_then(|()| fs::copy(node.launch.folder.join("server.log"), to));
        }
    }
}
