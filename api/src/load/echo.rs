//! The yardstick: an axum handler that parses an order and sends the same JSON back. No rule, no stock, no disk.
//!
//! What the shop does per order is told as a ratio to this, measured in the same run on the same machine by the same
//! generator, so the figure does not depend on how fast the machine is today.

use std::{net::SocketAddr, sync::Arc};

use axum::{Json, Router, routing::post};
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};
use tokio::net::TcpListener;

use super::{
    crowd::{self, Shopper},
    flash_sale::{FlashSaleError, Load},
    order::{ORDERS, OrderTemplate, fresh_run},
    pace::Until,
    progress::Progress,
    report::Report,
    server_process::Ready,
    shop::Shop,
    tally::{Ledger, Verdict},
};

/// A listening echo server that does not answer yet.
pub struct EchoServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl EchoServer {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// What to tell whoever waits for it.
    pub fn ready(&self) -> Ready {
        Ready { public: self.address, admin: None, pid: std::process::id() }
    }

    /// Answers until dropped.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self) -> std::io::Result<()> {
        let echo = |Json(body): Json<serde_json::Value>| async move { Json(body) };
        axum::serve(self.listener, Router::new().route(ORDERS, post(echo))).await
    }
}

/// Drives the echo at `shop` with the orders of a flash sale.
///
/// # Errors
/// [`FlashSaleError::Randomness`].
pub async fn drive(shop: &Shop, load: Load) -> Result<Report, FlashSaleError> {
    let ledger = Arc::new(Ledger::default());
    let orders = OrderTemplate::new(shop.target(), "ECHO", &fresh_run()?);
    let progress = Progress::show("echo", Until::Elapsed(load.duration), Arc::clone(&ledger));
    let shopper = |_| EchoShopper(orders.clone());
    let elapsed = crowd::run(load.plan(shop), shopper, Arc::clone(&ledger)).await;
    drop(progress);
    let mut report = Report::new(&ledger.tally(), elapsed, load.connections, load.rate);
    report.echo = true;
    Ok(report)
}

struct EchoShopper(OrderTemplate);

impl Shopper for EchoShopper {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.0.request(number)
    }

    fn judge(&mut self, _number: u64, status: StatusCode, _body: &[u8]) -> Verdict {
        if status == StatusCode::OK { Verdict::Sold } else { Verdict::Failed }
    }
}
