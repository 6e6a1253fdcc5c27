//! The accept loop: one task per listener that owns its connections, caps them, and ends them.
//!
//! `axum::serve` has neither deadlines nor a cap, and waits for live streams forever at shutdown; hence our own. A
//! connection above the cap is answered 503 at once and closed, so a crowd is refused and not queued.

use std::{
    future::poll_fn,
    io::{self, Write as _},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    problem::{Kind, Problem},
    pulse::Order,
    reaper::{Reaper, Registration},
    service::Service,
    stream::{Stream, raw_answer},
};
use crate::settings::{DeadlineSettings, LimitSettings};

/// How many connections a crowd that comes at once gets in before those that are in get their turn.
const ACCEPTS_AT_ONCE: u32 = 8;

/// How many headers hyper takes unless told otherwise.
const HTTP_HEADERS: usize = 100;

/// A listener and everything its connections share.
pub(crate) struct Acceptor {
    listener: TcpListener,
    service: Service,
    reaper: Arc<Reaper>,
    http: http1::Builder,
    max_connections: usize,
}

/// How a listener ends: moved forward by the server, never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Accept and serve.
    Open,
    /// Accept nothing new; finish what is in flight; close live streams.
    Draining,
    /// Close everything.
    Closed,
}

impl Acceptor {
    /// Serves what comes in at `listener`.
    pub(crate) fn new(
        listener: TcpListener,
        service: Service,
        deadlines: &DeadlineSettings,
        limits: &LimitSettings,
    ) -> Self {
        let mut http = http1::Builder::new();
        // Deadlines are the reaper's; hyper's own timer would cost a timer registration a request. Answers are small:
        // copying head and body into one write is cheaper than a vectored one.
        http.header_read_timeout(None).writev(false).max_buf_size(limits.header_bytes);
        if limits.headers != HTTP_HEADERS {
            // Any other number than its own makes hyper clear a list of headers for every request.
            http.max_headers(limits.headers);
        }
        Self { listener, service, reaper: Reaper::new(deadlines), http, max_connections: limits.connections }
    }

    /// The address it listens on.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the stage is [`Stage::Closed`], or draining has finished every connection.
    pub(crate) async fn run(self, mut stage: watch::Receiver<Stage>) {
        let refusal = raw_answer(&Problem::new(Kind::Overloaded).detail("too many connections"));
        let mut connections = JoinSet::new();
        let mut sweep = JoinSet::new();
        sweep.spawn(Arc::clone(&self.reaper).run());
        let gauge = metrics::gauge!("holdfast_http_connections", "listener" => self.service.listener_name());
        let mut taken: u32 = 0;
        while *stage.borrow_and_update() == Stage::Open {
            taken = taken.wrapping_add(1);
            if taken.is_multiple_of(ACCEPTS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) if connections.len() >= self.max_connections => refuse(socket, &refusal),
                    Ok((socket, _)) => {
                        let (http, service) = (self.http.clone(), self.service.clone());
                        connections.spawn(serve(socket, http, service, self.reaper.register()));
                    }
                    Err(error) => rest_after(&error).await,
                },
                Some(_) = connections.join_next() => {}
                _ = stage.changed() => {}
            }
            while connections.try_join_next().is_some() {}
            gauge.set(u32::try_from(connections.len()).unwrap_or(u32::MAX));
        }
        drop(self.listener);
        self.reaper.give_all(Order::Drain);
        finish(&mut connections, &mut stage).await;
        gauge.set(0);
    }
}

/// Waits for the connections to finish, until the stage says to close them.
async fn finish(connections: &mut JoinSet<()>, stage: &mut watch::Receiver<Stage>) {
    let all_joined = async { while connections.join_next().await.is_some() {} };
    let is_closed = async { stage.wait_for(|stage| *stage == Stage::Closed).await.is_ok() };
    tokio::select! {
        () = all_joined => return,
        _ = is_closed => {}
    }
    connections.shutdown().await;
}

/// Answers and closes at once, without a task. Whoever cannot take 400 bytes then gets a closed connection instead.
fn refuse(socket: TcpStream, refusal: &[u8]) {
    metrics::counter!("holdfast_http_connections_refused_total").increment(1);
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(refusal);
    }
}

/// Out of file descriptors or memory, accepting again at once would spin; a peer's reset needs no rest.
async fn rest_after(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One connection, from accept to close.
async fn serve(socket: TcpStream, http: http1::Builder, service: Service, registration: Registration) {
    let pulse = &registration.pulse;
    // A peer that is gone already fails the first read just as well.
    let _ = socket.set_nodelay(true);
    let io = TokioIo::new(Stream::new(socket, Arc::clone(pulse)));
    let mut connection = pin!(http.serve_connection(io, service_fn(|request| service.call(request, pulse))));
    let mut draining = false;
    let waker = Waker::from(Arc::clone(pulse));
    let mut step = || {
        match pulse.order() {
            Order::Cut => return Poll::Ready(()),
            Order::Drain if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Drain | Order::GoOn => {}
        }
        // An error here is the peer's doing (a reset, a torn request) and was answered where an answer was possible.
        connection.as_mut().poll(&mut Context::from_waker(&waker)).map(|_| ())
    };
    poll_fn(|task| pulse.poll(task.waker(), &mut step)).await;
}
