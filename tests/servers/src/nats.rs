//! NATS servers of a test's own: one, or several as a cluster.
//!
//! Invariant: a server's ports and data stay the same for the life of the value, whatever happens to its process.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{namespace, nats_program, port, processes::Processes};

/// How long servers may take to be ready before something is wrong with them, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often their readiness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one look may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// How servers are to be.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// How many.
    pub servers: usize,
    /// Whether a message is synced before it is acknowledged.
    pub sync_always: bool,
    /// Whether they keep streams.
    pub jetstream: bool,
    /// The largest message, in bytes.
    pub max_payload: u64,
    /// Where each is, if not on loopback; none or one per server.
    pub sites: Vec<Site>,
}

/// A server's place in a network namespace, in which it listens on every address.
#[derive(Debug, Clone)]
pub struct Site {
    /// The namespace's name.
    pub namespace: String,
    /// Where the other servers reach it.
    pub routes_at: Ipv4Addr,
    /// Where the test reaches it.
    pub reached_at: Ipv4Addr,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self { servers: 1, sync_always: true, jetstream: true, max_payload: 8 << 20, sites: Vec::new() }
    }
}

/// Servers, each running or not.
pub struct Nats {
    // The order matters: the processes go before their folder does.
    servers: Vec<Server>,
    folder: TempDir,
}

/// One of them.
struct Server {
    processes: Option<Processes>,
    name: String,
    client_port: u16,
    cluster_port: u16,
    monitor_port: u16,
    site: Option<Site>,
}

impl Server {
    fn routes_at(&self) -> Ipv4Addr {
        self.site.as_ref().map_or(Ipv4Addr::LOCALHOST, |site| site.routes_at)
    }

    fn reached_at(&self) -> Ipv4Addr {
        self.site.as_ref().map_or(Ipv4Addr::LOCALHOST, |site| site.reached_at)
    }
}

