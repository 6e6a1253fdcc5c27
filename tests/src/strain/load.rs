//! Orders, as fast as they are answered or at a rate of their own; what is no clean answer is kept in words.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_api::load::{
    crowd::{self, Patience, Plan, Shopper},
    order::{OrderTemplate, fresh_run, verdict},
    pace::Until,
    shop::Shop,
    tally::{Ledger, Percentiles, Verdict},
};
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};
use serde::Serialize;

/// The shape of a load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// For how long requests are due.
    pub duration: Duration,
    /// Requests a second in an open loop; none for a closed loop.
    pub rate: Option<f64>,
}

/// What came of a load.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Requests a second that were due; those answered in a closed loop.
    pub offered_per_s: f64,
    /// Orders acknowledged a second.
    pub goodput_per_s: f64,
    /// Orders acknowledged.
    pub sold: u64,
    /// Refused with 503, a problem and a time to come back.
    pub shed: u64,
    /// Due and not answered: no connection was free to send it before the end, or the end came before the answer.
    pub unsent: u64,
    /// From when the request was due to its answer.
    pub latency: Percentiles,
    /// Answers that are neither an order nor a clean refusal, with how often each came.
    pub unclean: BTreeMap<String, u64>,
}

type Unclean = Arc<Mutex<BTreeMap<String, u64>>>;

/// Keeps what is no clean answer.
struct Judge {
    orders: OrderTemplate,
    unclean: Unclean,
}

impl Shopper for Judge {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.orders.request(number)
    }

    fn judge(&mut self, _number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        const TIME_TO_COME_BACK: &[u8] = b"\"retry_after_ms\":";
        let verdict = verdict(status, body);
        let says_when = || body.windows(TIME_TO_COME_BACK.len()).any(|part| part == TIME_TO_COME_BACK);
        let is_clean = match verdict {
            Verdict::Sold | Verdict::Refused => true,
            Verdict::Shed => says_when(),
            Verdict::Failed => false,
        };
        if !is_clean {
            let words = format!("{status}: {}", String::from_utf8_lossy(body));
            *self.unclean.lock().unwrap_or_else(PoisonError::into_inner).entry(words).or_insert(0) += 1;
        }
        verdict
    }
}

/// Puts `load` on one SKU of `shop`.
///
/// # Errors
/// When the operating system has no randomness.
pub async fn put_on(shop: &Shop, sku: &str, load: Load) -> anyhow::Result<Outcome> {
    let (ledger, unclean) = (Arc::new(Ledger::default()), Unclean::default());
    let plan = Plan {
        address: shop.target().address(),
        connections: load.connections,
        until: Until::Elapsed(load.duration),
        rate: load.rate,
        patience: Patience::None,
        grace: Duration::from_millis(500),
    };
    let orders = OrderTemplate::new(shop.target(), sku, &fresh_run()?);
    let judge = |_| Judge { orders: orders.clone(), unclean: Arc::clone(&unclean) };
    let elapsed = crowd::run(plan, judge, Arc::clone(&ledger)).await;
    let (tally, seconds) = (ledger.tally(), elapsed.as_secs_f64());
    let unclean = std::mem::take(&mut *unclean.lock().unwrap_or_else(PoisonError::into_inner));
    let answered = tally.sold + tally.refused + tally.shed + unclean.values().sum::<u64>();
    Ok(Outcome {
        offered_per_s: load.rate.unwrap_or(per_second(answered, seconds)),
        goodput_per_s: per_second(tally.sold, seconds),
        sold: tally.sold,
        shed: tally.shed,
        unsent: tally.settled().saturating_sub(answered),
        latency: tally.percentiles(),
        unclean,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 requests")]
fn per_second(requests: u64, seconds: f64) -> f64 {
    requests as f64 / seconds.max(f64::EPSILON)
}
