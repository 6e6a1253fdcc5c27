//! The units promised to orders: held until a deadline, or allocated for good. Found by id and by deadline.
//!
//! Invariant: a hold id names one promise, which is either a hold or an allocation; exactly the holds have a deadline.
//! Only the promises are written to a snapshot; the deadlines follow from them, so a snapshot cannot disagree with itself.
//!
//! One map for both kinds, because the turn of a hot SKU is mostly the search for an id that is not there.

use alloc::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Hold;
use crate::{
    id::{HoldId, OrderId},
    time::Timestamp,
};

/// Units promised to one line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promise {
    /// The hold it began as.
    pub(super) hold: Hold,
    /// Whether it is an allocation by now: its deadline no longer counts.
    pub(super) allocated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promises {
    by_id: BTreeMap<HoldId, Promise>,
    by_deadline: BTreeSet<(Timestamp, HoldId)>,
}

impl Promise {
    /// Whether its time has come, although its lapse may still be unrecorded.
    pub(super) fn is_past(&self, now: Timestamp) -> bool {
        !self.allocated && self.hold.expires_at <= now && !planted!(ExpiredHoldCounted)
    }
}

impl Promises {
    pub(super) const fn none() -> Self {
        Self { by_id: BTreeMap::new(), by_deadline: BTreeSet::new() }
    }

    pub(super) fn get(&self, id: &HoldId) -> Option<&Promise> {
        self.by_id.get(id)
    }

    /// How many holds there are, allocations not counted.
    pub(super) fn holds(&self) -> usize {
        self.by_deadline.len()
    }

    /// Every promise to one order, by line.
    pub(super) fn to_order(&self, order: OrderId) -> impl Iterator<Item = (&HoldId, &Promise)> {
        self.by_id.range(HoldId { order, line: 0 }..=HoldId { order, line: u16::MAX })
    }

    /// The holds whose deadline is not after `now`, the oldest first.
    pub(super) fn due(&self, now: Timestamp) -> impl Iterator<Item = HoldId> {
        self.by_deadline.iter().take_while(move |(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Adds a hold. False, and nothing changes, when something is promised under this id.
    pub(super) fn insert(&mut self, id: HoldId, hold: Hold) -> bool {
        let Entry::Vacant(place) = self.by_id.entry(id) else { return false };
        self.by_deadline.insert((hold.expires_at, id));
        place.insert(Promise { hold, allocated: false });
        true
    }

    /// Makes a hold an allocation and returns it; `None`, and nothing changes, when there is no such hold.
    pub(super) fn allocate(&mut self, id: &HoldId) -> Option<&Hold> {
        let promise = self.by_id.get_mut(id).filter(|promise| !promise.allocated)?;
        promise.allocated = true;
        self.by_deadline.remove(&(promise.hold.expires_at, *id));
        Some(&promise.hold)
    }

    /// Takes out the hold or, if `allocated`, the allocation of this id. `None`, and nothing changes, when there is none.
    pub(super) fn remove(&mut self, id: HoldId, allocated: bool) -> Option<Hold> {
        let Entry::Occupied(place) = self.by_id.entry(id) else { return None };
        if place.get().allocated != allocated {
            return None;
        }
        let hold = place.remove().hold;
        if !allocated {
            self.by_deadline.remove(&(hold.expires_at, id));
        }
        Some(hold)
    }
}

impl Serialize for Promises {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_id.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Promises {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let by_id = BTreeMap::<HoldId, Promise>::deserialize(deserializer)?;
        let holds = by_id.iter().filter(|(_, promise)| !promise.allocated);
        let by_deadline = holds.map(|(id, promise)| (promise.hold.expires_at, *id)).collect();
        Ok(Self { by_id, by_deadline })
    }
}