impl Nats {
    /// Starts servers and waits until they are ready, as a cluster with a leader if they are several.
    ///
    /// # Errors
    /// When nats-server cannot be found or installed, or does not start.
    pub fn start(options: &NatsOptions) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("holdfast-nats-").tempdir().context("a folder")?;
        let new = |index| {
            let (client_port, cluster_port, monitor_port) = (port::free()?, port::free()?, port::free()?);
            let name = format!("n{index}");
            let site = options.sites.get(index).cloned();
            anyhow::Ok(Server { processes: None, name, client_port, cluster_port, monitor_port, site })
        };
        let servers = (0..options.servers).map(new).collect::<anyhow::Result<Vec<_>>>()?;
        let mut nats = Self { servers, folder };
        for index in 0..options.servers {
            let text = nats.configuration(index, options)?;
            fs::write(nats.path(index, "conf"), text)?;
        }
        nats.start_all()?;
        Ok(nats)
    }

    /// Starts those that do not run, and waits until all are ready.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        (0..self.servers.len()).try_for_each(|index| self.start_process(index))?;
        (0..self.servers.len()).try_for_each(|index| self.wait_ready(index))
    }

    /// Starts one where it was, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_one(&mut self, index: usize) -> anyhow::Result<()> {
        self.start_process(index)?;
        self.wait_ready(index)
    }

    /// `kill -9` to one.
    ///
    /// # Errors
    /// When it cannot be signaled.
    pub fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(mut processes) = self.server_mut(index)?.processes.take() else { return Ok(()) };
        processes.signal_all(Signal::KILL)?;
        ensure!(processes.wait(PATIENCE)?, "nats-server was killed and lives");
        Ok(())
    }

    /// `kill -9` to all.
    ///
    /// # Errors
    /// When one cannot be signaled.
    pub fn kill_all(&mut self) -> anyhow::Result<()> {
        (0..self.servers.len()).try_for_each(|index| self.kill(index))
    }

    /// SIGSTOP to one: connections stay, nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, index: usize) -> anyhow::Result<()> {
        self.running(index)?.signal_all(Signal::STOP)
    }

    /// SIGCONT to one.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self, index: usize) -> anyhow::Result<()> {
        self.running(index)?.signal_all(Signal::CONT)
    }

    /// The addresses of all, with commas between them.
    pub fn url(&self) -> String {
        let urls: Vec<_> = self
            .servers
            .iter()
            .map(|server| format!("nats://{}:{}", server.reached_at(), server.client_port))
            .collect();
        urls.join(",")
    }

    /// The monitoring addresses of all, with commas between them.
    pub fn monitors(&self) -> String {
        let monitors: Vec<_> =
            self.servers.iter().map(|server| format!("{}:{}", server.reached_at(), server.monitor_port)).collect();
        monitors.join(",")
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.servers.len()
    }

    /// The port of one for clients.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn client_port(&self, index: usize) -> u16 {
        self.servers[index].client_port
    }

    /// The process of one.
    ///
    /// # Errors
    /// When it does not run.
    pub fn process(&self, index: usize) -> anyhow::Result<u32> {
        self.running(index).map(Processes::id)
    }

    /// Which server leads a stream now, if any says so.
    ///
    /// # Errors
    /// When no server can be asked.
    pub fn leader(&self, stream: &str) -> anyhow::Result<Option<usize>> {
        for index in 0..self.servers.len() {
            let Ok(text) = self.monitor(index, "/jsz?streams=true&accounts=true") else { continue };
            // The leader of a stream is the one that says it leads it.
            let own = format!("\"leader\": \"{}\"", self.servers[index].name);
            let at = text.find(&format!("\"name\": \"{stream}\""));
            let about = at.map(|at| &text[at..]).map(|rest| rest.find("\"state\"").map_or(rest, |end| &rest[..end]));
            let cluster = at.and_then(|at| text[at..].find("\"cluster\"").map(|found| &text[at + found..]));
            let near = cluster.map_or("", |cluster| cluster.get(..400).unwrap_or(cluster));
            if about.is_some() && near.contains(&own) {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// What a server wrote to its log so far.
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.path(index, "log")).unwrap_or_default()
    }

    fn configuration(&self, index: usize, options: &NatsOptions) -> anyhow::Result<String> {
        let server = &self.servers[index];
        let listen = if server.site.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let mut text = format!("server_name: {}\nlisten: {listen}:{}\n", server.name, server.client_port);
        writeln!(text, "http: {listen}:{}\nmax_payload: {}", server.monitor_port, options.max_payload)?;
        if options.jetstream {
            let sync = if options.sync_always { "always" } else { "\"2m\"" };
            let folder = self.path(index, "data");
            writeln!(text, "jetstream {{ store_dir: \"{}\", sync_interval: {sync} }}", folder.display())?;
        }
        if options.servers > 1 {
            let routes =
                self.servers.iter().map(|other| format!("nats://{}:{}", other.routes_at(), other.cluster_port));
            let (routes, port): (Vec<_>, _) = (routes.collect(), server.cluster_port);
            // Clients are told of no other server: whoever is behind a proxy stays there.
            writeln!(text, "cluster {{ name: c, listen: {listen}:{port}, no_advertise: true, routes: {routes:?} }}")?;
        }
        Ok(text)
    }

    fn start_process(&mut self, index: usize) -> anyhow::Result<()> {
        let log =
            File::options().append(true).create(true).open(self.path(index, "log")).context("the server's log")?;
        let (config, folder) = (self.path(index, "conf"), self.folder.path().to_path_buf());
        let server = self.server_mut(index)?;
        if server.processes.as_mut().is_some_and(|processes| matches!(processes.ended(), Ok(None))) {
            return Ok(());
        }
        let program = nats_program::find()?;
        let mut command = match &server.site {
            Some(site) => namespace::inside(&site.namespace, &program),
            None => Command::new(program),
        };
        command.arg("-c").arg(config).current_dir("/").stdout(Stdio::null()).stderr(log);
        server.processes = Some(Processes::start(command, Command::new("/bin/sh"), &folder)?);
        Ok(())
    }

    /// Ready is: it says that it is healthy, which includes its streams, and that the cluster has a leader.
    fn wait_ready(&mut self, index: usize) -> anyhow::Result<()> {
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            let processes = self.server_mut(index)?.processes.as_mut();
            if let Some(status) = processes.context("nats-server does not run")?.ended()? {
                bail!("nats-server ended at start with {status}:\n{}", self.log(index));
            }
            if self.monitor(index, "/healthz").is_ok_and(|text| text.contains("\"ok\"")) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("nats-server is not ready after {PATIENCE:?}:\n{}", self.log(index))
    }

    fn monitor(&self, index: usize, path: &str) -> anyhow::Result<String> {
        let server = self.servers.get(index).context("no such server")?;
        let address = SocketAddr::from((server.reached_at(), server.monitor_port));
        let mut stream = TcpStream::connect_timeout(&address, LOOK_PATIENCE)?;
        stream.set_read_timeout(Some(LOOK_PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn running(&self, index: usize) -> anyhow::Result<&Processes> {
        self.servers.get(index).and_then(|server| server.processes.as_ref()).context("nats-server does not run")
    }

    fn server_mut(&mut self, index: usize) -> anyhow::Result<&mut Server> {
        self.servers.get_mut(index).context("no such server")
    }

    fn path(&self, index: usize, what: &str) -> std::path::PathBuf {
        Path::join(self.folder.path(), format!("n{index}.{what}"))
    }
}
