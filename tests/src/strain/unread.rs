//! Clients that ask and never read what they are told.

use std::{net::SocketAddr, time::Duration};

use holdfast_api::load::stopwatch::Stopwatch;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// What such a client takes into its own buffer, in bytes: as little as the system allows.
const BUFFER_BYTES: u32 = 2_048;

/// Connects with next to no room for answers.
///
/// # Errors
/// When nobody listens.
pub async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.connect(address).await
}

/// Opens a live stream of `sku` whose events are never read.
///
/// # Errors
/// When the connection breaks.
pub async fn follow(address: SocketAddr, sku: &str) -> std::io::Result<TcpStream> {
    let mut stream = connect(address).await?;
    let request = format!("GET /api/v1/stock/{sku}/events HTTP/1.1\r\nhost: shop\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// How a client fared that sent requests and read nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unread {
    /// Bytes of requests the server took.
    pub sent: usize,
    /// After how long it was cut off; `None` if it was not within the patience given.
    pub cut_after: Option<Duration>,
}

/// Sends requests for the longest answer there is, one after the other, until cut off.
///
/// # Errors
/// When nobody listens.
pub async fn ask_without_end(address: SocketAddr, patience: Duration) -> std::io::Result<Unread> {
    let mut stream = connect(address).await?;
    let requests = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(16);
    let (watch, mut sent) = (Stopwatch::start(), 0);
    let asking = async {
        while stream.write_all(&requests).await.is_ok() {
            sent += requests.len();
        }
    };
    let cut_after = tokio::time::timeout(patience, asking).await.ok().map(|()| watch.elapsed());
    Ok(Unread { sent, cut_after })
}

/// Whether the server has closed the connection: what still lies in the buffers is read, and then its end, within `patience`.
pub async fn is_closed(mut stream: TcpStream, patience: Duration) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(patience, stream.read_to_end(&mut rest)).await.is_ok()
}
