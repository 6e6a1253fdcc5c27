//! What is sold: one hot SKU, or a thousand that share the crowd evenly.
//!
//! Invariant: the units of a sale are its own, and what has become of them is read from the peer's own books afterwards, so that what
//! it acknowledged and does not have shows.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use holdfast_api::load::{
    crowd::{self, Shopper},
    flash_sale::Load,
    order::{Assortment, fresh_run, verdict},
    report::Report,
    shop::Shop,
    tally::{Ledger, Verdict},
};
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};

use crate::contender::{Contender, Kind};

/// Units of a SKU that is not to sell out.
const PLENTY: u64 = 1_000_000_000;
/// How many SKUs a wide sale has.
const WIDE: u64 = 1_000;

/// What is sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goods {
    /// One hot SKU.
    One,
    /// A thousand SKUs.
    Thousand,
}

impl Goods {
    /// Its name in tables and JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "one SKU",
            Self::Thousand => "1,000 SKUs",
        }
    }
}

/// A closed loop of so many connections, for so long.
pub(crate) fn closed(connections: usize, duration: Duration) -> Load {
    Load { connections, duration, rate: None, grace: Duration::from_secs(10) }
}

/// SKUs that were put up to be sold.
pub(crate) struct Sale<'a> {
    contender: &'a Contender,
    /// The orders for each address it sells at, each with keys of its own.
    orders: Vec<Assortment>,
    skus: Vec<String>,
}

impl<'a> Sale<'a> {
    /// Puts the goods up. The echo needs none.
    pub(crate) async fn put_up(contender: &'a Contender, goods: Goods) -> anyhow::Result<Self> {
        let (shop, run) = (contender.shop(), fresh_run()?);
        let count = if goods == Goods::One { 1 } else { WIDE };
        let skus: Vec<String> = (0..count).map(|number| format!("p-{run}-{number}")).collect();
        if contender.kind.sells() {
            for sku in &skus {
                shop.put_up(&Shop::plain_product(sku, PLENTY)).await?;
            }
        }
        let at = |(node, shop): (usize, &Shop)| Assortment::new(shop.target(), &skus, &format!("{run}-{node:04}"));
        let orders = contender.shops.iter().enumerate().map(at).collect();
        Ok(Self { contender, orders, skus })
    }

    /// Sells under `load`, which is spread over all addresses; the echo gets the same requests.
    pub(crate) async fn run(&self, load: Load) -> Report {
        let shops = &self.contender.shops;
        let crowds = shops.iter().zip(&self.orders).enumerate().map(async |(node, (shop, orders))| {
            let ledger = Arc::new(Ledger::default());
            let shopper = |_| Buyer { kind: self.contender.kind, orders: orders.clone() };
            let elapsed = crowd::run(share(load, node, shops.len()).plan(shop), shopper, Arc::clone(&ledger)).await;
            (ledger.tally(), elapsed)
        });
        let (mut tally, mut longest) = (Ledger::default().tally(), Duration::ZERO);
        for (part, elapsed) in join_all(crowds).await {
            tally.add(&part);
            longest = longest.max(elapsed);
        }
        Report::new(&tally, longest, load.connections, load.rate)
    }

    /// Units that the shop's books are wrong by: parts that do not add up, and orders it acknowledged and does not have.
    pub(crate) async fn oversold(&self, sold: u64) -> anyhow::Result<u64> {
        if !self.contender.kind.sells() {
            return Ok(0);
        }
        let (mut taken, mut unbalanced) = (0_u64, 0_u64);
        for sku in &self.skus {
            let units = self.contender.shop().units(sku).await?;
            unbalanced = unbalanced.saturating_add(units.unbalanced());
            taken = taken.saturating_add(units.taken());
        }
        Ok(unbalanced.saturating_add(sold.saturating_sub(taken)))
    }
}

/// The `node`th of `nodes` even parts of a load; the first ones take what is left over.
fn share(load: Load, node: usize, nodes: usize) -> Load {
    let connections = (load.connections + nodes - 1 - node) / nodes;
    #[expect(clippy::cast_precision_loss, reason = "there are few connections")]
    let part = connections as f64 / load.connections as f64;
    Load { connections, rate: load.rate.map(|rate| rate * part), ..load }
}

/// A shopper who knows what the contender's answers mean.
struct Buyer {
    kind: Kind,
    orders: Assortment,
}

impl Shopper for Buyer {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.orders.request(number)
    }

    fn judge(&mut self, _number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        match status {
            _ if self.kind.sells() => verdict(status, body),
            StatusCode::OK => Verdict::Sold,
            _ => Verdict::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_spread_evenly_and_whole() {
        let load = Load { rate: Some(640.0), ..closed(64, Duration::from_secs(1)) };
        let parts: Vec<Load> = (0..3).map(|node| share(load, node, 3)).collect();
        assert_eq!(parts.iter().map(|part| part.connections).collect::<Vec<_>>(), [22, 21, 21]);
        assert!((parts.iter().filter_map(|part| part.rate).sum::<f64>() - 640.0).abs() < 1e-9);
        assert_eq!(share(load, 0, 1).connections, 64);
    }
}
