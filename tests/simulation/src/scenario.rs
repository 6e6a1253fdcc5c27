//! What a seed stands for: how large the shop is, who comes, and what goes wrong how often.
//!
//! Invariant: everything is drawn from the seed's dice, before the run or in it. The moods differ a lot from seed to seed:
//! a fault that always happens hides what only happens without it.

use holdfast_actors::{RuntimeSettings, settings::CaptureSetting};
use holdfast_core::{CustomerId, Quantity, ShardCount, SkuId, stock::SalePolicy};
use holdfast_persistence::journal::{JournalOptions, VerifyOnOpen};

use crate::{bus::BusFaults, buyer::Plan, dice::Dice, gateway::GatewayFaults, merchant::Article};

/// How much a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Buyers of a run.
    pub buyers: u64,
    /// The most steps of the scheduler before a run is said not to come to rest.
    pub max_steps: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { buyers: 300, max_steps: 600_000 }
    }
}

/// How likely faults are, out of a million steps unless the name says otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) kill: u64,
    pub(crate) power_cut: u64,
    /// The process dies in one of the next operations on the disk.
    pub(crate) die_in_disk: u64,
    pub(crate) die_in_snapshots: u64,
    pub(crate) write_error: u64,
    pub(crate) disk_full: u64,
    pub(crate) snapshot_error: u64,
    pub(crate) shard_death: u64,
    /// Of probes.
    pub(crate) panic: u64,
    /// Out of a thousand syncs so many are slow.
    pub(crate) slow_sync_permille: u64,
    /// Out of a thousand starts.
    pub(crate) die_in_recovery_permille: u64,
    pub(crate) lose_snapshots_permille: u64,
    pub(crate) old_snapshots_permille: u64,
    /// Out of a thousand crashes so many are followed by a look at damaged copies of the disk.
    pub(crate) damage_permille: u64,
}

/// A seed, spelled out.
pub(crate) struct Scenario {
    pub(crate) shards: ShardCount,
    pub(crate) settings: RuntimeSettings,
    pub(crate) journal: JournalOptions,
    pub(crate) articles: Vec<Article>,
    pub(crate) restocks: u64,
    pub(crate) plans: Vec<Plan>,
    pub(crate) faults: Faults,
    pub(crate) bus: BusFaults,
    pub(crate) gateway: GatewayFaults,
}

impl Scenario {
    pub(crate) fn draw(dice: &Dice, options: &Options) -> Self {
        let shards = ShardCount::new(u16::try_from(dice.between(2, 6)).unwrap_or(2));
        let articles = articles(dice);
        let hours = dice.between(1, 4);
        let plans = (0..options.buyers).map(|number| plan(dice, number, &articles, hours)).collect();
        Self {
            shards: shards.unwrap_or_else(|_| unreachable!("2 to 6 are numbers of shards")),
            settings: settings(dice),
            journal: journal(dice),
            articles,
            restocks: dice.between(0, 4),
            plans,
            faults: faults(dice),
            bus: bus(dice),
            gateway: gateway(dice),
        }
    }
}

fn one_of<T: Copy>(dice: &Dice, choices: &[T], otherwise: T) -> T {
    choices.get(dice.index(choices.len())).copied().unwrap_or(otherwise)
}

fn settings(dice: &Dice) -> RuntimeSettings {
    let capture = if dice.coin() { CaptureSetting::OnShipment } else { CaptureSetting::OnConfirmation };
    let settings = RuntimeSettings {
        hold_ttl_ms: one_of(dice, &[60_000, 600_000, 600_000], 600_000),
        capture,
        turn_messages: one_of(dice, &[4, 64, 1_024], 64),
        turn_bytes: 8 << 10,
        passivate_after_ms: one_of(dice, &[2_000, 60_000, 300_000], 300_000),
        max_live_entities: one_of(dice, &[20, 200, 5_000_000], 200),
        checkpoint_records: one_of(dice, &[50, 400, 2_000], 400),
        checkpoint_interval_ms: one_of(dice, &[30_000, 600_000], 600_000),
        checkpoint_slice: one_of(dice, &[3, 256], 256),
        snapshot_batch: one_of(dice, &[1, 10, 4_096], 4_096),
        checkpoint_changed_percent: 0,
        checkpoint_rush_records: one_of(dice, &[10, 20_000], 20_000),
        ..RuntimeSettings::default()
    };
    let worth_it =
        RuntimeSettings { checkpoint_changed_percent: 25, checkpoint_records_at_most: 500, ..settings.clone() };
    if dice.coin() { settings } else { worth_it }
}

