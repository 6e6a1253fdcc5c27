//! What a run of the generator says at its end: a table for people, one JSON object for scripts.

use std::time::Duration;

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;

use super::tally::{Percentiles, Tally};

/// The result of one run. Times in milliseconds, counted from the moment the request was due.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Requests with an outcome: sold, refused, shed and errors together.
    pub orders: u64,
    /// Orders acknowledged (of an echo: bodies that came back).
    pub sold: u64,
    /// Clean refusals: sold out.
    pub refused: u64,
    /// Refused early for overload, with Retry-After.
    pub shed: u64,
    /// Everything else, unanswered requests included.
    pub errors: u64,
    /// Units sold beyond the stock, read back from the server; always 0 for an echo.
    pub oversold: u64,
    /// Orders acknowledged that the server's own books do not have, of products that nobody else buys; always 0 for an echo. An order
    /// whose payment is declined counts too: `tok_approve` is not, at the sandbox.
    pub lost: u64,
    /// Requests per second, whatever became of them.
    pub rps: f64,
    /// Latency of answered requests.
    #[serde(flatten)]
    pub latency: Percentiles,
    /// Connections used.
    pub connections: usize,
    /// How long the run took, in seconds.
    pub duration_s: f64,
    /// The rate asked for, in requests per second; none in a closed loop.
    pub rate: Option<f64>,
    /// Whether the echo was driven and not the shop.
    pub echo: bool,
    /// The first error, in words.
    pub first_error: Option<String>,
}

impl Report {
    /// The report of a run that took `elapsed`.
    pub fn new(tally: &Tally, elapsed: Duration, connections: usize, rate: Option<f64>) -> Self {
        let orders = tally.settled();
        Self {
            orders,
            sold: tally.sold,
            refused: tally.refused,
            shed: tally.shed,
            errors: tally.failed,
            oversold: 0,
            lost: 0,
            rps: per_second(orders, elapsed),
            latency: tally.percentiles(),
            connections,
            duration_s: elapsed.as_secs_f64(),
            rate,
            echo: false,
            first_error: tally.first_failure.clone(),
        }
    }

    /// Whether nothing was oversold or lost, and nothing but sales and clean refusals was answered.
    pub fn is_clean(&self) -> bool {
        self.errors == 0 && self.shed == 0 && self.oversold == 0 && self.lost == 0
    }

    /// Whether it is clean and everybody was sold something: only then are its requests per second orders per second.
    pub fn is_all_sold(&self) -> bool {
        self.is_clean() && self.refused == 0
    }

    /// Whether it is clean and everybody was refused.
    pub fn is_all_refused(&self) -> bool {
        self.is_clean() && self.sold == 0
    }

    /// The report as a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("orders", self.orders.to_string());
        row("sold", self.sold.to_string());
        row("refused", self.refused.to_string());
        row("shed (503)", self.shed.to_string());
        row("errors", self.errors.to_string());
        row("oversold", self.oversold.to_string());
        row("lost", self.lost.to_string());
        row("requests/s", format!("{:.0}", self.rps));
        row("p50 / p95 / p99 / max ms", self.latency.to_string());
        if let Some(error) = &self.first_error {
            row("first error", error.clone());
        }
        table
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50_ms, p95_ms, p99_ms, max_ms, .. } = self;
        write!(f, "{p50_ms:.2} / {p95_ms:.2} / {p99_ms:.2} / {max_ms:.2}")
    }
}

/// The middle value, the upper one of two; 0 of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 requests")]
fn per_second(requests: u64, elapsed: Duration) -> f64 {
    requests as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tally::{Ledger, Verdict};

    #[test]
    fn scripts_find_the_promised_fields() {
        let ledger = Ledger::default();
        ledger.answered(Verdict::Sold, 1_500);
        let report = Report::new(&ledger.tally(), Duration::from_secs(2), 64, None);
        let json = serde_json::to_value(report).unwrap();
        let fields =
            ["orders", "sold", "refused", "errors", "oversold", "lost", "rps", "p50_ms", "p95_ms", "p99_ms", "max_ms"];
        for field in fields {
            assert!(json[field].is_number(), "{field}: {json}");
        }
        assert!((json["rps"].as_f64().unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn one_bad_round_does_not_move_the_median() {
        assert!((median([0.6, 0.1, 0.7]) - 0.6).abs() < f64::EPSILON);
        assert!(median([]).abs() < f64::EPSILON);
    }

    #[test]
    fn overload_is_neither_a_sale_nor_a_clean_refusal() {
        let of = |verdicts: &[Verdict]| {
            let ledger = Ledger::default();
            for verdict in verdicts {
                ledger.answered(*verdict, 1);
            }
            let report = Report::new(&ledger.tally(), Duration::from_secs(1), 1, None);
            (report.is_clean(), report.is_all_sold(), report.is_all_refused())
        };
        assert_eq!(of(&[Verdict::Sold]), (true, true, false));
        assert_eq!(of(&[Verdict::Refused]), (true, false, true));
        assert_eq!(of(&[Verdict::Sold, Verdict::Refused]), (true, false, false));
        assert_eq!(of(&[Verdict::Sold, Verdict::Shed]), (false, false, false));
        assert_eq!(of(&[Verdict::Sold, Verdict::Failed]), (false, false, false));
    }
}
