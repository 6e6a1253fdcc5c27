//! Two networks with a wire between them that can be cut: network namespaces of Linux, for a partition that a proxy cannot make,
//! because servers are on both sides of it. Needs root and `ip` (iproute2).
//!
//! Invariant: the test reaches both sides over wires of its own, cut or not; namespaces and wires are gone when the value is
//! dropped or the test process ends.

use std::{
    io::Write as _,
    net::Ipv4Addr,
    path::Path,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, ensure};

/// One of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// Two networks.
pub struct Partition {
    name: String,
    number: u8,
    /// Takes everything down once its input closes, also when the test process is killed.
    sweeper: Child,
}

/// A command that runs in a namespace. It replaces `ip`, so that its process is the program's.
pub fn inside(namespace: &str, program: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

impl Partition {
    /// Makes both networks, connected.
    ///
    /// # Errors
    /// When the machine does not let namespaces be made, with the reason.
    pub fn make() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = (process::id() + NEXT.fetch_add(1, Ordering::Relaxed)) % 250 + 1;
        let name = format!("hf{}", process::id() % 100_000 * 10 + NEXT.load(Ordering::Relaxed) % 10);
        let sweep = format!("read _; ip netns del {name}l; ip netns del {name}r");
        let mut sweeper = Command::new("/bin/sh");
        sweeper.args(["-c", &sweep]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let sweeper = sweeper.spawn().context("cannot run a shell")?;
        let partition = Self { name, number: u8::try_from(number)?, sweeper };
        partition.build().context("network namespaces are needed here: run as root, with iproute2 installed")?;
        Ok(partition)
    }

    fn build(&self) -> anyhow::Result<()> {
        let (left, right) = (self.namespace(Side::Left), self.namespace(Side::Right));
        for side in [&left, &right] {
            ip(&["netns", "add", side])?;
            ip(&["-n", side, "link", "set", "lo", "up"])?;
        }
        ip(&["link", "add", "wire", "netns", &left, "type", "veth", "peer", "name", "wire", "netns", &right])?;
        for side in [Side::Left, Side::Right] {
            let (inside, outside) = (self.namespace(side), format!("{}t", self.namespace(side)));
            ip(&["link", "add", &outside, "type", "veth", "peer", "name", "test", "netns", &inside])?;
            ip(&["addr", "add", &format!("{}/30", self.test_at(side)), "dev", &outside])?;
            ip(&["link", "set", &outside, "up"])?;
            ip(&["-n", &inside, "addr", "add", &format!("{}/30", self.reached_at(side)), "dev", "test"])?;
            ip(&["-n", &inside, "addr", "add", &format!("{}/30", self.wire_at(side)), "dev", "wire"])?;
            for device in ["test", "wire"] {
                ip(&["-n", &inside, "link", "set", device, "up"])?;
            }
        }
        Ok(())
    }

    /// A side's namespace.
    pub fn namespace(&self, side: Side) -> String {
        format!("{}{}", self.name, if side == Side::Left { "l" } else { "r" })
    }

    /// A side's address on the wire between the two.
    pub fn wire_at(&self, side: Side) -> Ipv4Addr {
        Ipv4Addr::new(10, 254, self.number, if side == Side::Left { 1 } else { 2 })
    }

    /// Where the test reaches a side.
    pub fn reached_at(&self, side: Side) -> Ipv4Addr {
        Ipv4Addr::new(10, 254, self.number, if side == Side::Left { 6 } else { 10 })
    }

    /// Where a side reaches the test.
    pub fn test_at(&self, side: Side) -> Ipv4Addr {
        Ipv4Addr::new(10, 254, self.number, if side == Side::Left { 5 } else { 9 })
    }

    /// Cuts the wire: what is sent is lost, connections stay as they are.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn cut(&self) -> anyhow::Result<()> {
        ip(&["-n", &self.namespace(Side::Left), "link", "set", "wire", "down"])
    }

    /// Mends the wire.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn mend(&self) -> anyhow::Result<()> {
        ip(&["-n", &self.namespace(Side::Left), "link", "set", "wire", "up"])
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if let Some(mut input) = self.sweeper.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.sweeper.wait();
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new("ip").args(arguments).stdin(Stdio::null()).output().context("cannot run ip (iproute2)")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), why.trim());
    Ok(())
}
