//! HTTP/1.1 written by hand, one request per connection: tells a request that was never sent from one whose answer was
//! lost, shows every header, and lets a test misbehave in ways no client library would.

use std::{io, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A request as it will stand on the wire.
#[derive(Debug, Clone)]
pub struct Call {
    head: String,
    body: Vec<u8>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Received {
    /// The status.
    pub status: u16,
    /// Status line and headers, as they came.
    pub head: String,
    /// The JSON body; null if there is none or it is something else.
    pub body: Value,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens: the request was never sent.
    #[error("cannot connect")]
    NotSent(#[source] io::Error),
    /// It broke off: whether the server acted on it is unknown.
    #[error("the connection broke off")]
    Lost(#[source] io::Error),
}

impl Call {
    /// A request to `path`.
    pub fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n"), body: Vec::new() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        for part in [name, ": ", value, "\r\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// The same as the holder of a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same with a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string().as_bytes())
    }

    /// The same with a body that says it is JSON.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("content-type", "application/json")
    }

    fn bytes(&self) -> Vec<u8> {
        let length = format!("content-length: {}\r\n\r\n", self.body.len());
        [self.head.as_bytes(), length.as_bytes(), &self.body].concat()
    }

    /// Sends it and reads the answer to its end.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn send(&self, address: SocketAddr) -> Result<Received, NoAnswer> {
        let mut stream = TcpStream::connect(address).await.map_err(NoAnswer::NotSent)?;
        stream.set_nodelay(true).map_err(NoAnswer::NotSent)?;
        stream.write_all(&self.bytes()).await.map_err(NoAnswer::Lost)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.map_err(NoAnswer::Lost)?;
        Received::parse(&bytes).ok_or_else(|| NoAnswer::Lost(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl Received {
    /// A whole answer, or nothing if its end is missing.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, rest) = bytes.split_at(end);
        let body = rest.get(4..)?;
        let head = String::from_utf8(head.to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut received = Self { status, head, body: Value::Null };
        let length: usize = received.header("content-length").unwrap_or("0").parse().ok()?;
        let body = body.get(..length)?;
        received.body = serde_json::from_slice(body).unwrap_or(Value::Null);
        Some(received)
    }

    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The last part of a problem's type; empty if it is none.
    pub fn problem(&self) -> &str {
        let kind = self.body.get("type").and_then(Value::as_str).unwrap_or_default();
        kind.rsplit('/').next().unwrap_or_default()
    }

    /// A number of the body, by JSON pointer.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.body.pointer(pointer)?.as_u64()
    }

    /// A text of the body, by JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_end_is_none() {
        let whole = b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\nidempotency-replayed: true\r\n\r\n{\"id\": 1}";
        let received = Received::parse(whole).unwrap();
        assert_eq!((received.status, received.number("/id")), (201, Some(1)));
        assert_eq!(received.header("idempotency-replayed"), Some("true"));
        assert!((0..whole.len()).all(|end| Received::parse(&whole[..end]).is_none()));
    }
}
