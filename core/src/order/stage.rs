//! How far an order has come, as states that cannot be wrong: money can be captured only where every line is allocated,
//! and what is known of the payment is part of the stage it is known in.
//!
//! Positional on disk, in snapshots: variants and fields keep their order.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{CancelReason, Order, Refund};

/// How far an order has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Units are held; the authorization is unanswered.
    Placed,
    /// Payment is authorized; holds become allocations.
    Authorized { reference: String, allocated: LineSet },
    /// Every line is allocated.
    Confirmed(Settlement),
    /// The goods left the house; stock is told line by line.
    Shipped { settlement: Settlement, fulfilled: LineSet },
    /// The goods arrived.
    Delivered { settlement: Settlement, fulfilled: LineSet },
    /// It ended before it shipped.
    Ended { end: End, remains: Remains, released: LineSet },
}

/// The payment of an order whose lines are all allocated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settlement {
    /// The gateway's name for the authorization.
    pub(super) reference: String,
    pub(super) capture: Capture,
}

/// What became of the authorized amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Capture {
    /// No answer yet, or not asked for.
    Open,
    /// The gateway will not move it.
    Failed { reason: String },
    /// It is the merchant's, less what was refunded.
    Done { refunds: Vec<Refund> },
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// On purpose, or because payment or stock failed.
    Canceled(CancelReason),
    /// No payment in time.
    Expired,
}

/// What is left of the payment of an order that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Remains {
    /// The authorization is unanswered: whatever it was is to be voided.
    Unanswered,
    /// There was no authorization.
    Declined { reason: String },
    /// An authorization is to be voided. `capturing`: a capture had been asked for and may still be answered.
    Authorized { reference: String, capturing: bool },
    /// The gateway confirmed the void; the reference is known if the authorization was ever answered.
    Voided { reference: Option<String>, capturing: bool },
    /// Captured before the end, or found captured after it: all of it is to be refunded. The reference is empty if the
    /// authorization was never answered; the order's id is then all the gateway can find it by.
    Captured { reference: String, refunds: Vec<Refund> },
}

/// Some lines of an order, one bit each: an order has at most [`Order::MAX_LINES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LineSet(u128);

const _: () = assert!(Order::MAX_LINES <= 128, "a line set has 128 places");

impl LineSet {
    pub(super) const NONE: Self = Self(0);

    /// The first `count` lines.
    pub(super) fn first(count: usize) -> Self {
        (0..count).filter_map(|line| u16::try_from(line).ok()).fold(Self::NONE, Self::with)
    }

    /// These lines and `line`.
    pub(super) fn with(self, line: u16) -> Self {
        Self(self.0 | 1_u128.checked_shl(u32::from(line)).unwrap_or(0))
    }

    pub(super) fn contains(self, line: u16) -> bool {
        self.0 & 1_u128.checked_shl(u32::from(line)).unwrap_or(0) != 0
    }
}

impl Settlement {
    pub(super) const fn of(reference: String) -> Self {
        Self { reference, capture: Capture::Open }
    }

    /// What is left of this payment when the order ends. `asked`: the capture had been asked for.
    pub(super) fn into_remains(self, asked: bool) -> Remains {
        let Self { reference, capture } = self;
        match capture {
            Capture::Open => Remains::Authorized { reference, capturing: asked },
            Capture::Failed { .. } => Remains::Authorized { reference, capturing: true },
            Capture::Done { refunds } => Remains::Captured { reference, refunds },
        }
    }
}

impl Stage {
    /// The refunds of a captured payment; `None` when nothing was captured.
    pub(super) fn refunds(&self) -> Option<&Vec<Refund>> {
        match self {
            Self::Confirmed(settlement) | Self::Shipped { settlement, .. } | Self::Delivered { settlement, .. } => {
                match &settlement.capture {
                    Capture::Done { refunds } => Some(refunds),
                    Capture::Open | Capture::Failed { .. } => None,
                }
            }
            Self::Ended { remains: Remains::Captured { refunds, .. }, .. } => Some(refunds),
            Self::Placed | Self::Authorized { .. } | Self::Ended { .. } => None,
        }
    }

    pub(super) fn refunds_mut(&mut self) -> Option<&mut Vec<Refund>> {
        match self {
            Self::Confirmed(settlement) | Self::Shipped { settlement, .. } | Self::Delivered { settlement, .. } => {
                match &mut settlement.capture {
                    Capture::Done { refunds } => Some(refunds),
                    Capture::Open | Capture::Failed { .. } => None,
                }
            }
            Self::Ended { remains: Remains::Captured { refunds, .. }, .. } => Some(refunds),
            Self::Placed | Self::Authorized { .. } | Self::Ended { .. } => None,
        }
    }

    /// The payment of an order that has been confirmed and has not ended.
    pub(super) fn settlement(&self) -> Option<&Settlement> {
        match self {
            Self::Confirmed(settlement) | Self::Shipped { settlement, .. } | Self::Delivered { settlement, .. } => {
                Some(settlement)
            }
            Self::Placed | Self::Authorized { .. } | Self::Ended { .. } => None,
        }
    }

    pub(super) fn settlement_mut(&mut self) -> Option<&mut Settlement> {
        match self {
            Self::Confirmed(settlement) | Self::Shipped { settlement, .. } | Self::Delivered { settlement, .. } => {
                Some(settlement)
            }
            Self::Placed | Self::Authorized { .. } | Self::Ended { .. } => None,
        }
    }

    /// The gateway's name for the authorization, once there was one.
    pub(super) fn reference(&self) -> Option<&String> {
        match self {
            Self::Authorized { reference, .. } => Some(reference),
            Self::Confirmed(settlement) | Self::Shipped { settlement, .. } | Self::Delivered { settlement, .. } => {
                Some(&settlement.reference)
            }
            Self::Ended { remains, .. } => match remains {
                Remains::Authorized { reference, .. } => Some(reference),
                Remains::Captured { reference, .. } => Some(reference).filter(|reference| !reference.is_empty()),
                Remains::Voided { reference, .. } => reference.as_ref(),
                Remains::Unanswered | Remains::Declined { .. } => None,
            },
            Self::Placed => None,
        }
    }
}
