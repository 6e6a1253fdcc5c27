//! Who takes part: each stack as a running server, with what it promises about an acknowledged order.
//!
//! Invariant: a contender listens on loopback, keeps its data in a temporary folder of its own, and is gone when the field
//! is dropped.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use holdfast_api::load::{
    order::fresh_run,
    scratch::ScratchFolder,
    server_process::{Launch, ServerProcess},
    shop::Shop,
    target::Target,
};
use holdfast_servers::{AppendFsync, Postgres, PostgresOptions, Redis};

use crate::{cluster::Cluster, postgres_shop::SCHEMA};

/// The variable that names the optimized server, set by `cargo xtask`.
const SERVER: &str = "HOLDFAST_BIN";

/// A stack that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// An axum handler that sends the order back: the ceiling.
    Echo,
    /// The echo on one thread, as ours is on two processors.
    #[value(name = "echo-1")]
    Echo1,
    /// Holdfast with its embedded journal.
    Holdfast,
    /// Holdfast with a PostgreSQL beside it, which gets every order after its answer.
    #[value(name = "holdfast+postgres")]
    HoldfastPostgres,
    /// Holdfast as a node on its own, with its journal on a NATS server.
    #[value(name = "holdfast-cluster-1")]
    HoldfastCluster1,
    /// Three nodes of Holdfast, with the journal on three NATS servers.
    #[value(name = "holdfast-cluster-3")]
    HoldfastCluster3,
    /// Redis, syncing once a second.
    RedisEverysec,
    /// Redis, syncing before it answers.
    RedisAlways,
    /// The same with one thread in front of it.
    #[value(name = "redis-always-1")]
    RedisAlways1,
    /// PostgreSQL over two connections.
    #[value(name = "postgres-2")]
    Postgres2,
    /// PostgreSQL over thirty-two connections.
    #[value(name = "postgres-32")]
    Postgres32,
}

/// A running contender.
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    /// Where it sells: one address, or every node's.
    pub(crate) shops: Vec<Shop>,
    pub(crate) processes: Processes,
    /// The operators' listener of one that projects into a PostgreSQL: it tells how far that is behind.
    pub(crate) projecting: Option<Shop>,
    /// It ends with the contender; a cluster's nodes end with the cluster.
    _process: Option<ServerProcess>,
}

/// The processes of a contender.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    /// The HTTP servers.
    pub(crate) front: Vec<u32>,
    /// The servers behind them.
    pub(crate) behind: Vec<u32>,
}

/// All contenders and the servers behind them.
pub(crate) struct Field {
    // The order matters: peers go before what they stand on.
    pub(crate) contenders: Vec<Contender>,
    redis: Vec<Redis>,
    postgres: Option<Postgres>,
    beside: Option<Postgres>,
    clusters: Vec<Cluster>,
    folder: ScratchFolder,
}

impl Kind {
    /// Its name in tables and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Echo1 => "echo-1",
            Self::Holdfast => "holdfast",
            Self::HoldfastPostgres => "holdfast+postgres",
            Self::HoldfastCluster1 => "holdfast-cluster-1",
            Self::HoldfastCluster3 => "holdfast-cluster-3",
            Self::RedisEverysec => "redis-everysec",
            Self::RedisAlways => "redis-always",
            Self::RedisAlways1 => "redis-always-1",
            Self::Postgres2 => "postgres-2",
            Self::Postgres32 => "postgres-32",
        }
    }

    /// What an acknowledged order survives.
    pub(crate) const fn durability(self) -> &'static str {
        match self {
            Self::Echo | Self::Echo1 => "nothing is kept",
            Self::RedisEverysec => "up to 1 s lost at a power cut",
            Self::HoldfastCluster3 => "fsync on two of three servers before the answer",
            Self::Holdfast
            | Self::HoldfastPostgres
            | Self::HoldfastCluster1
            | Self::RedisAlways
            | Self::RedisAlways1
            | Self::Postgres2
            | Self::Postgres32 => "fsync before the answer",
        }
    }

    /// Whether it sells, and so can be held to promises.
    pub(crate) fn sells(self) -> bool {
        !matches!(self, Self::Echo | Self::Echo1)
    }
}

impl Contender {
    /// Where it is asked what is not spread.
    pub(crate) fn shop(&self) -> &Shop {
        &self.shops[0]
    }
}

impl Processes {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<u32> {
        [&self.front[..], &self.behind[..]].concat()
    }
}

impl Field {
    /// Starts these contenders.
    pub(crate) fn start(kinds: &[Kind]) -> anyhow::Result<Self> {
        let folder = ScratchFolder::new(None, "peers")?;
        let (redis, clusters, contenders) = (Vec::new(), Vec::new(), Vec::new());
        let mut field = Self { contenders, redis, postgres: None, beside: None, clusters, folder };
        for kind in kinds {
            let contender = match kind {
                Kind::HoldfastCluster1 => field.cluster(*kind, 1),
                Kind::HoldfastCluster3 => field.cluster(*kind, 3),
                _ => field.single(*kind),
            };
            field.contenders.push(contender.with_context(|| format!("{} does not start", kind.name()))?);
        }
        Ok(field)
    }

