//! Connections that buy nothing: some say nothing at all between two requests, some send a head a byte at a time. Whoever
//! is cut off comes back at once.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

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

/// A crowd of bystanders; it goes when dropped.
pub struct Bystanders {
    connected: Arc<AtomicUsize>,
    crowd: JoinSet<()>,
}

impl Bystanders {
    /// Connects `count` bystanders, every other one a slow one, and waits up to 30 s until they are there.
    pub async fn gather(address: SocketAddr, count: usize) -> Self {
        let connected = Arc::new(AtomicUsize::new(0));
        let mut crowd = JoinSet::new();
        for number in 0..count {
            let connected = Arc::clone(&connected);
            crowd.spawn(async move {
                loop {
                    let Ok(stream) = TcpStream::connect(address).await else {
                        sleep(PAUSE).await;
                        continue;
                    };
                    connected.fetch_add(1, Ordering::Relaxed);
                    // How a bystander leaves is not of interest: it comes back.
                    let _ = if number % 2 == 0 { idle(stream).await } else { trickle(stream).await };
                    connected.fetch_sub(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
            });
        }
        let gathered = Self { connected, crowd };
        for _ in 0..300 {
            if gathered.connected() >= count {
                break;
            }
            sleep(PAUSE).await;
        }
        gathered
    }

    /// How many are connected now.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Sends all of them home.
    pub async fn dismiss(mut self) {
        self.crowd.shutdown().await;
    }
}

/// One request, then nothing until the server closes.
async fn idle(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n").await?;
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
