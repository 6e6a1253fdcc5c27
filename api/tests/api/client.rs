//! A client that can also misbehave: it writes HTTP/1.1 by hand and reads whatever comes back.

use std::{collections::BTreeMap, fmt::Write as _, io, net::SocketAddr, sync::LazyLock, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// No test waits longer than this for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every answer is held to.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&holdfast_api::edge::openapi_json().expect("written")).expect("JSON"));

/// One request to be sent.
#[derive(Clone)]
pub(crate) struct Call {
    addr: SocketAddr,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(addr: SocketAddr, method: &'static str, path: &str) -> Self {
        Self { addr, method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn cart(self, token: &str) -> Self {
        self.header("x-cart-token", token)
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string().as_bytes())
    }

    /// A body that claims to be JSON.
    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("content-type", "application/json")
    }

    /// A body of another media type.
    pub(crate) fn typed_body(mut self, media_type: &str, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("content-type", media_type)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "content-length: {}\r\n\r\n", self.body.len());
        [text.as_bytes(), &self.body].concat()
    }

    /// Sends it over a connection of its own and reads the answer.
    pub(crate) async fn send(self) -> Reply {
        let reply = self.try_send().await.expect("an answer");
        reply.assert_documented(self.method, &self.path);
        reply
    }

    /// The same where the server may be gone.
    pub(crate) async fn try_send(&self) -> io::Result<Reply> {
        let mut stream = TcpStream::connect(self.addr).await?;
        stream.write_all(&self.bytes()).await?;
        Reply::try_read(&mut stream).await
    }
}

impl Reply {
    /// Reads one answer.
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        Self::try_read(stream).await.expect("an answer")
    }

    async fn try_read(stream: &mut TcpStream) -> io::Result<Self> {
        timeout(PATIENCE, Self::read_patiently(stream)).await.expect("an answer in time")
    }

    async fn read_patiently(stream: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
        let mut body = bytes.split_off(end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        if let Some(length) = headers.get("content-length").and_then(|length| length.parse::<usize>().ok()) {
            while body.len() < length {
                if stream.read_buf(&mut body).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(Self { status: status.parse().expect("a status"), headers, body })
    }

    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {} {text}", self.status))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name} in {self:?}"))
    }

    /// The JSON of an answer with this status.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The JSON of a problem of this type.
    pub(crate) fn problem(&self, slug: &str) -> Value {
        let json = self.json();
        let text = json.to_string();
        assert_eq!(json["type"], format!("https://holdfast.dev/problems/{slug}"), "{text}");
        assert_eq!(json["status"], self.status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert!(json["title"].is_string() && json["detail"].is_string(), "{text}");
        if matches!(self.status, 429 | 503) {
            assert!(self.headers.contains_key("retry-after"), "{text}");
        }
        json
    }

    /// Holds a problem to the document of the operation that answered with it.
    fn assert_documented(&self, method: &str, path: &str) {
        if self.headers.get("content-type").is_none_or(|media_type| media_type != "application/problem+json") {
            return;
        }
        let path = path.split('?').next().expect("a path");
        let fits = |template: &str| {
            let (mut parts, mut templates) = (path.split('/'), template.split('/'));
            parts.by_ref().zip(templates.by_ref()).all(|(part, template)| template.starts_with('{') || part == template)
                && path.split('/').count() == template.split('/').count()
        };
        let paths = DOCUMENT["paths"].as_object().expect("paths");
        let exact = paths.get(path);
        let Some(item) = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item))
        else {
            return;
        };
        let operation = &item[method.to_lowercase()];
        if operation.is_null() {
            return;
        }
        let json = self.json();
        let slug = json["type"].as_str().and_then(|uri| uri.rsplit('/').next()).expect("a type").to_owned();
        let documented = operation["responses"][self.status.to_string()]["description"].as_str().unwrap_or_default();
        assert!(
            documented.contains(&format!("`{slug}`")),
            "{method} {path} answers {} {slug}: not documented",
            self.status
        );
    }
}

/// Where `part` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
