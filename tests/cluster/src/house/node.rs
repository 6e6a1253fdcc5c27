//! The nodes of a house: started, killed, stopped, paused, and told apart.
//!
//! Invariant: a node keeps its name, its addresses and its folder through every restart.

use std::{fs, net::SocketAddr, process::ExitStatus, thread, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_api::load::server_process::{Launch, ServerProcess};
use rustix::process::{Pid, Signal, kill_process};

use super::ClusterHouse;

/// One node, running or not.
pub(super) struct HouseNode {
    pub(super) name: String,
    pub(super) launch: Launch,
    pub(super) process: Option<ServerProcess>,
    pub(super) admin: SocketAddr,
}

impl ClusterHouse {
    /// Starts every node that does not run, all at once.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start_nodes(&mut self) -> anyhow::Result<()> {
        thread::scope(|scope| {
            let down = self.nodes.iter_mut().filter(|node| node.process.is_none());
            let starts: Vec<_> = down.map(|node| scope.spawn(|| node.start())).collect();
            for start in starts {
                start.join().map_err(|_| anyhow::anyhow!("a start panicked"))??;
            }
            Ok(())
        })
    }

    /// Starts one node.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self, index: usize) -> anyhow::Result<()> {
        self.node_mut(index)?.start()
    }

    /// `kill -9` to one node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        if let Some(process) = self.node_mut(index)?.process.take() {
            process.kill();
        }
        Ok(())
    }

    /// SIGSTOP to one node: its connections stay, it does nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self, index: usize) -> anyhow::Result<()> {
        self.signal(index, Signal::STOP)
    }

    /// SIGCONT to one node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self, index: usize) -> anyhow::Result<()> {
        self.signal(index, Signal::CONT)
    }

    /// SIGTERM to one node, and waits up to `patience` for it to leave. How it left, if it did.
    ///
    /// # Errors
    /// When it does not run.
    pub fn terminate(&mut self, index: usize, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        self.signal(index, Signal::TERM)?;
        let mut process = self.node_mut(index)?.process.take().context("the node does not run")?;
        Ok(process.wait(patience))
    }

    /// Whether the process of a node is gone by itself, and how.
    ///
    /// # Errors
    /// When it was not running.
    pub fn has_left(&mut self, index: usize) -> anyhow::Result<Option<ExitStatus>> {
        let process = self.node_mut(index)?.process.as_mut().context("the node does not run")?;
        Ok(process.wait(Duration::from_millis(1)))
    }

    /// Removes the data folder of a node that does not run, as if its disk had been lost.
    ///
    /// # Errors
    /// When it runs, or there is no such folder.
    pub fn lose_disk(&mut self, index: usize) -> anyhow::Result<()> {
        let node = self.node_mut(index)?;
        ensure!(node.process.is_none(), "{} runs", node.name);
        fs::remove_dir_all(node.launch.folder.join("data")).with_context(|| format!("the disk of {}", node.name))
    }

    /// Puts a node that left by itself down as not running.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn note_gone(&mut self, index: usize) -> anyhow::Result<()> {
        self.kill(index)
    }

    /// How many nodes there are, running or not.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The numbers of those that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].process.is_some()).collect()
    }

    /// What a node is called.
    pub fn name(&self, index: usize) -> &str {
        self.nodes.get(index).map_or("", |node| &node.name)
    }

    /// The number of the node of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The process of a node.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, index: usize) -> anyhow::Result<u32> {
        Ok(self.nodes.get(index).and_then(|node| node.process.as_ref()).context("the node does not run")?.pid())
    }

    fn signal(&self, index: usize, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid(index)?).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to {}", self.name(index)))
    }

    fn node_mut(&mut self, index: usize) -> anyhow::Result<&mut HouseNode> {
        self.nodes.get_mut(index).context("no such node")
    }
}

impl HouseNode {
    fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs", self.name);
        let process = self.launch.start().with_context(|| format!("the node {}", self.name))?;
        self.process = Some(process);
        Ok(())
    }
}
