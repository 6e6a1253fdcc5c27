//! The list of hot paths.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{checkout, edge, entities, records};

/// A hot path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Path {
    /// Stock decides a hold and takes it in, beside a thousand others.
    StockHold,
    /// An order of one line is decided and taken in.
    OrderPlace,
    /// The two records of an order, held and placed, to bytes.
    RecordsEncode,
    /// The same, back from bytes.
    RecordsDecode,
    /// The snapshot of an order, to bytes and back.
    SnapshotRoundTrip,
    /// One checkout in process, alone: from the request to the confirmed order, journal and payment included.
    CheckoutAlone,
    /// The same with 64 in one turn, one frame and one sync, as under load; the figure is per order.
    CheckoutCrowd,
    /// An order of five lines over as many shards.
    CheckoutFiveLines,
    /// A `POST /api/v1/orders` read to its end: routing, headers, body, tokens; no shop behind it.
    HttpRead,
    /// The answer to it.
    HttpAnswer,
}

/// The work of a path. Each call does `per_call` of what the figure is per.
pub(crate) struct Work {
    pub(crate) call: Box<dyn FnMut()>,
    pub(crate) per_call: u64,
    pub(crate) calls: u64,
}

impl Path {
    /// Its name on the command line and in the baseline.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Everything made that the path needs, so that only the path itself is counted.
    pub(crate) fn prepare(self) -> anyhow::Result<Work> {
        match self {
            Self::StockHold => entities::stock_hold(),
            Self::OrderPlace => entities::order_place(),
            Self::RecordsEncode => records::encode(),
            Self::RecordsDecode => records::decode(),
            Self::SnapshotRoundTrip => records::snapshot_round_trip(),
            Self::CheckoutAlone => checkout::one_line(1, 200),
            Self::CheckoutCrowd => checkout::one_line(64, 20),
            Self::CheckoutFiveLines => checkout::five_lines(100),
            Self::HttpRead => edge::read(),
            Self::HttpAnswer => edge::answer(),
        }
    }
}

impl Work {
    /// `call` as the work, so many times, each being one of what is counted.
    pub(crate) fn new(calls: u64, call: impl FnMut() + 'static) -> Self {
        Self { call: Box::new(call), per_call: 1, calls }
    }
}
