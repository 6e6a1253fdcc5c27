//! The units of one SKU. The one place that decides who gets a unit.
//!
//! Invariant (I1): `on_hand` = available + held + allocated, and available >= 0, after every event.
//!
//! A *hold* is temporary and expires; an *allocation* is bound to a confirmed order and does not. Both are known by their
//! [`HoldId`], so a repeated command finds the work done and changes nothing.
//!
//! Cost: a hold or an allocation is a few look-ups in hash tables, the same however many there are, and one in the ordered
//! deadlines, O(log n) in the holds outstanding; it copies nothing but the hold itself.
//! A clone copies the outstanding holds' deadlines and shares everything else with the original until one of them changes.

mod apply;
mod command;
mod cow_map;
mod decide;
mod policy;
mod promises;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use command::{StockCommand, StockEvent, StockRejection};
pub use policy::SalePolicy;

use cow_map::CowMap;
use promises::Promises;

use crate::{
    entity::Entity,
    id::{CustomerId, HoldId, SkuId},
    quantity::Quantity,
    time::Timestamp,
};

/// How the units of a SKU are divided now. `on_hand` = available + held + allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StockLevel {
    /// Units in the house.
    pub on_hand: u64,
    /// Units under a hold.
    pub held: u64,
    /// Units bound to confirmed orders.
    pub allocated: u64,
    /// Units that left the house in fulfilled orders, over all time.
    pub fulfilled: u64,
}

/// Units taken out of what is available until an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How many units.
    pub quantity: Quantity,
    /// From this instant on the hold is gone, whether or not its lapse has been recorded yet.
    pub expires_at: Timestamp,
    /// Who the per-customer limit counts for.
    pub customer: Option<CustomerId>,
}

/// The units of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockItem {
    sku: SkuId,
    version: u64,
    level: StockLevel,
    policy: SalePolicy,
    promises: Promises,
    /// Units each named customer has held, allocated and fulfilled together; kept for the life of the SKU, because a limit
    /// counts what was fulfilled long ago.
    taken: CowMap<CustomerId, u64>,
}

impl StockLevel {
    /// Units that can be sold now. Never negative: what is held and allocated is in the house.
    pub const fn available(&self) -> u64 {
        self.on_hand.saturating_sub(self.held).saturating_sub(self.allocated)
    }
}

impl StockItem {
    /// The most holds that lapse in one decision; what is left is due at once, so the shard asks again.
    pub const MAX_LAPSES_AT_ONCE: usize = 1_024;

    /// The stock of `sku` before anything has happened to it: it does not exist yet.
    pub const fn new(sku: SkuId) -> Self {
        Self {
            sku,
            version: 0,
            level: StockLevel { on_hand: 0, held: 0, allocated: 0, fulfilled: 0 },
            policy: SalePolicy { opens_at: None, closes_at: None, per_order_limit: None, per_customer_limit: None },
            promises: Promises::none(),
            taken: CowMap::new(),
        }
    }

    /// Whose units they are.
    pub const fn sku(&self) -> &SkuId {
        &self.sku
    }

    /// How the units are divided now.
    pub const fn level(&self) -> StockLevel {
        self.level
    }

    /// Units that can be sold now.
    pub const fn available(&self) -> u64 {
        self.level.available()
    }

    /// When and how much may be sold.
    pub const fn policy(&self) -> &SalePolicy {
        &self.policy
    }

    /// The hold of this id, until it lapses, is released or is allocated.
    pub fn hold(&self, hold: &HoldId) -> Option<&Hold> {
        self.promises.get(hold).filter(|promise| !promise.allocated).map(|promise| &promise.hold)
    }

    /// Whether the hold of this id is an allocation now.
    pub fn is_allocated(&self, hold: &HoldId) -> bool {
        self.promises.get(hold).is_some_and(|promise| promise.allocated)
    }

    /// Reads what a search for this hold begins with, so that the processor fetches it. Nothing follows from the answer.
    pub fn touch(&self, hold: &HoldId) -> impl Sized + use<> {
        self.promises.touch(hold)
    }

    /// How many holds are outstanding.
    pub fn hold_count(&self) -> usize {
        self.promises.holds()
    }

    /// Units `customer` has held, allocated and fulfilled together.
    pub fn taken_by(&self, customer: &CustomerId) -> u64 {
        self.taken.get(customer).copied().unwrap_or(0)
    }
}

impl Entity for StockItem {
    type Command = StockCommand;
    type Event = StockEvent;
    type Rejection = StockRejection;

    fn decide(&self, command: StockCommand, now: Timestamp) -> Result<Vec<StockEvent>, StockRejection> {
        self.decide_at(command, now)
    }

    fn apply(&mut self, event: &StockEvent) {
        self.take_in(event);
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.promises.next_deadline().filter(|_| !planted!(HoldNeverLapses))
    }
}
