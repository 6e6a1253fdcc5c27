//! Connections that buy nothing: some say nothing at all between two requests, some send a head a byte at a time. Whoever
//! is cut off comes back at once.

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use holdfast_api::load::stopwatch::Stopwatch;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use crate::wire::Received;

/// Between two bytes of a slow client.
const BYTE_EVERY: Duration = Duration::from_secs(2);

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a crowd may take to gather, on however slow a machine.
const GATHERED: Duration = Duration::from_mins(2);

/// A request that says nothing.
const GREETING: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n";

/// A crowd of bystanders; it goes when dropped.
pub struct Bystanders {
    connected: Arc<AtomicUsize>,
    crowd: JoinSet<()>,
}

impl Bystanders {
    /// Connects `count` bystanders, every other one a slow one, and waits up to two minutes until they are there.
    pub async fn gather(address: SocketAddr, count: usize) -> Self {
        let connected = Arc::new(AtomicUsize::new(0));
        let mut crowd = JoinSet::new();
        for number in 0..count {
            crowd.spawn(stand_by(address, number % 2 == 1, Arc::clone(&connected)));
        }
        let gathered = Self { connected, crowd };
        let watch = Stopwatch::start();
        while gathered.connected() < count && watch.elapsed() < GATHERED {
            sleep(PAUSE).await;
        }
        gathered
    }

    /// How many the server has let in: connected, and answered once. Whoever is cut off counts until coming back fails.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Sends all of them home.
    pub async fn dismiss(mut self) {
        self.crowd.shutdown().await;
    }
}

async fn stand_by(address: SocketAddr, is_slow: bool, connected: Arc<AtomicUsize>) {
    let mut is_in = false;
    loop {
        let entered = enter(address).await;
        match (entered.is_ok(), is_in) {
            (true, false) => drop(connected.fetch_add(1, Ordering::Relaxed)),
            (false, true) => drop(connected.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        is_in = entered.is_ok();
        if let Ok(stream) = entered {
            // How a bystander leaves is not of interest: it comes back.
            let _ = if is_slow { trickle(stream).await } else { idle(stream).await };
        }
        sleep(PAUSE).await;
    }
}

/// Connects, and asks once: the system takes connections in that the server refuses, or has no room for.
async fn enter(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(GREETING).await?;
    let mut answer = Vec::new();
    loop {
        match Received::parse(&answer) {
            Some(received) if received.status == 200 => return Ok(stream),
            Some(_) => return Err(ErrorKind::ConnectionRefused.into()),
            None if stream.read_buf(&mut answer).await? == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
}

/// Nothing until the server closes.
async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    let mut scratch = [0; 1_024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

/// A head that never ends.
async fn trickle(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\nx-slow: ").await?;
    loop {
        stream.write_all(b"x").await?;
        sleep(BYTE_EVERY).await;
    }
}

/// Whether the server answers a bystander's request at all.
///
/// # Errors
/// When there is no connection.
pub async fn is_served(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(Received::parse(&bytes).is_some_and(|received| received.status == 200))
}
