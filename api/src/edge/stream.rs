//! The socket as hyper sees it: tells the [`Pulse`] what the peer does, turns hyper's own bodiless refusals into
//! problems, and closes gently after an early answer.
//!
//! Why the second: a head that is too long or is not HTTP never reaches a handler; hyper answers it by itself with an
//! empty body. No handler of ours answers an error without a body, so the two cannot be confused.
//!
//! Why the third: closing a socket with unread bytes resets the connection, and the reset may overtake the answer.
//! After an early refusal (413 to a client still sending) our side is closed and the rest read and dropped, within a
//! deadline.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    problem::{Kind, Problem},
    pulse::{Phase, Pulse},
};

/// A connection's socket with its pulse.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    pulse: Arc<Pulse>,
    /// The phase to return to when the peer takes our bytes again.
    stalled_in: Option<Phase>,
    /// A refusal written in hyper's stead, and how much of it is out.
    refusal: Option<(Bytes, usize)>,
    /// Whether our side of the socket is closed.
    shut: bool,
}

impl Stream {
    /// The socket of a connection.
    pub(crate) fn new(socket: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { socket, pulse, stalled_in: None, refusal: None, shut: false }
    }

    /// Notes how a write of `wanted` bytes went. Only a write taken whole ends a stall: a peer that reads a byte a
    /// second has the same time for an answer as one that reads nothing.
    fn note_write(&mut self, result: &Poll<io::Result<usize>>, wanted: usize) {
        match result {
            Poll::Ready(Ok(written)) if *written >= wanted => {
                let phase = self.stalled_in.take().unwrap_or_else(|| self.pulse.phase());
                if phase == Phase::Idle || self.pulse.phase() == Phase::Stalled {
                    self.pulse.enter(phase);
                }
            }
            Poll::Ready(Ok(_)) | Poll::Pending => {
                if self.stalled_in.is_none() {
                    self.stalled_in = Some(self.pulse.phase());
                    self.pulse.enter(Phase::Stalled);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    /// Writes what is left of our own refusal.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &mut self.refusal {
            let rest = bytes.slice(*written..);
            if rest.is_empty() {
                self.refusal = None;
                break;
            }
            *written += ready!(Pin::new(&mut self.socket).poll_write(cx, &rest))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and drops until the peer closes; the reaper bounds how long.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0_u8; 8_192];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                // The answer is out: how the peer goes is no longer ours to report.
                Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// The problem to answer instead, when `head` is a refusal hyper wrote by itself.
fn refusal_of(head: &[u8]) -> Option<Bytes> {
    let status = head.strip_prefix(b"HTTP/1.1 4").or_else(|| head.strip_prefix(b"HTTP/1.0 4"))?;
    let kind = match status.get(..2)? {
        b"00" => Kind::MalformedRequest,
        b"14" => Kind::UriTooLong,
        b"31" => Kind::HeadersTooLarge,
        _ => return None,
    };
    let bodiless = head.windows(19).any(|line| line.eq_ignore_ascii_case(b"content-length: 0\r\n"));
    bodiless.then(|| raw_answer(&Problem::new(kind)))
}

/// A problem as a whole HTTP/1.1 answer that closes the connection, for where no handler runs.
pub(crate) fn raw_answer(problem: &Problem) -> Bytes {
    let body = problem.to_bytes();
    let status = problem.kind().status();
    let retry = if status.is_server_error() { "retry-after: 1\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         {retry}connection: close\r\n\r\n",
        body.len()
    );
    Bytes::from([head.as_bytes(), &body].concat())
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before && matches!(self.pulse.phase(), Phase::Fresh | Phase::Idle) {
            self.pulse.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_refusal(cx))?;
        if let Some(refusal) = refusal_of(bytes) {
            self.refusal = Some((refusal, 0));
            self.pulse.linger(true);
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note_write(&result, bytes.len());
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [single] = slices {
            return self.poll_write(cx, single);
        }
        ready!(self.poll_refusal(cx))?;
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note_write(&result, slices.iter().map(|slice| slice.len()).sum());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        if !self.shut {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.shut = true;
            self.pulse.enter(Phase::Closing);
        }
        if self.pulse.lingers() { self.poll_discard(cx) } else { Poll::Ready(Ok(())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bodiless_refusal_of_hyper_is_replaced() {
        let hypers = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let replaced = refusal_of(hypers).expect("replaced");
        assert!(replaced.starts_with(b"HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert!(replaced.windows(17).any(|part| part == b"headers-too-large"));
        assert_eq!(refusal_of(b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(refusal_of(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 120\r\n\r\n"), None);
        assert_eq!(refusal_of(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
    }
}
