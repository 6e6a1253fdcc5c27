//! The ratio table: how each contender did, and how ours did beside it.
//!
//! A ratio of speed is taken within its round, where both had the same machine, and the median over the rounds is told. Processor time is
//! that of all rounds over the orders of all rounds: what is put off until enough has come together is done in one of them.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use holdfast_api::load::{flash_sale::Load, report::median};
use serde::Serialize;
use serde_json::json;

use crate::{contender::Kind, contest::Turn, goods::Goods, machine::Machine, promises::Broken};

/// What one contender did with one kind of goods.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) kind: Kind,
    pub(crate) goods: Goods,
    pub(crate) broken: Broken,
    pub(crate) turns: Vec<Turn>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Standings {
    all: Vec<Standing>,
    load: Load,
    machine: Machine,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    goods: &'static str,
    durability: &'static str,
    /// Requests per second: orders, where `unsold` is 0.
    rps: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Processor time of its processes per order, in microseconds.
    cpu_us_per_order: f64,
    /// What of it the servers behind its HTTP servers used: a database, or NATS and the gateway.
    behind_us_per_order: f64,
    /// Our requests per second over its, on the same goods.
    ratio: f64,
    /// Our processor time per order over its.
    cpu_ratio: f64,
    /// Of each round: requests per second.
    round_rps: Vec<f64>,
    /// Of each round: our requests per second over its.
    round_ratios: Vec<f64>,
    /// Requests of the measurements that were not answered with an order: refused, refused for overload, or failed.
    unsold: u64,
    /// Units sold that were not there, over the checks and all rounds.
    oversold: u64,
    /// Units above a customer's limit, or withheld below it.
    limit_broken: u64,
    /// Keys that made more than one order.
    keys_broken: u64,
    /// Answers that were neither an order nor a clean refusal.
    errors: u64,
    /// The first of them.
    first_error: Option<String>,
}

impl Standing {
    /// A contender that kept its promises so far, but for `broken`.
    pub(crate) fn new(kind: Kind, goods: Goods, broken: Broken) -> Self {
        Self { kind, goods, broken, turns: Vec::new() }
    }

    fn median(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(of))
    }

    /// Processor time an order, over all rounds.
    fn per_order(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a run has fewer orders than 2^52")]
        let orders = |turn: &Turn| turn.report.sold as f64;
        let used: f64 = self.turns.iter().map(|turn| of(turn) * orders(turn)).sum();
        used / self.turns.iter().map(orders).sum::<f64>().max(1.0)
    }

    fn sum(&self, of: impl Fn(&Turn) -> u64) -> u64 {
        self.turns.iter().map(of).sum()
    }
}

impl Standings {
    pub(crate) fn new(all: Vec<Standing>, load: Load, machine: Machine) -> Self {
        Self { all, load, machine }
    }

    /// Whether every promise was kept, and every request of every measurement was answered with an order.
    pub(crate) fn is_clean(&self) -> bool {
        // There are units for everybody: whoever is not sold one was not measured selling.
        let is_clean = |standing: &Standing| {
            standing.broken.is_none() && standing.turns.iter().all(|turn| turn.report.is_all_sold())
        };
        self.all.iter().all(is_clean)
    }

    /// Ours on the same goods; the echo is compared with the hot SKU.
    fn ours(&self, goods: Goods) -> Option<&Standing> {
        self.all.iter().find(|standing| standing.kind == Kind::Holdfast && standing.goods == goods)
    }

    fn line(&self, standing: &Standing) -> Line {
        let ours = self.ours(standing.goods);
        let rounds = ours.map_or(&[][..], |ours| &ours.turns).iter().zip(&standing.turns);
        let speeds: Vec<f64> =
            rounds.map(|(ours, theirs)| ours.report.rps / theirs.report.rps.max(f64::EPSILON)).collect();
        let cpu_us_per_order = standing.per_order(|turn| turn.cpu_us_per_order);
        let our_cpu = ours.map_or(0.0, |ours| ours.per_order(|turn| turn.cpu_us_per_order));
        let first_error = standing.turns.iter().find_map(|turn| turn.report.first_error.clone());
        Line {
            name: standing.kind.name(),
            goods: standing.goods.name(),
            durability: if self.machine.data_in_memory { "in memory: nothing" } else { standing.kind.durability() },
            rps: standing.median(|turn| turn.report.rps),
            p50_ms: standing.median(|turn| turn.report.latency.p50_ms),
            p99_ms: standing.median(|turn| turn.report.latency.p99_ms),
            cpu_us_per_order,
            behind_us_per_order: standing.per_order(|turn| turn.behind_us_per_order),
            ratio: median(speeds.iter().copied()),
            cpu_ratio: our_cpu / cpu_us_per_order.max(f64::EPSILON),
            round_rps: standing.turns.iter().map(|turn| turn.report.rps).collect(),
            round_ratios: speeds,
            unsold: standing.sum(|turn| turn.report.orders.saturating_sub(turn.report.sold)),
            oversold: standing.sum(|turn| turn.report.oversold) + standing.broken.oversold,
            limit_broken: standing.broken.limit,
            keys_broken: standing.broken.keys,
            errors: standing.sum(|turn| turn.report.errors) + standing.broken.errors,
            first_error,
        }
    }

