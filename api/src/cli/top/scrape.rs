//! One node's metrics, read from the Prometheus text format: only what is shown.

use std::collections::BTreeMap;

/// The prefix of the histogram of answers.
const ANSWERS: &str = "holdfast_http_request_seconds";
/// The route that sells.
const PLACE: &str = "POST /orders";
/// Routes that are no work: probes and the admin listener's own.
const QUIET: [&str; 2] = ["health", "other"];

/// Counts and gauges of one node at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scrape {
    /// Answers, by class of status: 2xx, 4xx and so on.
    pub(super) answers: BTreeMap<String, f64>,
    /// How long all of them took.
    pub(super) all: Histogram,
    /// How long placing an order took.
    pub(super) placing: Histogram,
    /// Orders placed.
    pub(super) placed: f64,
    /// Requests the domain refused.
    pub(super) rejected: f64,
    /// Holds whose time came.
    pub(super) lapsed: f64,
    /// Batches made durable.
    pub(super) batches: f64,
    /// Open connections of buyers.
    pub(super) connections: f64,
    /// Units by where they are.
    pub(super) units: BTreeMap<String, f64>,
    /// Orders in every status.
    pub(super) orders: f64,
}

/// Counts below upper bounds, in seconds; cumulative.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Histogram {
    /// Upper bound in microseconds, so that it can be a key, and how many were at most that.
    below: BTreeMap<u64, f64>,
    count: f64,
}

impl Scrape {
    /// Reads a page of metrics. What is not known is passed over.
    pub(super) fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                scrape.enter(name, &labels, value);
            }
        }
        scrape
    }

    fn enter(&mut self, name: &str, labels: &BTreeMap<&str, &str>, value: f64) {
        let label = |name: &str| labels.get(name).copied().unwrap_or_default();
        match name {
            "holdfast_orders_placed_total" => self.placed = value,
            "holdfast_requests_rejected_total" => self.rejected = value,
            "holdfast_holds_lapsed_total" => self.lapsed = value,
            "holdfast_journal_batches_total" => self.batches = value,
            "holdfast_orders" => self.orders = value,
            "holdfast_http_connections" if label("listener") == "public" => self.connections = value,
            "holdfast_units" => {
                self.units.insert(label("state").to_owned(), value);
            }
            _ => self.enter_answer(name, label("route"), label("status"), label("le"), value),
        }
    }

    fn enter_answer(&mut self, name: &str, route: &str, status: &str, bound: &str, value: f64) {
        let Some(part) = name.strip_prefix(ANSWERS).filter(|_| !QUIET.contains(&route)) else { return };
        let placing = (route == PLACE).then_some(&mut self.placing);
        let histograms = [Some(&mut self.all), placing];
        match part {
            "_count" => {
                *self.answers.entry(status.to_owned()).or_default() += value;
                histograms.into_iter().flatten().for_each(|histogram| histogram.count += value);
            }
            "_bucket" => histograms.into_iter().flatten().for_each(|histogram| histogram.add(bound, value)),
            _ => {}
        }
    }
}

impl Histogram {
    fn add(&mut self, bound: &str, value: f64) {
        if let Some(bound) = bound.parse::<f64>().ok().filter(|bound| bound.is_finite()) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are 0.1 ms to 10 s")]
            let key = (bound * 1e6).round() as u64;
            *self.below.entry(key).or_default() += value;
        }
    }

    /// The same with what `other` counted.
    pub(super) fn with(mut self, other: &Self) -> Self {
        for (bound, count) in &other.below {
            *self.below.entry(*bound).or_default() += count;
        }
        self.count += other.count;
        self
    }

    /// What was counted since `earlier`. A node that restarted counts from zero: all it has is new.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        if self.count < earlier.count {
            return self.clone();
        }
        let before = |bound: &u64| earlier.below.get(bound).copied().unwrap_or_default();
        let below = self.below.iter().map(|(bound, count)| (*bound, count - before(bound))).collect();
        Self { below, count: self.count - earlier.count }
    }

    /// How many there are.
    pub(super) fn count(&self) -> f64 {
        self.count
    }

    /// The time within which `share` of them were answered, in milliseconds, between two bounds by proportion. `None` when
    /// there are none; infinite when it is beyond the last bound.
    pub(super) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let rank = self.count * share;
        let mut lower = (0_u64, 0.0);
        for (bound, count) in &self.below {
            if *count >= rank && *count > 0.0 {
                let (within, width) = (count - lower.1, micros(*bound) - micros(lower.0));
                let part = if within > 0.0 { (rank - lower.1) / within } else { 1.0 };
                return Some((micros(lower.0) + width * part) / 1e3);
            }
            lower = (*bound, *count);
        }
        (self.count > 0.0).then_some(f64::INFINITY)
    }
}

