//! A small shop in which everything happens once, as the content of a golden folder.

use holdfast_api::load::order::ORDERS;
use holdfast_tests::{
    House,
    purchase::{Purchase, buy},
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// The product that is taken out of the catalog at the end.
pub(crate) const REMOVED: &str = "GOLD-GONE";

/// Puts an order where the admin wants it.
async fn set_status(house: &House, purchase: &Purchase, status: &str) -> anyhow::Result<()> {
    let path = format!("{ORDERS}/{}/status", purchase.id);
    let answer = house.shop().admin_call(Method::PUT, &path, Some(&json!({ "status": status }))).await?;
    answer.expect(&path, &[StatusCode::OK])?;
    Ok(())
}

/// Runs the shop; its orders as id, token and final status.
pub(crate) async fn run(house: &House) -> anyhow::Result<Vec<Value>> {
    for (sku, units) in [("GOLD-A", 100), ("GOLD-B", 50), (REMOVED, 5)] {
        house.put_up(sku, units).await?;
    }
    let shop = house.shop();
    let mut orders = Vec::new();
    let confirmed = buy(shop, &[("GOLD-A", 2), ("GOLD-B", 1)], "tok_approve").await?;
    orders.push((confirmed, "confirmed"));
    let declined = buy(shop, &[("GOLD-A", 1)], "tok_decline").await?;
    orders.push((declined, "canceled"));
    for status in ["shipped", "delivered"] {
        let purchase = buy(shop, &[("GOLD-B", 2)], "tok_approve").await?;
        purchase.settled(shop, &["confirmed"]).await?;
        set_status(house, &purchase, "shipped").await?;
        if status == "delivered" {
            purchase.settled(shop, &["shipped"]).await?;
            set_status(house, &purchase, "delivered").await?;
        }
        orders.push((purchase, status));
    }
    let canceled = buy(shop, &[("GOLD-A", 3)], "tok_approve").await?;
    canceled.settled(shop, &["confirmed"]).await?;
    set_status(house, &canceled, "canceled").await?;
    orders.push((canceled, "canceled"));
    shop.adjust("GOLD-A", 7).await?;
    shop.call(Method::POST, "/api/v1/cart", None, &[], None).await?.expect("a cart", &[StatusCode::CREATED])?;
    let removed = shop.admin_call(Method::DELETE, &format!("/api/v1/products/{REMOVED}"), None).await?;
    removed.expect("removing a product", &[StatusCode::NO_CONTENT])?;
    let mut known = Vec::new();
    for (purchase, status) in orders {
        purchase.settled(shop, &[status]).await?;
        known.push(json!({ "id": purchase.id, "token": purchase.token, "status": status }));
    }
    Ok(known)
}
