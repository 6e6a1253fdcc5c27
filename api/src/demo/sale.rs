//! The sale: the catalog goes up, the doors open at the announced second, the crowd comes, and the server is killed when
//! most units are gone. Buyers who were cut off come back with the same key until they are answered.

use std::{sync::Arc, time::Duration};

use hyper::{Method, StatusCode};
use jiff::Timestamp;

use super::{
    DemoError, DemoOptions, DemoResult, Narrator,
    audit::{self, Audit},
    buyer::{Buyer, Receipts},
    catalog::Catalog,
    meter::JournalWork,
    result::Figures,
    start,
};
use crate::load::{
    crowd::{self, Patience, Plan},
    flash_sale::oversold,
    order::{ORDERS, OrderTemplate, fresh_run},
    pace::Until,
    progress::Progress,
    server_process::{Launch, ServerProcess},
    shop::{Shop, Units},
    stopwatch::Stopwatch,
    tally::{Ledger, Tally},
};

/// When the server is killed, in percent of the units sold.
const KILL_AT_PERCENT: u64 = 80;

/// How long the sale may take before something is plainly wrong.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often the countdown is drawn anew.
const REDRAW: Duration = Duration::from_millis(50);

/// A sale that has been announced.
pub struct Sale {
    shop: Shop,
    sku: String,
    run: String,
    admin_token: String,
    units: Units,
    opens_at: Timestamp,
}

/// What the crowd left behind.
struct Aftermath {
    tally: Tally,
    duration: Duration,
}

/// What the kill in the middle cost.
struct Crash {
    server: ServerProcess,
    acknowledged: u64,
    outage: Duration,
    work: JournalWork,
}

impl Sale {
    /// Puts the catalog up and announces the sale.
    ///
    /// # Errors
    /// [`DemoError`] when a product is refused.
    pub async fn open(
        options: &DemoOptions,
        catalog: &Catalog,
        shop: Shop,
        narrator: &Narrator,
    ) -> Result<Self, DemoError> {
        let opens_at = Timestamp::now().saturating_add(options.countdown).unwrap_or(Timestamp::MAX);
        let products = catalog.for_sale(options.units, &opens_at.to_string());
        for product in &products {
            shop.put_up(product).await?;
        }
        let (sku, units) = (catalog.flash_sale.clone(), shop.units(&catalog.flash_sale).await?);
        narrator.say(format!("{} products are up; {} units of {sku} go on sale", products.len(), units.available));
        let admin_token = shop.admin_token().unwrap_or_default().to_owned();
        Ok(Self { shop, sku, run: fresh_run()?, admin_token, units, opens_at })
    }

    /// What is on sale.
    pub fn sku(&self) -> &str {
        &self.sku
    }

    /// Holds the sale, kills the server twice, and looks every order up.
    ///
    /// # Errors
    /// [`DemoError`] when the server does not come back or the sale does not end.
    pub async fn run(
        self,
        options: &DemoOptions,
        server: ServerProcess,
        launch: Launch,
        narrator: &Narrator,
    ) -> Result<(DemoResult, ServerProcess), DemoError> {
        self.try_too_early(narrator).await?;
        self.count_down(narrator).await;
        let receipts = Receipts::new(usize::try_from(kill_at(options)).unwrap_or(usize::MAX));
        let ledger = Arc::new(Ledger::default());
        let (aftermath, crash) = {
            let progress =
                (!narrator.quiet).then(|| Progress::show("sale", Until::Requests(options.buyers), Arc::clone(&ledger)));
            let crowd = self.crowd(options, &receipts, &ledger);
            let crash = self.crash(server, launch.clone(), &receipts, narrator);
            let both = async { tokio::try_join!(crowd, crash) };
            let ended = tokio::time::timeout(PATIENCE, both).await;
            drop(progress);
            ended.map_err(|_| DemoError::Endless(PATIENCE, format!("{:?}", ledger.counts())))??
        };
        narrator.say(format!("sold out in {:.2} s, the outage included", aftermath.duration.as_secs_f64()));
        let Crash { server, acknowledged, outage, work } = crash;
        let work = work.and(JournalWork::read(server.ready(), &self.admin_token).await?);
        narrator.say("kill -9 again, and every acknowledged order is looked up after the recovery");
        server.kill();
        let server = start(launch).await?;
        let audit = audit::look_up(self.shop.target(), receipts.all(), options.connections).await;
        let oversold = oversold(&[self.units], &[self.shop.units(&self.sku).await?], aftermath.tally.sold);
        let crash = Crash { server, acknowledged, outage, work };
        Ok(self.result(options, &aftermath, crash, &audit, oversold))
    }