    /// Where the contenders keep their data.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The contender of this kind.
    pub(crate) fn get(&self, kind: Kind) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.kind == kind)
    }

    /// One server, and perhaps a database behind it.
    fn single(&mut self, kind: Kind) -> anyhow::Result<Contender> {
        let (launch, behind, token) = self.launch(kind)?;
        let process = launch.start()?;
        let processes = Processes { front: vec![process.pid()], behind: behind.into_iter().collect() };
        let admin = process.ready().admin.filter(|_| kind == Kind::HoldfastPostgres);
        let projecting = admin.map(|address| Shop::new(Target::from(address), token.clone()));
        let shops = vec![Shop::new(process.target(), token)];
        Ok(Contender { kind, shops, processes, projecting, _process: Some(process) })
    }

    /// So many nodes on as many NATS servers.
    fn cluster(&mut self, kind: Kind, size: usize) -> anyhow::Result<Contender> {
        let cluster = Cluster::start(size, &server()?, &self.folder.path().join(kind.name()))?;
        let processes = Processes { front: cluster.nodes(), behind: cluster.behind()? };
        let shops = cluster.shops();
        self.clusters.push(cluster);
        Ok(Contender { kind, shops, processes, projecting: None, _process: None })
    }

    fn launch(&mut self, kind: Kind) -> anyhow::Result<(Launch, Option<u32>, Option<String>)> {
        let folder = self.folder.path().join(kind.name());
        Ok(match kind {
            Kind::HoldfastCluster1 | Kind::HoldfastCluster3 => bail!("a cluster is several processes"),
            Kind::Echo => (Launch::echo(server()?, &folder), None, None),
            Kind::Echo1 => (Launch::echo(server()?, &folder).with_one_worker(), None, None),
            Kind::Holdfast => {
                let token = format!("{}{}", fresh_run()?, fresh_run()?);
                (Launch::shop(server()?, &folder, &token), None, Some(token))
            }
            Kind::HoldfastPostgres => self.beside_postgres(&folder)?,
            Kind::RedisEverysec => self.on_redis(AppendFsync::EverySecond, &folder)?,
            Kind::RedisAlways => self.on_redis(AppendFsync::Always, &folder)?,
            Kind::RedisAlways1 => {
                let (launch, behind, token) = self.on_redis(AppendFsync::Always, &folder)?;
                (launch.with_one_worker(), behind, token)
            }
            Kind::Postgres2 => self.on_postgres(2, &folder)?,
            Kind::Postgres32 => self.on_postgres(32, &folder)?,
        })
    }

    /// Ours with a PostgreSQL of its own: what it still has to do after a measurement slows no peer's.
    fn beside_postgres(&mut self, folder: &Path) -> anyhow::Result<(Launch, Option<u32>, Option<String>)> {
        let postgres = start_postgres()?;
        let token = format!("{}{}", fresh_run()?, fresh_run()?);
        let password = folder.with_extension("password");
        std::fs::write(&password, postgres.password()).context("cannot write the password")?;
        let launch = Launch::shop(server()?, folder, &token)
            .with_setting("POSTGRES__URL", &postgres.url())
            .with_setting("POSTGRES__PASSWORD_FILE", &password.display().to_string())
            .with_setting("POSTGRES__TLS", "off");
        let behind = postgres.pid();
        self.beside = Some(postgres);
        Ok((launch, behind, Some(token)))
    }

    fn on_redis(&mut self, sync: AppendFsync, folder: &Path) -> anyhow::Result<(Launch, Option<u32>, Option<String>)> {
        let redis = Redis::start(sync)?;
        let launch = peer(folder, &["redis", "--server", &redis.url()])?;
        let behind = Some(redis.pid());
        self.redis.push(redis);
        Ok((launch, behind, None))
    }

    fn on_postgres(&mut self, pool: usize, folder: &Path) -> anyhow::Result<(Launch, Option<u32>, Option<String>)> {
        let postgres = if let Some(running) = self.postgres.take() {
            running
        } else {
            let started = start_postgres()?;
            started.sql(SCHEMA).context("the tables cannot be made")?;
            started
        };
        let (url, password, pool) = (postgres.url(), postgres.password(), pool.to_string());
        let launch = peer(folder, &["postgres", "--server", &url, "--password", password, "--pool", &pool])?;
        let behind = postgres.pid();
        self.postgres = Some(postgres);
        Ok((launch, behind, None))
    }
}

/// A server set up as one would for a sale: it syncs, and no checkpoint falls into a measurement.
fn start_postgres() -> anyhow::Result<Postgres> {
    let settings = [("shared_buffers", "512MB"), ("max_wal_size", "8GB"), ("max_connections", "60")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let postgres = Postgres::with(&PostgresOptions { durable: true, settings, ..PostgresOptions::default() })?;
    Ok(postgres)
}

/// This program as a peer.
fn peer(folder: &Path, command: &[&str]) -> anyhow::Result<Launch> {
    let mut launch = Launch::echo(env::current_exe().context("cannot find this program's own file")?, folder);
    launch.command = ["serve"].iter().chain(command).map(Into::into).collect();
    Ok(launch)
}

fn server() -> anyhow::Result<PathBuf> {
    let named = env::var_os(SERVER).map(PathBuf::from);
    let path = named.with_context(|| format!("{SERVER} names no server: start this with `cargo xtask peers`"))?;
    path.canonicalize().with_context(|| format!("{SERVER} names {}", path.display()))
}
