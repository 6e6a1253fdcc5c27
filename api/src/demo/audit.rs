//! The proof: every receipt is presented again, and must find its order.

use std::{sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, HOST},
};

use super::buyer::Receipt;
use crate::load::{
    crowd::{self, Patience, Plan, Shopper},
    pace::Until,
    tally::{Ledger, Tally, Verdict},
    target::Target,
};

/// What became of the receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Orders that were found again.
    pub found: u64,
    /// Orders that were not, for whatever reason.
    pub lost: u64,
    /// The first that was not found, in words.
    pub first_loss: Option<String>,
}

/// Looks every receipt's order up again. Must be called in a tokio runtime.
pub async fn look_up(target: &Target, receipts: Vec<Receipt>, connections: usize) -> Audit {
    let count = receipts.len() as u64;
    let reader = Reader { host: Arc::from(target.authority()), receipts: Arc::from(receipts) };
    let ledger = Arc::new(Ledger::default());
    let plan = Plan {
        address: target.address(),
        connections,
        until: Until::Requests(count),
        rate: None,
        patience: Patience::None,
        grace: Duration::ZERO,
    };
    crowd::run(plan, |_| reader.clone(), Arc::clone(&ledger)).await;
    Audit::of(&ledger.tally(), count)
}

impl Audit {
    fn of(tally: &Tally, receipts: u64) -> Self {
        Self { found: tally.sold, lost: receipts.saturating_sub(tally.sold), first_loss: tally.first_failure.clone() }
    }
}

#[derive(Clone)]
struct Reader {
    host: Arc<str>,
    receipts: Arc<[Receipt]>,
}

impl Reader {
    fn receipt(&self, number: u64) -> Option<&Receipt> {
        self.receipts.get(usize::try_from(number).ok()?)
    }
}

impl Shopper for Reader {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        let (id, token) = self.receipt(number).map_or(("", ""), |receipt| (&receipt.id, &receipt.buyer_token));
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("/api/v1/orders/{id}"))
            .header(HOST, &*self.host)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::default());
        // An id or token that makes no request is asked for as the root, and counts as lost.
        request.unwrap_or_default()
    }

    fn judge(&mut self, number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        let id = self.receipt(number).map_or(&b"?"[..], |receipt| receipt.id.as_bytes());
        let names_it = body.windows(id.len()).any(|part| part == id);
        if status == StatusCode::OK && names_it { Verdict::Sold } else { Verdict::Failed }
    }
}
