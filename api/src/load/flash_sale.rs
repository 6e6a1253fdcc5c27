//! `bench flash-sale`: a crowd on one SKU or on many, then the stock read back.
//!
//! The figure that matters most is `oversold`: it is not what the generator believes it bought but what the server's own
//! books say, compared with what the server acknowledged.

use std::{sync::Arc, time::Duration};

use super::{
    crowd::{self, Patience, Plan},
    order::{Assortment, PassingShopper, fresh_run},
    pace::Until,
    progress::Progress,
    report::Report,
    shop::{Shop, ShopError, Units},
    tally::Ledger,
};

/// How much load, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// For how long requests are issued.
    pub duration: Duration,
    /// Requests per second in an open loop; none for a closed loop.
    pub rate: Option<f64>,
    /// How long answers are waited for after that.
    pub grace: Duration,
}

/// A run that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FlashSaleError {
    /// The product could not be put up or read.
    #[error("cannot prepare or read back the product")]
    Shop(#[from] ShopError),
    /// No randomness for the run's keys.
    #[error("the operating system has no randomness")]
    Randomness(#[from] getrandom::Error),
}

impl Load {
    /// What a crowd does with it at `shop`.
    pub fn plan(&self, shop: &Shop) -> Plan {
        Plan {
            address: shop.target().address(),
            connections: self.connections,
            until: Until::Elapsed(self.duration),
            rate: self.rate,
            patience: Patience::None,
            grace: self.grace,
        }
    }
}

/// Sells `stock` units of each of some new products to a crowd.
///
/// # Errors
/// [`FlashSaleError`] when a product cannot be put up or its stock read back.
pub async fn sell_new(shop: &Shop, skus: &[String], stock: u64, load: Load) -> Result<Report, FlashSaleError> {
    for sku in skus {
        shop.put_up(&Shop::plain_product(sku, stock)).await?;
    }
    sell(shop, skus, load).await
}

/// Brings what is available of an existing `sku` to `stock` units, then sells them to a crowd.
///
/// # Errors
/// [`FlashSaleError`] when the stock cannot be adjusted or read back.
pub async fn sell_restocked(shop: &Shop, sku: String, stock: u64, load: Load) -> Result<Report, FlashSaleError> {
    let available = shop.units(&sku).await?.available;
    if available != stock {
        let signed = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
        shop.adjust(&sku, signed(stock).saturating_sub(signed(available))).await?;
    }
    let report = sell(shop, &[sku], load).await?;
    // Somebody else's order may be canceled meanwhile.
    Ok(Report { lost: 0, ..report })
}

async fn sell(shop: &Shop, skus: &[String], load: Load) -> Result<Report, FlashSaleError> {
    let before = units_of(shop, skus).await?;
    let ledger = Arc::new(Ledger::default());
    let orders = Assortment::new(shop.target(), skus, &fresh_run()?);
    let progress = Progress::show("flash sale", Until::Elapsed(load.duration), Arc::clone(&ledger));
    let plan = load.plan(shop);
    let elapsed = crowd::run(plan, |_| PassingShopper { orders: orders.clone() }, Arc::clone(&ledger)).await;
    drop(progress);
    let mut report = Report::new(&ledger.tally(), elapsed, load.connections, load.rate);
    let after = units_of(shop, skus).await?;
    report.oversold = oversold(&before, &after, report.sold);
    report.lost = lost(&before, &after, report.sold);
    Ok(report)
}

async fn units_of(shop: &Shop, skus: &[String]) -> Result<Vec<Units>, ShopError> {
    let mut units = Vec::with_capacity(skus.len());
    for sku in skus {
        units.push(shop.units(sku).await?);
    }
    Ok(units)
}

/// Units sold that were not there: acknowledged beyond what was available of all SKUs, or taken beyond what was available or missing
/// in the server's own books of each.
pub fn oversold(before: &[Units], after: &[Units], sold: u64) -> u64 {
    let acknowledged = sold.saturating_sub(sum(&mut before.iter().map(|units| units.available)));
    let taken = sum(&mut before
        .iter()
        .zip(after)
        .map(|(before, after)| after.taken().saturating_sub(before.taken()).saturating_sub(before.available)));
    let unbalanced = sum(&mut after.iter().map(Units::unbalanced));
    acknowledged.max(taken).max(unbalanced)
}

/// Units that were acknowledged and that the server's own books do not have as taken.
pub fn lost(before: &[Units], after: &[Units], sold: u64) -> u64 {
    let taken = |units: &[Units]| sum(&mut units.iter().map(Units::taken));
    sold.saturating_sub(taken(after).saturating_sub(taken(before)))
}

fn sum(units: &mut dyn Iterator<Item = u64>) -> u64 {
    units.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Units = Units { on_hand: 100, held: 0, allocated: 0, available: 100, fulfilled: 0 };

    #[test]
    fn a_sale_of_all_units_oversells_nothing() {
        let after = Units { on_hand: 100, held: 10, allocated: 90, available: 0, fulfilled: 0 };
        assert_eq!(oversold(&[BEFORE], &[after], 100), 0);
    }

    #[test]
    fn one_order_too_many_shows() {
        let after = Units { on_hand: 100, held: 0, allocated: 100, available: 0, fulfilled: 0 };
        assert_eq!(oversold(&[BEFORE], &[after], 101), 1);
    }

    #[test]
    fn the_books_of_one_sku_do_not_make_up_for_those_of_another() {
        let after = |allocated| Units { on_hand: 100, held: 0, allocated, available: 50, fulfilled: 0 };
        assert_eq!(oversold(&[BEFORE; 2], &[after(52), after(48)], 100), 4);
        assert_eq!(oversold(&[BEFORE; 2], &[after(50), after(50)], 201), 1);
        let restocked = Units { on_hand: 103, held: 0, allocated: 103, available: 0, fulfilled: 0 };
        assert_eq!(
            oversold(&[BEFORE; 2], &[restocked, after(50)], 153),
            3,
            "one more was sold than there were of that SKU"
        );
    }

    #[test]
    fn one_order_that_the_books_do_not_have_shows() {
        let after = Units { on_hand: 100, held: 10, allocated: 80, available: 10, fulfilled: 0 };
        assert_eq!(lost(&[BEFORE], &[after], 90), 0);
        assert_eq!(lost(&[BEFORE], &[after], 91), 1);
    }

    #[test]
    fn books_that_do_not_balance_show() {
        let after = Units { on_hand: 100, held: 0, allocated: 102, available: 0, fulfilled: 0 };
        assert_eq!(oversold(&[BEFORE], &[after], 100), 2);
    }
}
