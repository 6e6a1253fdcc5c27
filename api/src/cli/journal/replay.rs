//! `journal replay`: every record applied in memory, as recovery without snapshots would. What comes out is checked:
//! `on_hand = available + held + allocated` for every SKU, and no entity misses a version.

use std::{collections::BTreeMap, ops::ControlFlow, process::ExitCode};

use anyhow::Context as _;
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_core::{EntityId, EntityKind, stock::StockItem};
use holdfast_persistence::{EntityState, Record};
use serde_json::json;

use super::{JournalArguments, console};

/// Everything the journal led to.
#[derive(Default)]
struct Outcome {
    records: u64,
    entities: BTreeMap<EntityId, EntityState>,
}

/// Runs the command.
pub(super) fn run(journal: &JournalArguments) -> anyhow::Result<ExitCode> {
    let watch = Stopwatch::start();
    let mut outcome = Outcome::default();
    let mut taken = Ok(());
    let mut visit = |info: holdfast_persistence::journal::RecordInfo| {
        if outcome.records == 0 && info.lsn > 1 {
            taken = Err(anyhow::anyhow!(
                "the journal begins at record {}: what came before was purged and is in the snapshots only",
                info.lsn
            ));
            return ControlFlow::Break(());
        }
        let place = || format!("record {} at {}:{}", info.lsn, info.path.display(), info.frame_offset);
        taken = match info.record {
            Ok(ref record) => outcome.take_in(record).with_context(place),
            Err(ref error) => Err(anyhow::anyhow!("{error}")).with_context(place),
        };
        if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    journal.open()?.records(&mut visit).context("cannot read the records")?;
    taken.context("the journal cannot be replayed")?;
    outcome.show(journal.json, watch.elapsed().as_secs_f64())
}

impl Outcome {
    fn take_in(&mut self, record: &Record) -> anyhow::Result<()> {
        let vacant = || EntityState::before_anything(&record.entity);
        self.entities.entry(record.entity.clone()).or_insert_with(vacant).advance(record)?;
        self.records = self.records.saturating_add(1);
        Ok(())
    }

    fn count(&self, kind: EntityKind) -> usize {
        self.entities.keys().filter(|entity| entity.kind() == kind).count()
    }

    fn stock(&self) -> impl Iterator<Item = &StockItem> {
        self.entities
            .values()
            .filter_map(|state| if let EntityState::Stock(stock) = state { Some(stock) } else { None })
    }

    fn show(&self, as_json: bool, seconds: f64) -> anyhow::Result<ExitCode> {
        let broken = self.stock().filter(|stock| !balances(stock)).count();
        let [products, carts, orders] =
            [EntityKind::Product, EntityKind::Cart, EntityKind::Order].map(|kind| self.count(kind));
        if as_json {
            let levels = self.stock().map(|stock| {
                let level = stock.level();
                json!({ "sku": stock.sku(), "on_hand": level.on_hand, "held": level.held, "allocated": level.allocated,
                    "available": level.available(), "fulfilled": level.fulfilled })
            });
            console::say_json(&json!({
                "records": self.records, "products": products, "carts": carts, "orders": orders, "seconds": seconds,
                "unbalanced": broken, "stock": levels.collect::<Vec<_>>(),
            }))?;
        } else {
            console::say(format!(
                "{} records in {seconds:.3} s: {products} products, {carts} carts, {orders} orders",
                self.records
            ))?;
            for stock in self.stock() {
                let (level, mark) = (stock.level(), if balances(stock) { "" } else { "  DOES NOT ADD UP" });
                console::say(format!(
                    "{}: {} on hand = {} available + {} held + {} allocated; {} fulfilled{mark}",
                    stock.sku(),
                    level.on_hand,
                    level.available(),
                    level.held,
                    level.allocated,
                    level.fulfilled
                ))?;
            }
        }
        Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn balances(stock: &StockItem) -> bool {
    let level = stock.level();
    level.held.checked_add(level.allocated).is_some_and(|committed| committed <= level.on_hand)
}
