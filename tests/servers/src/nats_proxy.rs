//! A wire between a NATS client and its server that loses acknowledgments and doubles appends.
//!
//! Invariant: what it passes on, it passes on whole and in order; only whole messages are lost or doubled. Which ones is
//! drawn from a fixed seed.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// What goes wrong, in per cent of the messages it can happen to.
#[derive(Debug, Default)]
pub struct Mischief {
    /// Messages from the client that carry an expected sequence are sent twice.
    pub doubled_percent: AtomicU64,
    /// Answers of `JetStream` to such messages are lost.
    pub lost_ack_percent: AtomicU64,
    /// Requests of a node to another one are sent twice.
    pub doubled_request_percent: AtomicU64,
    /// Another node's answers to such requests are lost.
    pub lost_answer_percent: AtomicU64,
    /// Nothing passes in either direction, and new connections are closed.
    pub is_cut: AtomicBool,
    /// How many were doubled so far.
    pub doubled: AtomicU64,
    /// How many were lost so far.
    pub lost: AtomicU64,
    drawn: AtomicU64,
}

/// The wire. It ends with the test process.
pub struct NatsProxy {
    port: u16,
    /// What goes wrong on it from now on.
    pub mischief: Arc<Mischief>,
}

impl NatsProxy {
    /// Listens on a free port and passes everything on to `server_port`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn start(server_port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let mischief = Arc::new(Mischief::default());
        let shared = Arc::clone(&mischief);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that cannot be made is the client's to try again.
                let _ = connect(client, server_port, &shared);
            }
        });
        Ok(Self { port, mischief })
    }

    /// Where clients reach the server through it.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Mischief {
    /// Whether it happens this time.
    fn happens(&self, percent: &AtomicU64) -> bool {
        let percent = percent.load(Ordering::Relaxed);
        let mut random = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        random = (random ^ (random >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (random >> 33) % 100 < percent
    }
}

fn connect(client: TcpStream, server_port: u16, mischief: &Arc<Mischief>) -> io::Result<()> {
    if mischief.is_cut.load(Ordering::Relaxed) {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port))?;
    let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let (up, down) = (Arc::clone(mischief), Arc::clone(mischief));
    thread::spawn(move || pass(&client, &to_server, |message| up.upward(message)));
    thread::spawn(move || pass(&server, &to_client, |message| down.downward(message)));
    Ok(())
}

impl Mischief {
    /// How often a message from the client is passed on.
    fn upward(&self, message: &[u8]) -> Option<usize> {
        if self.is_cut.load(Ordering::Relaxed) {
            return None;
        }
        let is_append = message.starts_with(b"HPUB ") && contains(message, b"Nats-Expected-Last-Sequence");
        let is_request = message.starts_with(b"PUB holdfast.") && contains(message, b".ask ");
        let is_doubled = is_append && self.happens(&self.doubled_percent)
            || is_request && self.happens(&self.doubled_request_percent);
        if is_doubled {
            self.doubled.fetch_add(1, Ordering::Relaxed);
            return Some(2);
        }
        Some(1)
    }

    /// The same for one from the server.
    fn downward(&self, message: &[u8]) -> Option<usize> {
        if self.is_cut.load(Ordering::Relaxed) {
            return None;
        }
        let is_ack = message.starts_with(b"MSG _INBOX") && contains(message, b"\"stream\":\"HOLDFAST");
        let is_answer = message.starts_with(b"MSG holdfast.") && contains(message, b".answer.");
        let is_lost = is_ack && contains(message, b"\"seq\":") && self.happens(&self.lost_ack_percent)
            || is_answer && self.happens(&self.lost_answer_percent);
        if is_lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Some(0);
        }
        Some(1)
    }
}

/// Passes messages on until either side ends or `times` says so, then ends both.
fn pass(from: &TcpStream, to: &TcpStream, times: impl Fn(&[u8]) -> Option<usize>) {
    let mut reader = BufReader::new(from);
    let mut message = Vec::new();
    while matches!(read_message(&mut reader, &mut message), Ok(true)) {
        let Some(count) = times(&message) else { break };
        let mut to = to;
        if (0..count).any(|_| to.write_all(&message).is_err()) {
            break;
        }
    }
    for side in [from, to] {
        let _ = side.shutdown(std::net::Shutdown::Both);
    }
}

/// One control line and the payload it announces. `false` at the end.
fn read_message(reader: &mut BufReader<&TcpStream>, message: &mut Vec<u8>) -> io::Result<bool> {
    message.clear();
    reader.read_until(b'\n', message)?;
    let line = String::from_utf8_lossy(message).into_owned();
    let mut words = line.split_whitespace();
    let carries = words.next().is_some_and(|verb| ["PUB", "HPUB", "MSG", "HMSG"].contains(&verb));
    if let Some(bytes) = words.next_back().and_then(|size| size.parse::<u64>().ok()).filter(|_| carries) {
        reader.take(bytes + 2).read_to_end(message)?;
    }
    Ok(!message.is_empty())
}

fn contains(message: &[u8], part: &[u8]) -> bool {
    let head = message.get(..message.len().min(1_024)).unwrap_or(message);
    head.windows(part.len()).any(|window| window == part)
}
