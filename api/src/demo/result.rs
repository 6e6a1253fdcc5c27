//! What the demo shows at its end.

use std::time::Duration;

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;

/// The figures for scripts: exactly these, and none is ever renamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Units that were on sale.
    pub units: u64,
    /// Buyers who came.
    pub buyers: u64,
    /// Orders acknowledged.
    pub sold: u64,
    /// Clean refusals: sold out.
    pub refused: u64,
    /// Units sold beyond the stock, by the server's own books after the last recovery.
    pub oversold: u64,
    /// Median latency of answers, in milliseconds. Buyers whose request was cut off by the crash are not in it.
    pub p50_ms: f64,
    /// 95th percentile, in milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, in milliseconds.
    pub p99_ms: f64,
    /// Journal batches made durable.
    pub batches: u64,
    /// Syncs that made them so.
    pub fsyncs: u64,
    /// Acknowledged orders found again after the last kill and recovery.
    pub recovered_orders: u64,
    /// Acknowledged orders not found again.
    pub lost_orders: u64,
}

/// The figures and what only people want to know.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoResult {
    /// For scripts.
    pub figures: Figures,
    /// Buyers who got neither an order nor a clean refusal.
    pub errors: u64,
    /// The first of those, in words.
    pub first_error: Option<String>,
    /// Orders acknowledged before the kill in the middle of the sale.
    pub acknowledged_before_kill: u64,
    /// From that kill to the server taking orders again.
    pub outage: Duration,
    /// From the opening to the last buyer's answer, the outage included.
    pub duration: Duration,
}

impl DemoResult {
    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        let Figures { units, buyers, sold, oversold, lost_orders, .. } = self.figures;
        oversold == 0 && lost_orders == 0 && self.errors == 0 && sold == units.min(buyers)
    }

    /// The result as a table.
    pub fn table(&self) -> Table {
        let figures = &self.figures;
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("units on sale", figures.units.to_string());
        row("buyers", figures.buyers.to_string());
        row("sold", figures.sold.to_string());
        row("refused (sold out)", figures.refused.to_string());
        row("errors", self.errors.to_string());
        row("p50 / p95 / p99 ms", format!("{:.2} / {:.2} / {:.2}", figures.p50_ms, figures.p95_ms, figures.p99_ms));
        row("journal batches / fsyncs", format!("{} / {}", figures.batches, figures.fsyncs));
        row("sale, with the outage", format!("{:.2} s", self.duration.as_secs_f64()));
        row("kill -9 to taking orders", format!("{:.0} ms", self.outage.as_secs_f64() * 1_000.0));
        row("acknowledged before that kill", self.acknowledged_before_kill.to_string());
        row("orders found again", figures.recovered_orders.to_string());
        row("orders lost", figures.lost_orders.to_string());
        row("oversold", figures.oversold.to_string());
        if let Some(error) = &self.first_error {
            row("first error", error.clone());
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: Figures = Figures {
        units: 10,
        buyers: 20,
        sold: 10,
        refused: 10,
        oversold: 0,
        p50_ms: 1.0,
        p95_ms: 2.0,
        p99_ms: 3.0,
        batches: 4,
        fsyncs: 4,
        recovered_orders: 10,
        lost_orders: 0,
    };

    #[test]
    fn scripts_find_exactly_the_promised_keys() {
        let json = serde_json::to_value(FIGURES).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let promised = [
            "batches",
            "buyers",
            "fsyncs",
            "lost_orders",
            "oversold",
            "p50_ms",
            "p95_ms",
            "p99_ms",
            "recovered_orders",
            "refused",
            "sold",
            "units",
        ];
        assert_eq!(keys, promised);
    }

    #[test]
    fn a_lost_order_or_an_unsold_unit_is_not_clean() {
        let clean = DemoResult {
            figures: FIGURES,
            errors: 0,
            first_error: None,
            acknowledged_before_kill: 8,
            outage: Duration::ZERO,
            duration: Duration::ZERO,
        };
        assert!(clean.is_clean());
        assert!(!DemoResult { figures: Figures { lost_orders: 1, ..FIGURES }, ..clean.clone() }.is_clean());
        assert!(!DemoResult { figures: Figures { sold: 9, ..FIGURES }, ..clean }.is_clean());
    }
}