fn journal(dice: &Dice) -> JournalOptions {
    JournalOptions {
        segment_bytes: 64 << 10,
        gather_us: 0,
        reserve_bytes: 16 << 10,
        frame_limit_bytes: one_of(dice, &[4 << 10, 16 << 10], 16 << 10),
        record_limit_bytes: 8 << 10,
        space_retry_ms: 1_000,
        verify_on_open: if dice.permille(800) { VerifyOnOpen::Whole } else { VerifyOnOpen::Tail },
        replay_threads: 1,
        // The book compares the whole history: nothing may go.
        retain_bytes: 0,
    }
}

fn articles(dice: &Dice) -> Vec<Article> {
    let count = dice.between(3, 10);
    let limit = |units| Quantity::new(units).ok();
    (0..count)
        .filter_map(|number| {
            let mut policy = SalePolicy::default();
            if dice.permille(250) {
                policy.per_customer_limit = limit(dice.millis(1, 4));
            }
            if dice.permille(250) {
                policy.per_order_limit = limit(dice.millis(1, 3));
            }
            let sku = SkuId::parse(&format!("SKU-{number}-{}", dice.below(1_000))).ok()?;
            let units = if dice.coin() { dice.between(1, 30) } else { dice.between(30, 400) };
            Some(Article { sku, price_minor: dice.millis(1, 20_000), units, policy })
        })
        .collect()
}

fn plan(dice: &Dice, number: u64, articles: &[Article], hours: u64) -> Plan {
    let mut lines: Vec<(SkuId, Quantity)> = Vec::new();
    let wanted = if dice.permille(600) { 1 } else { dice.between(2, 4) };
    for _ in 0..wanted {
        // The first articles are the hot ones.
        let choice = dice.index(articles.len()).min(dice.index(articles.len()));
        let Some(article) = articles.get(choice) else { continue };
        let Ok(units) = Quantity::new(dice.millis(1, 3)) else { continue };
        if lines.iter().all(|(sku, _)| *sku != article.sku) {
            lines.push((article.sku.clone(), units));
        }
    }
    let customer = CustomerId::parse(&format!("customer-{}", dice.below(40))).ok().filter(|_| dice.permille(800));
    // Most come in a rush at the beginning.
    let arrives_ms = if dice.permille(600) { dice.millis(1_000, 120_000) } else { dice.millis(0, hours * 3_600_000) };
    Plan {
        number,
        arrives_ms,
        lines,
        customer,
        declined: dice.permille(80),
        patience_ms: if dice.permille(150) { dice.millis(1, 200) } else { dice.millis(1_000, 30_000) },
        attempts: u32::try_from(dice.between(1, 12)).unwrap_or(12),
        cancels: dice.permille(150),
        returns: dice.permille(300),
        misuses: dice.permille(60),
        has_cart: dice.permille(250),
    }
}

/// Zero or one of these, as often as not.
fn maybe(dice: &Dice, choices: &[u64]) -> u64 {
    if dice.coin() { one_of(dice, choices, 0) } else { 0 }
}

fn faults(dice: &Dice) -> Faults {
    Faults {
        kill: maybe(dice, &[100, 300]),
        power_cut: one_of(dice, &[0, 150, 400], 150),
        die_in_disk: one_of(dice, &[0, 100, 300], 100),
        die_in_snapshots: maybe(dice, &[60, 150]),
        write_error: maybe(dice, &[40, 120]),
        disk_full: maybe(dice, &[40, 100]),
        snapshot_error: maybe(dice, &[50, 400]),
        shard_death: maybe(dice, &[60, 200]),
        panic: maybe(dice, &[200, 1_000]),
        slow_sync_permille: maybe(dice, &[20, 300]),
        die_in_recovery_permille: maybe(dice, &[150, 400]),
        lose_snapshots_permille: maybe(dice, &[100, 300]),
        old_snapshots_permille: maybe(dice, &[200, 400]),
        damage_permille: maybe(dice, &[200, 500]),
    }
}

fn bus(dice: &Dice) -> BusFaults {
    BusFaults {
        drop_permille: maybe(dice, &[10, 100]),
        duplicate_permille: maybe(dice, &[20, 200]),
        delay_ms: one_of(dice, &[0, 20, 300], 20),
        straggle_permille: maybe(dice, &[10, 50]),
    }
}

fn gateway(dice: &Dice) -> GatewayFaults {
    GatewayFaults {
        lost_before: maybe(dice, &[20, 150]),
        lost_after: maybe(dice, &[20, 150]),
        unavailable: maybe(dice, &[20, 150]),
        late: maybe(dice, &[30, 200]),
        webhook: maybe(dice, &[100, 400]),
        // Longer than a call may take to arrive: a gateway that forgot a call under way would be no gateway.
        forget_after_ms: one_of(dice, &[90_000; 3], 0),
    }
}