fn micros(bound: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "bounds are at most 10 s")]
    let micros = bound as f64;
    micros
}

/// A line's name, labels and value. Our own label values hold neither quotes nor commas.
fn sample(line: &str) -> Option<(&str, BTreeMap<&str, &str>, f64)> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = head.split_once('{').unwrap_or((head, ""));
    let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| {
        let (name, value) = label.split_once("=\"")?;
        Some((name, value.trim_end_matches('"')))
    });
    Some((name, labels.collect(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP holdfast_http_request_seconds From the end
# TYPE holdfast_http_request_seconds histogram
holdfast_http_request_seconds_bucket{route=\"POST /orders\",status=\"2xx\",le=\"0.001\"} 50
holdfast_http_request_seconds_bucket{route=\"POST /orders\",status=\"2xx\",le=\"0.01\"} 100
holdfast_http_request_seconds_bucket{route=\"POST /orders\",status=\"2xx\",le=\"+Inf\"} 100
holdfast_http_request_seconds_count{route=\"POST /orders\",status=\"2xx\"} 100
holdfast_http_request_seconds_bucket{route=\"POST /orders\",status=\"4xx\",le=\"0.001\"} 100
holdfast_http_request_seconds_bucket{route=\"POST /orders\",status=\"4xx\",le=\"0.01\"} 100
holdfast_http_request_seconds_count{route=\"POST /orders\",status=\"4xx\"} 100
holdfast_http_request_seconds_count{route=\"health\",status=\"2xx\"} 7
holdfast_http_connections{listener=\"public\"} 12
holdfast_http_connections{listener=\"admin\"} 2
holdfast_orders_placed_total 100
holdfast_units{state=\"held\"} 3
";

    #[test]
    fn what_is_shown_is_found_in_a_page_of_metrics() {
        let scrape = Scrape::read(PAGE);
        assert_eq!((scrape.placed, scrape.connections, scrape.units["held"]), (100.0, 12.0, 3.0));
        assert_eq!((scrape.answers["2xx"], scrape.answers["4xx"], scrape.all.count()), (100.0, 100.0, 200.0));
        assert_eq!(scrape.placing.quantile_ms(0.5), Some(100.0 / 150.0));
        let p99 = scrape.placing.quantile_ms(0.99).unwrap();
        assert!((p99 - 9.64).abs() < 1e-9, "{p99}");
    }

    #[test]
    fn percentiles_are_of_what_happened_since_the_look_before() {
        let before = Scrape::read(PAGE);
        let later = PAGE.replace("le=\"0.01\"} 100", "le=\"0.01\"} 110").replace("\"2xx\"} 100", "\"2xx\"} 120");
        let new = Scrape::read(&later).placing.since(&before.placing);
        assert!((new.count() - 20.0).abs() < 1e-9);
        assert!(new.quantile_ms(0.5).unwrap() > 1.0, "the fast ones were before");
        assert_eq!(before.placing.since(&before.placing).quantile_ms(0.5), None);
        let restarted = Histogram { below: BTreeMap::from([(1_000, 5.0)]), count: 5.0 };
        assert_eq!(restarted.since(&before.placing), restarted);
    }
}
