//! The one request the generator sends by the million: an order of one unit with a fresh Idempotency-Key.
//!
//! Everything but the key is built once; a request costs a header map and the key's bytes.

use std::sync::Arc;

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::Bytes,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{crowd::Shopper, tally::Verdict, target::Target};

/// The path orders are posted to.
pub const ORDERS: &str = "/api/v1/orders";

/// The header a retry is known by.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The card of the sandbox gateway that is always approved.
pub const APPROVED_CARD: &str = "tok_approve";

/// What a refusal says when a SKU is sold out, as it stands in the problem's `type`.
const SOLD_OUT: &[u8] = b"/insufficient-stock\"";

/// Builds the orders of one run.
#[derive(Debug, Clone)]
pub struct OrderTemplate {
    headers: HeaderMap,
    body: Bytes,
    run: Arc<str>,
}

impl OrderTemplate {
    /// The body of an order of one unit of `sku`.
    pub fn body(sku: &str) -> Value {
        json!({ "lines": [{ "sku": sku, "quantity": 1 }], "payment": { "token": APPROVED_CARD } })
    }

    /// Orders of one unit of `sku`. `run` sets this run's keys apart from all others'.
    pub fn new(target: &Target, sku: &str, run: &str) -> Self {
        let body = Self::body(sku);
        let mut headers = HeaderMap::with_capacity(4);
        headers
            .insert(HOST, HeaderValue::from_str(target.authority()).unwrap_or(HeaderValue::from_static("localhost")));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { headers, body: Bytes::from(body.to_string()), run: Arc::from(run) }
    }

    /// The key of order `number` of this run.
    pub fn key(&self, number: u64) -> String {
        format!("{}-{number:010}", self.run)
    }

    /// Order `number`; asked again, the same order with the same key.
    pub fn request(&self, number: u64) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(ORDERS);
        request.headers_mut().clone_from(&self.headers);
        if let Ok(key) = HeaderValue::try_from(self.key(number)) {
            request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        }
        request
    }
}

/// The orders of one run over one SKU or many, which share the crowd evenly.
#[derive(Debug, Clone)]
pub struct Assortment(Arc<[OrderTemplate]>);

impl Assortment {
    /// Orders of one unit of each of `skus` in turn. `run` sets this run's keys apart from all others'.
    pub fn new(target: &Target, skus: &[String], run: &str) -> Self {
        Self(skus.iter().map(|sku| OrderTemplate::new(target, sku, run)).collect())
    }

    /// Order `number`; asked again, the same order with the same key.
    ///
    /// # Panics
    /// Without a SKU.
    pub fn request(&self, number: u64) -> Request<Full<Bytes>> {
        // A prime for a stride: neighbors in time are no neighbors in the catalog. One more in each round, so that every SKU has its
        // turn also where the stride leads back to the first too soon.
        let count = self.0.len() as u64;
        let stride = if count.is_multiple_of(617) { 613 } else { 617 };
        let index = (number.wrapping_mul(stride).wrapping_add(number / count)) % count;
        self.0[usize::try_from(index).unwrap_or_default()].request(number)
    }
}

impl From<OrderTemplate> for Assortment {
    fn from(orders: OrderTemplate) -> Self {
        Self(Arc::from([orders]))
    }
}

/// A shopper that keeps nothing of the answers.
#[derive(Debug, Clone)]
pub struct PassingShopper {
    /// What it orders.
    pub orders: Assortment,
}

impl Shopper for PassingShopper {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.orders.request(number)
    }

    fn judge(&mut self, _number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        verdict(status, body)
    }
}

/// What the answer to an order means. A refusal counts as clean only if it says that the SKU is sold out.
pub fn verdict(status: StatusCode, body: &[u8]) -> Verdict {
    match status {
        StatusCode::CREATED | StatusCode::OK => Verdict::Sold,
        StatusCode::CONFLICT if body.windows(SOLD_OUT.len()).any(|part| part == SOLD_OUT) => Verdict::Refused,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Verdict::Shed,
        _ => Verdict::Failed,
    }
}

/// A name no other run has: 16 hexadecimal digits from the operating system.
///
/// # Errors
/// When the operating system has no randomness.
pub fn fresh_run() -> Result<String, getrandom::Error> {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bits)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_retry_is_the_same_order_under_the_same_key() {
        let orders = OrderTemplate::new(&"http://127.0.0.1:1".parse().unwrap(), "A", "0123456789abcdef");
        let keys = [3, 3, 4].map(|number| orders.request(number).headers()[IDEMPOTENCY_KEY].clone());
        assert_eq!(keys[0], keys[1]);
        assert_ne!(keys[0], keys[2]);
        assert!(keys[0].len() >= 16, "the server's shortest key");
    }

    #[test]
    fn every_sku_of_an_assortment_is_ordered_as_often_as_the_others() {
        for (count, orders) in [(1, 3), (3, 9), (1_000, 1_000), (617, 617), (1_234, 2_468)] {
            let skus: Vec<String> = (0..count).map(|number| format!("S-{number}")).collect();
            let assortment = Assortment::new(&"http://127.0.0.1:1".parse().unwrap(), &skus, "0123456789abcdef");
            let mut times: HashMap<String, u64> = HashMap::new();
            for number in 0..orders {
                *times.entry(format!("{:?}", assortment.request(number).body())).or_default() += 1;
            }
            assert_eq!(times.len() as u64, count);
            assert!(times.values().all(|times| *times == orders / count), "{count}: {times:?}");
        }
    }

    #[test]
    fn only_sold_out_is_a_clean_refusal() {
        let sold_out = br#"{"type":"https://holdfast.dev/problems/insufficient-stock","status":409}"#;
        assert_eq!(verdict(StatusCode::CONFLICT, sold_out), Verdict::Refused);
        assert_eq!(verdict(StatusCode::CONFLICT, b"{}"), Verdict::Failed);
        assert_eq!(verdict(StatusCode::SERVICE_UNAVAILABLE, b""), Verdict::Shed);
        assert_eq!(verdict(StatusCode::CREATED, b""), Verdict::Sold);
    }
}