    /// One order before the opening: it must be refused. It asks for two units where one is the limit, so that it buys
    /// nothing should the sale have opened meanwhile.
    async fn try_too_early(&self, narrator: &Narrator) -> Result<(), DemoError> {
        if Timestamp::now() >= self.opens_at {
            return Ok(());
        }
        let mut body = OrderTemplate::body(&self.sku);
        body["lines"][0]["quantity"] = 2.into();
        let key = format!("{}-early", self.run);
        let answer = self.shop.call(Method::POST, ORDERS, None, &[("idempotency-key", &key)], Some(&body)).await?;
        let answer = answer.expect("an order before the opening", &[StatusCode::CONFLICT])?;
        let title = answer.body.get("title").and_then(serde_json::Value::as_str).unwrap_or("refused").to_owned();
        narrator.say(format!("an order before the opening: {} {title}", answer.status.as_u16()));
        Ok(())
    }

    async fn count_down(&self, narrator: &Narrator) {
        let line = narrator.live();
        loop {
            let left = Timestamp::now().duration_until(self.opens_at);
            if left.is_negative() || left.is_zero() {
                break;
            }
            line.set_message(format!("the sale opens in {:.1} s", left.as_secs_f64()));
            line.tick();
            tokio::time::sleep(REDRAW).await;
        }
        line.finish_and_clear();
        narrator.say("the sale is open");
    }

    async fn crowd(
        &self,
        options: &DemoOptions,
        receipts: &Arc<Receipts>,
        ledger: &Arc<Ledger>,
    ) -> Result<Aftermath, DemoError> {
        let orders = OrderTemplate::new(self.shop.target(), &self.sku, &self.run);
        let plan = Plan {
            address: self.shop.target().address(),
            connections: options.connections,
            until: Until::Requests(options.buyers),
            rate: None,
            patience: Patience::Retries,
            grace: Duration::ZERO,
        };
        let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(receipts) };
        let duration = crowd::run(plan, buyer, Arc::clone(ledger)).await;
        Ok(Aftermath { tally: ledger.tally(), duration })
    }

    /// Waits until most units are sold, kills the server, and starts it again where it was.
    async fn crash(
        &self,
        server: ServerProcess,
        launch: Launch,
        receipts: &Arc<Receipts>,
        narrator: &Narrator,
    ) -> Result<Crash, DemoError> {
        receipts.bell().await;
        let work = JournalWork::read(server.ready(), &self.admin_token).await?;
        server.kill();
        let (acknowledged, watch) = (receipts.len() as u64, Stopwatch::start());
        let server = start(launch).await?;
        let outage = watch.elapsed();
        narrator.say(format!(
            "kill -9 with {acknowledged} orders acknowledged and more on their way; taking orders again after {:.0} ms",
            outage.as_secs_f64() * 1_000.0
        ));
        Ok(Crash { server, acknowledged, outage, work })
    }

    fn result(
        &self,
        options: &DemoOptions,
        aftermath: &Aftermath,
        crash: Crash,
        audit: &Audit,
        oversold: u64,
    ) -> (DemoResult, ServerProcess) {
        let (tally, latency) = (&aftermath.tally, aftermath.tally.percentiles());
        let figures = Figures {
            units: self.units.available,
            buyers: options.buyers,
            sold: tally.sold,
            refused: tally.refused,
            oversold,
            p50_ms: latency.p50_ms,
            p95_ms: latency.p95_ms,
            p99_ms: latency.p99_ms,
            batches: crash.work.batches,
            fsyncs: crash.work.fsyncs,
            recovered_orders: audit.found,
            lost_orders: audit.lost,
        };
        let result = DemoResult {
            figures,
            errors: tally.failed,
            first_error: tally.first_failure.clone().or_else(|| audit.first_loss.clone()),
            acknowledged_before_kill: crash.acknowledged,
            outage: crash.outage,
            duration: aftermath.duration,
        };
        (result, crash.server)
    }
}

/// At which receipt the server is killed: while units are left and buyers are coming.
fn kill_at(options: &DemoOptions) -> u64 {
    let sales = options.units.min(options.buyers);
    (sales.saturating_mul(KILL_AT_PERCENT) / 100).max(1)
}
