//! One kept-alive HTTP/1.1 connection, driven by the task that uses it.
//!
//! The generator shares its cores with the server it measures, so a request must cost little: hyper's low-level client,
//! one task per connection. The connection's own work is polled inside the request that needs it; a second task per
//! connection would cost two wake-ups and two scheduler turns a request.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The longest answer that is kept, in bytes; a server that sends more is at fault.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// An open connection. After an error it is spent: drop it and open another.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    wire: Pin<Box<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

/// No answer was received.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The server does not accept.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The exchange broke off.
    #[error("no complete answer")]
    Exchange(#[from] hyper::Error),
    /// The server closed the connection before it answered.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The answer is larger than the generator keeps.
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// [`ConnectionError::Connect`] when nobody listens, [`ConnectionError::Exchange`] when the handshake fails.
    pub async fn open(address: SocketAddr) -> Result<Self, ConnectionError> {
        let connect = |source| ConnectionError::Connect { address, source };
        let stream = TcpStream::connect(address).await.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, wire: Box::pin(wire) })
    }

    /// Sends `request` and waits for the whole answer, whose body replaces what `body` held.
    ///
    /// # Errors
    /// [`ConnectionError`]: whether the server acted on the request is then unknown.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        body: &mut Vec<u8>,
    ) -> Result<StatusCode, ConnectionError> {
        let mut exchange = pin!(exchange(&mut self.sender, request, body));
        let wire = &mut self.wire;
        poll_fn(|context| {
            if let Poll::Ready(answer) = exchange.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            let closed = wire.as_mut().poll(context);
            match (exchange.as_mut().poll(context), closed) {
                (Poll::Ready(answer), _) => Poll::Ready(answer),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
                (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(Err(ConnectionError::Closed)),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        })
        .await
    }

    /// Whether another request may be sent: false once the server said it would close.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    body: &mut Vec<u8>,
) -> Result<StatusCode, ConnectionError> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    body.clear();
    drain(response.into_body(), body).await?;
    Ok(status)
}

async fn drain(mut incoming: Incoming, body: &mut Vec<u8>) -> Result<(), ConnectionError> {
    while let Some(frame) = incoming.frame().await {
        if let Ok(data) = frame?.into_data() {
            if body.len().saturating_add(data.len()) > MAX_ANSWER_BYTES {
                return Err(ConnectionError::TooLong);
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(())
}
