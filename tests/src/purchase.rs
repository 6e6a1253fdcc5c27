//! A single buyer, for tests that look at answers and not at throughput.

use anyhow::Context as _;
use holdfast_api::load::{
    order::{ORDERS, fresh_run},
    shop::{Answer, Shop},
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// An order that was acknowledged.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// The order's id.
    pub id: String,
    /// The token that reads it.
    pub token: String,
}

/// The body of an order of these SKUs and quantities, paid with `card`.
pub fn order_body(lines: &[(&str, u32)], card: &str) -> Value {
    let lines: Vec<_> = lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    json!({ "lines": lines, "payment": { "token": card } })
}

/// Posts an order under `key`.
///
/// # Errors
/// When there is no answer.
pub async fn post_order(shop: &Shop, key: &str, body: &Value) -> anyhow::Result<Answer> {
    Ok(shop.call(Method::POST, ORDERS, None, &[("idempotency-key", key)], Some(body)).await?)
}

/// Buys, under a key of its own. Whatever is answered but 201 is an error.
///
/// # Errors
/// When the order is not acknowledged.
pub async fn buy(shop: &Shop, lines: &[(&str, u32)], card: &str) -> anyhow::Result<Purchase> {
    let answer = post_order(shop, &fresh_run()?, &order_body(lines, card)).await?;
    Purchase::of(&answer.expect("an order", &[StatusCode::CREATED])?)
}

impl Purchase {
    /// What a buyer keeps of an acknowledgment.
    ///
    /// # Errors
    /// When id or token are missing.
    pub fn of(answer: &Answer) -> anyhow::Result<Self> {
        let text = |field: &str| {
            let value = answer.body.get(field).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("{field} is missing in {}", answer.body))
        };
        Ok(Self { id: text("id")?, token: text("buyer_token")? })
    }

    /// The order as its buyer sees it now.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn read(&self, shop: &Shop) -> anyhow::Result<Value> {
        let order = shop.order(&self.id, &self.token).await?;
        order.with_context(|| format!("{} is gone", self.id))
    }

    /// The order once its status is one of `statuses`, waiting up to ten seconds.
    ///
    /// # Errors
    /// When it never is.
    pub async fn settled(&self, shop: &Shop, statuses: &[&str]) -> anyhow::Result<Value> {
        let mut order = self.read(shop).await?;
        for _ in 0..200 {
            let status = order.get("status").and_then(Value::as_str).unwrap_or_default();
            if statuses.contains(&status) {
                return Ok(order);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            order = self.read(shop).await?;
        }
        anyhow::bail!("still not {}: {order}", statuses.join(" or "))
    }
}
