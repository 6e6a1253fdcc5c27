//! A wire between a NATS client and its server that loses acknowledgments, doubles appends, and loses, doubles or delays what
//! clients tell one another; that is cut, or holds everything back for a while.
//!
//! Invariant: what it passes on, it passes on whole, and in order but for what is late; only whole messages are lost, doubled
//! or late. Which ones is drawn from a fixed seed.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What says that an answer is about one stream.
const STREAM_INFO: &[u8] = b"io.nats.jetstream.api.v1.stream_info_response";
/// What a server says when there is no such stream.
const NO_STREAM: &str = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
/// How often a wire that holds everything back looks whether it still does.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What goes wrong, in per cent of the messages it can happen to.
#[derive(Debug, Default)]
pub struct Mischief {
    /// Messages from the client that carry an expected sequence are sent twice.
    pub doubled_percent: AtomicU64,
    /// Answers of `JetStream` to such messages are lost.
    pub lost_ack_percent: AtomicU64,
    /// Messages from the client that are for other clients are sent twice.
    pub core_doubled_percent: AtomicU64,
    /// Such messages are lost.
    pub core_lost_percent: AtomicU64,
    /// Such messages are overtaken by the next one.
    pub core_late_percent: AtomicU64,
    /// Requests of a node to another one are sent twice.
    pub doubled_request_percent: AtomicU64,
    /// Another node's answers to such requests are lost.
    pub lost_answer_percent: AtomicU64,
    /// Nothing passes in either direction, and new connections are closed.
    pub is_cut: AtomicBool,
    /// Nothing passes in either direction until this ends, and everything then; connections stay as they are.
    pub is_held: AtomicBool,
    /// How often a stream that is asked for is still said not to be there, as by a server that has just started.
    pub unfound: AtomicU64,
    /// How many were doubled so far.
    pub doubled: AtomicU64,
    /// How many were lost so far.
    pub lost: AtomicU64,
    /// How many were late so far.
    pub late: AtomicU64,
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
                shared.hold();
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
        if percent == 0 {
            return false;
        }
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
    thread::spawn(move || pass(&client, &to_server, &up, |message| up.upward(message)));
    thread::spawn(move || pass(&server, &to_client, &down, |message| down.downward(message)));
    Ok(())
}

/// What becomes of a message.
enum Fate {
    /// It is passed on so often.
    Passed(usize),
    /// Another one is passed on in its place.
    Replaced(Vec<u8>),
    /// It is passed on behind the next one.
    Late,
    /// The connection ends.
    End,
}

impl Mischief {
    /// What becomes of a message from the client.
    fn upward(&self, message: &[u8]) -> Fate {
        if self.is_cut.load(Ordering::Relaxed) {
            return Fate::End;
        }
        let is_append = message.starts_with(b"HPUB ") && contains(message, b"Nats-Expected-Last-Sequence");
        if is_append {
            return self.drawn_for(&self.doubled_percent, &self.doubled, Fate::Passed(2));
        }
        let is_request = message.starts_with(b"PUB holdfast.") && contains(message, b".ask ");
        if is_request && self.doubled_request_percent.load(Ordering::Relaxed) > 0 {
            return self.drawn_for(&self.doubled_request_percent, &self.doubled, Fate::Passed(2));
        }
        let is_message = message.starts_with(b"PUB ") || message.starts_with(b"HPUB ");
        if !is_message || message.starts_with(b"PUB $JS.") || message.starts_with(b"HPUB $JS.") {
            return Fate::Passed(1);
        }
        match self.drawn_for(&self.core_lost_percent, &self.lost, Fate::Passed(0)) {
            Fate::Passed(1) => {}
            fate => return fate,
        }
        match self.drawn_for(&self.core_doubled_percent, &self.doubled, Fate::Passed(2)) {
            Fate::Passed(1) => self.drawn_for(&self.core_late_percent, &self.late, Fate::Late),
            fate => fate,
        }
    }

    /// The same for one from the server.
    fn downward(&self, message: &[u8]) -> Fate {
        if self.is_cut.load(Ordering::Relaxed) {
            return Fate::End;
        }
        if contains(message, STREAM_INFO)
            && self.unfound.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            return Fate::Replaced(with_payload(message, NO_STREAM));
        }
        let is_ack = message.starts_with(b"MSG _INBOX") && contains(message, b"\"stream\":\"HOLDFAST");
        if is_ack && contains(message, b"\"seq\":") {
            return self.drawn_for(&self.lost_ack_percent, &self.lost, Fate::Passed(0));
        }
        if message.starts_with(b"MSG holdfast.") && contains(message, b".answer.") {
            return self.drawn_for(&self.lost_answer_percent, &self.lost, Fate::Passed(0));
        }
        Fate::Passed(1)
    }

    fn drawn_for(&self, percent: &AtomicU64, count: &AtomicU64, fate: Fate) -> Fate {
        if !self.happens(percent) {
            return Fate::Passed(1);
        }
        count.fetch_add(1, Ordering::Relaxed);
        fate
    }

    /// Waits while everything is held back.
    fn hold(&self) {
        while self.is_held.load(Ordering::Relaxed) && !self.is_cut.load(Ordering::Relaxed) {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Passes messages on until either side ends or one's fate is the end, then ends both.
fn pass(from: &TcpStream, to: &TcpStream, mischief: &Mischief, fate: impl Fn(&[u8]) -> Fate) {
    let mut reader = BufReader::new(from);
    let (mut message, mut late, mut writer) = (Vec::new(), Vec::new(), to);
    while matches!(read_message(&mut reader, &mut message), Ok(true)) {
        mischief.hold();
        let count = match fate(&message) {
            Fate::Passed(count) => count,
            Fate::Replaced(other) => {
                message = other;
                1
            }
            Fate::Late if late.is_empty() => {
                std::mem::swap(&mut late, &mut message);
                continue;
            }
            Fate::Late => 1,
            Fate::End => break,
        };
        let passed = (0..count).all(|_| writer.write_all(&message).is_ok());
        if !passed || writer.write_all(&late).is_err() {
            break;
        }
        late.clear();
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

/// A message without headers for the same reader, with another payload.
fn with_payload(message: &[u8], payload: &str) -> Vec<u8> {
    let line = message.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let (reader, _) = line.rsplit_once(' ').unwrap_or((&line, ""));
    format!("{reader} {}\r\n{payload}\r\n", payload.len()).into_bytes()
}

fn contains(message: &[u8], part: &[u8]) -> bool {
    let head = message.get(..message.len().min(1_024)).unwrap_or(message);
    head.windows(part.len()).any(|window| window == part)
}
