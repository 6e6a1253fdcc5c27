//! The few calls the generator, the demo and the tests make beside orders: put a product up, read its stock and an order.
//!
//! The wire format of those calls is known here and in [`super::order`] only.

use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    connection::{Connection, ConnectionError},
    target::Target,
};

/// A server, and the admin token if the caller has it.
#[derive(Debug, Clone)]
pub struct Shop {
    target: Target,
    admin_token: Option<String>,
}

/// The units of a SKU as the admin sees them: `on_hand = available + held + allocated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Units {
    /// Units in the house.
    pub on_hand: u64,
    /// Units under a hold.
    pub held: u64,
    /// Units bound to confirmed orders.
    pub allocated: u64,
    /// Units that can be bought.
    pub available: u64,
    /// Units that left the house.
    pub fulfilled: u64,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The JSON body; null if there is none.
    pub body: Value,
}

/// A call that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// No answer.
    #[error("{call} got no answer")]
    NoAnswer {
        /// Method and path.
        call: String,
        /// Why.
        #[source]
        source: ConnectionError,
    },
    /// The call cannot be made into a request.
    #[error("{call} is not a request")]
    NotARequest {
        /// Method and path.
        call: String,
        /// Why.
        #[source]
        source: hyper::http::Error,
    },
    /// An answer that was not expected.
    #[error("{call} was answered {status}: {body}")]
    Unexpected {
        /// Method and path.
        call: String,
        /// The status.
        status: StatusCode,
        /// The body.
        body: String,
    },
}

impl Units {
    /// Whether `on_hand = available + held + allocated`.
    pub fn balance(&self) -> bool {
        self.unbalanced() == 0
    }

    /// Units by which `on_hand` is not `available + held + allocated`.
    pub fn unbalanced(&self) -> u64 {
        self.available.saturating_add(self.held).saturating_add(self.allocated).abs_diff(self.on_hand)
    }

    /// Units that orders have taken.
    pub fn taken(&self) -> u64 {
        self.held.saturating_add(self.allocated).saturating_add(self.fulfilled)
    }
}

impl Shop {
    /// The server at `target`.
    pub fn new(target: Target, admin_token: Option<String>) -> Self {
        Self { target, admin_token }
    }

    /// Where the server is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The admin token, if the caller has it.
    pub fn admin_token(&self) -> Option<&str> {
        self.admin_token.as_deref()
    }

    /// Puts `product` up with `units` in stock.
    ///
    /// # Errors
    /// [`ShopError`], also when the SKU is taken.
    pub async fn put_up(&self, product: &Value) -> Result<(), ShopError> {
        let answer = self.admin_call(Method::POST, "/api/v1/products", Some(product)).await?;
        answer.expect("POST /api/v1/products", &[StatusCode::CREATED]).map(|_| ())
    }

    /// A plain product for a load test, with `units` in stock.
    pub fn plain_product(sku: &str, units: u64) -> Value {
        json!({
            "sku": sku, "name": "Flash sale item", "description": "Put up by the load generator.",
            "price": { "amount_minor": 4_900, "currency": "EUR" }, "category": "bench", "units": units,
        })
    }

    /// The units of `sku` as the admin sees them.
    ///
    /// # Errors
    /// [`ShopError`], also when there is no such SKU.
    pub async fn units(&self, sku: &str) -> Result<Units, ShopError> {
        let path = format!("/api/v1/products/{sku}");
        let answer = self.admin_call(Method::GET, &path, None).await?;
        let answer = answer.expect(&path, &[StatusCode::OK])?;
        let stock = answer.body.get("stock").unwrap_or(&answer.body).clone();
        serde_json::from_value(stock).map_err(|_| answer.unexpected(&path))
    }

    /// Changes the stock of `sku` by `delta` units.
    ///
    /// # Errors
    /// [`ShopError`], also when fewer units are available than are to go.
    pub async fn adjust(&self, sku: &str, delta: i64) -> Result<(), ShopError> {
        let path = format!("/api/v1/products/{sku}/stock-adjustments");
        let body = json!({ "delta": delta, "reason": "load test" });
        let answer = self.admin_call(Method::POST, &path, Some(&body)).await?;
        answer.expect(&path, &[StatusCode::OK, StatusCode::CREATED]).map(|_| ())
    }

    /// The order `id` as the holder of `token` sees it; none if that is not (or no longer) an order of theirs.
    ///
    /// # Errors
    /// [`ShopError`] on any answer but 200 and 404.
    pub async fn order(&self, id: &str, token: &str) -> Result<Option<Value>, ShopError> {
        let path = format!("/api/v1/orders/{id}");
        let answer = self.call(Method::GET, &path, Some(token), &[], None).await?;
        let answer = answer.expect(&path, &[StatusCode::OK, StatusCode::NOT_FOUND])?;
        Ok((answer.status == StatusCode::OK).then_some(answer.body))
    }

    /// A call with the admin token.
    ///
    /// # Errors
    /// [`ShopError::NoAnswer`].
    pub async fn admin_call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, ShopError> {
        self.call(method, path, self.admin_token.as_deref(), &[], body).await
    }

    /// Any call, over a connection of its own.
    ///
    /// # Errors
    /// [`ShopError::NoAnswer`].
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, ShopError> {
        let call = || format!("{method} {path}");
        let mut request = Request::builder().method(&method).uri(path).header(HOST, self.target.authority());
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let content = body.map(ToString::to_string);
        if content.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(content.unwrap_or_default())));
        let request = request.map_err(|source| ShopError::NotARequest { call: call(), source })?;
        let exchange = async {
            let mut bytes = Vec::new();
            let status = Connection::open(self.target.address()).await?.send(request, &mut bytes).await?;
            Ok((status, bytes))
        };
        let (status, bytes) = exchange.await.map_err(|source| ShopError::NoAnswer { call: call(), source })?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, body: if bytes.is_empty() { Value::Null } else { body } })
    }
}

impl Answer {
    /// The answer, if its status is one of `statuses`.
    ///
    /// # Errors
    /// [`ShopError::Unexpected`] otherwise.
    pub fn expect(self, call: &str, statuses: &[StatusCode]) -> Result<Self, ShopError> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(self.unexpected(call)) }
    }

    fn unexpected(&self, call: &str) -> ShopError {
        ShopError::Unexpected { call: call.to_owned(), status: self.status, body: self.body.to_string() }
    }
}
