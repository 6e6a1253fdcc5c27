//! Where shoppers ask: at one server, or at several that are one shop. Whoever is not answered asks again, until there is an
//! answer that means something.

use std::{future::Future, time::Duration};

use holdfast_api::load::shop::{Answer, Shop};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

/// How long whoever was not answered waits before asking again.
const PAUSE: Duration = Duration::from_millis(10);

/// One request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What is to be done.
    pub method: Method,
    /// To what.
    pub path: String,
    /// Whose token is shown.
    pub bearer: Option<String>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Option<Value>,
}

/// Where one asks.
pub trait Counter: Send + Sync + 'static {
    /// Asks, first at place `at` if there are several, until there is an answer that means something.
    fn ask(&self, at: &mut usize, ask: &Ask) -> impl Future<Output = anyhow::Result<Answer>> + Send;
}

impl Counter for Shop {
    async fn ask(&self, _at: &mut usize, ask: &Ask) -> anyhow::Result<Answer> {
        loop {
            if let Some(answer) = ask.send(self).await.ok().filter(is_answer) {
                return Ok(answer);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Ask {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), bearer: None, headers: Vec::new(), body: None }
    }

    /// The same with a token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..self }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Sends it once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, shop: &Shop) -> anyhow::Result<Answer> {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(shop.call(self.method.clone(), &self.path, self.bearer.as_deref(), &headers, self.body.as_ref()).await?)
    }
}

/// Whether an answer says what became of the request, rather than to ask again.
pub fn is_answer(answer: &Answer) -> bool {
    let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let under_way = ["idempotency-key-in-flight", "cart-checking-out"];
    !again.contains(&answer.status) && !under_way.contains(&problem(answer))
}

/// The last part of a problem's type; empty if it is none.
pub fn problem(answer: &Answer) -> &str {
    answer.body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
}