    /// Prints the table, or one JSON object.
    #[expect(clippy::print_stdout, reason = "the standings are what this program is for")]
    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        let lines: Vec<Line> = self.all.iter().map(|standing| self.line(standing)).collect();
        if as_json {
            let rounds = self.all.iter().map(|standing| standing.turns.len()).max().unwrap_or(0);
            let result = json!({
                "connections": self.load.connections, "seconds": self.load.duration.as_secs(), "rounds": rounds,
                "clean": self.is_clean(), "machine": self.machine, "peers": lines,
            });
            println!("{}", serde_json::to_string_pretty(&result)?);
        } else {
            println!("{}", table(&lines));
        }
        Ok(())
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header([
        "contender",
        "goods",
        "durability",
        "requests/s",
        "p50 / p99 ms",
        "CPU us/order (behind)",
        "ours: speed",
        "ours: CPU",
        "oversold",
        "limit, keys",
        "unsold, errors",
    ]);
    for line in lines {
        table.add_row([
            line.name.to_owned(),
            line.goods.to_owned(),
            line.durability.to_owned(),
            format!("{:.0}", line.rps),
            format!("{:.2} / {:.2}", line.p50_ms, line.p99_ms),
            format!("{:.1} ({:.1})", line.cpu_us_per_order, line.behind_us_per_order),
            format!("{:.2}x", line.ratio),
            format!("{:.2}x", line.cpu_ratio),
            line.oversold.to_string(),
            format!("{}, {}", line.limit_broken, line.keys_broken),
            format!("{}, {}", line.unsold, line.errors),
        ]);
        if let Some(error) = &line.first_error {
            table.add_row([format!("  first error: {error}")]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use holdfast_api::load::{report::Report, tally::Ledger};

    use super::*;
    use crate::goods::closed;

    fn machine() -> Machine {
        Machine::of(&std::env::temp_dir()).unwrap()
    }

    fn standing(kind: Kind, rates: &[f64]) -> Standing {
        let turn = |rps: &f64| {
            let empty = Report::new(&Ledger::default().tally(), Duration::from_secs(1), 1, None);
            Turn { report: Report { rps: *rps, ..empty }, cpu_us_per_order: 1.0, behind_us_per_order: 0.0 }
        };
        Standing { turns: rates.iter().map(turn).collect(), ..Standing::new(kind, Goods::One, Broken::default()) }
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The machine is half as fast in the second round, and a hiccup hits the third.
        let (ours, theirs) =
            (standing(Kind::Holdfast, &[40.0, 20.0, 5.0]), standing(Kind::RedisAlways, &[20.0, 10.0, 10.0]));
        let standings = Standings::new(vec![ours, theirs], closed(1, Duration::from_secs(1)), machine());
        assert!((standings.line(&standings.all[1]).ratio - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_one_round_has_put_off_is_part_of_all_rounds() {
        let mut ours = standing(Kind::Holdfast, &[1.0, 1.0]);
        for (turn, (orders, cpu_us_per_order)) in ours.turns.iter_mut().zip([(300, 10.0), (100, 30.0)]) {
            (turn.report.sold, turn.cpu_us_per_order) = (orders, cpu_us_per_order);
        }
        let standings = Standings::new(vec![ours], closed(1, Duration::from_secs(1)), machine());
        assert!((standings.line(&standings.all[0]).cpu_us_per_order - 15.0).abs() < 1e-9);
    }

    #[test]
    fn whoever_refuses_quickly_is_not_clean() {
        for unsold in [|report: &mut Report| report.shed = 1, |report: &mut Report| report.refused = 1] {
            let mut theirs = standing(Kind::RedisAlways, &[1.0, 1.0]);
            assert!(Standings::new(vec![theirs.clone()], closed(1, Duration::from_secs(1)), machine()).is_clean());
            unsold(&mut theirs.turns[1].report);
            assert!(!Standings::new(vec![theirs], closed(1, Duration::from_secs(1)), machine()).is_clean());
        }
    }

    #[test]
    fn scripts_find_the_promised_fields() {
        let standings =
            Standings::new(vec![standing(Kind::Holdfast, &[1.0])], closed(1, Duration::from_secs(1)), machine());
        let line = serde_json::to_value(standings.line(&standings.all[0])).unwrap();
        for field in
            ["rps", "p50_ms", "p99_ms", "cpu_us_per_order", "ratio", "cpu_ratio", "oversold", "unsold", "errors"]
        {
            assert!(line[field].is_number(), "{field}: {line}");
        }
        assert!(line["name"].is_string() && line["goods"].is_string() && line["durability"].is_string(), "{line}");
        assert!(line["round_rps"].is_array() && line["round_ratios"].is_array(), "{line}");
    }

    #[test]
    fn one_unit_too_many_is_not_clean() {
        let mut ours = standing(Kind::Holdfast, &[1.0]);
        ours.broken.oversold = 1;
        assert!(!Standings::new(vec![ours], closed(1, Duration::from_secs(1)), machine()).is_clean());
    }
}
