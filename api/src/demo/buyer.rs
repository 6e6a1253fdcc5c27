//! A buyer who keeps the receipt: order and token of everything that was acknowledged, to be looked up again later.

use std::sync::Arc;

use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::load::{
    crowd::Shopper,
    order::{OrderTemplate, verdict},
    tally::Verdict,
};

/// Problems that mean "not yet": the same request is sent again.
const NOT_YET: [&[u8]; 2] = [b"/sale-not-open\"", b"/idempotency-key-in-flight\""];

/// What a buyer holds of an acknowledged order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// The order.
    pub id: String,
    /// The token that reads it.
    pub buyer_token: String,
}

/// All receipts, and a bell that rings at the one that was waited for.
#[derive(Debug)]
pub struct Receipts {
    all: Mutex<Vec<Receipt>>,
    bell_at: usize,
    bell: Notify,
}

impl Receipts {
    /// No receipts yet; the bell rings at number `bell_at`, counted from 1.
    pub fn new(bell_at: usize) -> Arc<Self> {
        Arc::new(Self { all: Mutex::default(), bell_at, bell: Notify::new() })
    }

    /// The receipts so far.
    pub fn all(&self) -> Vec<Receipt> {
        self.all.lock().clone()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the bell.
    pub async fn bell(&self) {
        self.bell.notified().await;
    }

    fn keep(&self, receipt: Receipt) {
        let mut all = self.all.lock();
        all.push(receipt);
        if all.len() == self.bell_at {
            self.bell.notify_one();
        }
    }
}

/// One connection's buyers.
#[derive(Debug, Clone)]
pub struct Buyer {
    /// What they order.
    pub orders: OrderTemplate,
    /// Where their receipts go.
    pub receipts: Arc<Receipts>,
}

impl Shopper for Buyer {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.orders.request(number)
    }

    fn judge(&mut self, _number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        let says = |problem: &[u8]| body.windows(problem.len()).any(|part| part == problem);
        match verdict(status, body) {
            Verdict::Sold => match serde_json::from_slice(body) {
                Ok(receipt) => {
                    self.receipts.keep(receipt);
                    Verdict::Sold
                }
                Err(_) => Verdict::Failed,
            },
            Verdict::Failed if status == StatusCode::CONFLICT && NOT_YET.into_iter().any(says) => Verdict::Shed,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::target::Target;

    fn buyer(receipts: &Arc<Receipts>) -> Buyer {
        let target: Target = "http://127.0.0.1:1".parse().unwrap();
        Buyer { orders: OrderTemplate::new(&target, "A", "0123456789abcdef"), receipts: Arc::clone(receipts) }
    }

    #[test]
    fn an_acknowledged_order_leaves_a_receipt() {
        let receipts = Receipts::new(1);
        let body = br#"{"id":"ord_1","buyer_token":"buy_1","status":"placed"}"#;
        assert_eq!(buyer(&receipts).judge(0, StatusCode::CREATED, body), Verdict::Sold);
        assert_eq!(receipts.all(), [Receipt { id: "ord_1".into(), buyer_token: "buy_1".into() }]);
    }

    #[test]
    fn an_order_that_comes_too_early_is_sent_again() {
        let receipts = Receipts::new(1);
        let body = br#"{"type":"https://holdfast.dev/problems/sale-not-open","status":409}"#;
        assert_eq!(buyer(&receipts).judge(0, StatusCode::CONFLICT, body), Verdict::Shed);
        assert!(receipts.is_empty());
    }
}
