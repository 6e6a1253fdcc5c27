//! The units promised to orders: held until a deadline, or allocated for good. Found by id and by deadline.
//!
//! Invariant: a hold id names one promise, which is either a hold or an allocation; exactly the holds have a deadline.
//! Only the promises are written to a snapshot, in the order of their ids; the deadlines follow from them, so a snapshot
//! cannot disagree with itself.
//!
//! One map for both kinds, because the turn of a hot SKU is mostly the search for an id that is not there.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
};
use core::{fmt, iter, mem};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};

use super::{Hold, cow_map::CowMap};
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
    by_order: CowMap<OrderId, Lines>,
    by_deadline: BTreeSet<(Timestamp, HoldId)>,
    /// How many there are.
    len: usize,
}

/// The promises to one order: in all but a few cases one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lines {
    /// The lowest line.
    line: u16,
    promise: Promise,
    /// Those to its other lines of this SKU.
    #[expect(clippy::box_collection, reason = "8 bytes of every promise instead of 24")]
    others: Option<Box<BTreeMap<u16, Promise>>>,
}

impl Promise {
    /// Whether its time has come, although its lapse may still be unrecorded.
    pub(super) fn is_past(&self, now: Timestamp) -> bool {
        !self.allocated && self.hold.expires_at <= now && !planted!(ExpiredHoldCounted)
    }
}

impl Lines {
    const fn one(line: u16, promise: Promise) -> Self {
        Self { line, promise, others: None }
    }

    fn get(&self, line: u16) -> Option<&Promise> {
        if line == self.line { Some(&self.promise) } else { self.others.as_ref()?.get(&line) }
    }

    fn get_mut(&mut self, line: u16) -> Option<&mut Promise> {
        if line == self.line { Some(&mut self.promise) } else { self.others.as_mut()?.get_mut(&line) }
    }

    /// Adds a line that is not among them.
    fn insert(&mut self, mut line: u16, mut promise: Promise) {
        if line < self.line {
            mem::swap(&mut line, &mut self.line);
            mem::swap(&mut promise, &mut self.promise);
        }
        self.others.get_or_insert_default().insert(line, promise);
    }

    /// Takes a line out, unless it is the only one: false then.
    fn remove(&mut self, line: u16) -> bool {
        let Some(others) = &mut self.others else { return false };
        if line != self.line {
            others.remove(&line);
        } else if let Some(next) = others.pop_first() {
            (self.line, self.promise) = next;
        }
        self.others.take_if(|others| others.is_empty());
        true
    }

    /// All of them, by line.
    fn iter(&self) -> impl Iterator<Item = (u16, &Promise)> {
        let others = self.others.iter().flat_map(|others| others.iter()).map(|(line, promise)| (*line, promise));
        iter::once((self.line, &self.promise)).chain(others)
    }
}

impl Promises {
    pub(super) const fn none() -> Self {
        Self { by_order: CowMap::new(), by_deadline: BTreeSet::new(), len: 0 }
    }

    pub(super) fn get(&self, id: &HoldId) -> Option<&Promise> {
        self.by_order.get(&id.order)?.get(id.line)
    }

    /// Reads what a search for this id begins with.
    pub(super) fn touch(&self, id: &HoldId) -> Option<u32> {
        self.by_order.touch(&id.order)
    }

    /// How many holds there are, allocations not counted.
    pub(super) fn holds(&self) -> usize {
        self.by_deadline.len()
    }

    /// Every promise to one order, by line.
    pub(super) fn to_order(&self, order: OrderId) -> impl Iterator<Item = (HoldId, &Promise)> {
        let lines = self.by_order.get(&order).into_iter().flat_map(Lines::iter);
        lines.map(move |(line, promise)| (HoldId { order, line }, promise))
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
        self.add(id, Promise { hold, allocated: false })
    }

    fn add(&mut self, id: HoldId, promise: Promise) -> bool {
        let deadline = (!promise.allocated).then_some(promise.hold.expires_at);
        match self.by_order.get_mut(&id.order) {
            None => self.by_order.add(id.order, Lines::one(id.line, promise)),
            Some(lines) if lines.get(id.line).is_some() => return false,
            Some(lines) => lines.insert(id.line, promise),
        }
        self.by_deadline.extend(deadline.map(|deadline| (deadline, id)));
        self.len = self.len.saturating_add(1);
        true
    }

    /// Makes a hold an allocation and returns it; `None`, and nothing changes, when there is no such hold.
    pub(super) fn allocate(&mut self, id: &HoldId) -> Option<&Hold> {
        let promise = self.by_order.get_mut(&id.order)?.get_mut(id.line).filter(|promise| !promise.allocated)?;
        promise.allocated = true;
        self.by_deadline.remove(&(promise.hold.expires_at, *id));
        Some(&promise.hold)
    }

    /// Takes out the hold or, if `allocated`, the allocation of this id. `None`, and nothing changes, when there is none.
    pub(super) fn remove(&mut self, id: HoldId, allocated: bool) -> Option<Hold> {
        let lines = self.by_order.get_mut(&id.order)?;
        let hold = lines.get(id.line).filter(|promise| promise.allocated == allocated)?.hold.clone();
        if !lines.remove(id.line) {
            self.by_order.remove(&id.order);
        }
        if !allocated {
            self.by_deadline.remove(&(hold.expires_at, id));
        }
        self.len = self.len.saturating_sub(1);
        Some(hold)
    }
}

impl Serialize for Promises {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len))?;
        for (order, lines) in self.by_order.sorted() {
            for (line, promise) in lines.iter() {
                map.serialize_entry(&HoldId { order: *order, line }, promise)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Promises {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ById;

        impl<'de> Visitor<'de> for ById {
            type Value = Promises;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("promises by hold id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Promises, A::Error> {
                let mut promises = Promises::none();
                while let Some((id, promise)) = map.next_entry()? {
                    if !promises.add(id, promise) {
                        return Err(serde::de::Error::custom("two promises of one hold id"));
                    }
                }
                Ok(promises)
            }
        }

        deserializer.deserialize_map(ById)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;
    use crate::quantity::Quantity;

    fn hold(expires_ms: i64) -> Hold {
        Hold { quantity: Quantity::ONE, expires_at: Timestamp::from_millis(expires_ms), customer: None }
    }

    fn id(order: u128, line: u16) -> HoldId {
        HoldId { order: OrderId::from_u128(order), line }
    }

    fn lines(promises: &Promises, order: u128) -> Vec<u16> {
        promises.to_order(OrderId::from_u128(order)).map(|(id, _)| id.line).collect()
    }

    #[test]
    fn the_lines_of_an_order_are_kept_apart_and_listed_in_order() {
        let mut promises = Promises::none();
        for line in [4, 0, 9, 2] {
            assert!(promises.insert(id(1, line), hold(i64::from(line))));
            assert!(!promises.insert(id(1, line), hold(99)), "once only");
        }
        assert_eq!(lines(&promises, 1), [0, 2, 4, 9]);
        let mut in_order = Promises::none();
        assert!([0, 2, 4, 9].into_iter().all(|line| in_order.insert(id(1, line), hold(i64::from(line)))));
        assert_eq!(promises, in_order, "however they came to it");
        assert_eq!(promises.allocate(&id(1, 9)), Some(&hold(9)));
        assert_eq!(promises.allocate(&id(1, 9)), None);
        assert_eq!(promises.holds(), 3);
        assert_eq!(promises.remove(id(1, 4), true), None, "it is a hold");
        assert_eq!(promises.remove(id(1, 4), false), Some(hold(4)));
        assert_eq!(promises.remove(id(1, 4), false), None);
        assert_eq!(lines(&promises, 1), [0, 2, 9]);
        assert_eq!(promises.next_deadline(), Some(Timestamp::from_millis(0)));
        for (line, allocated) in [(0, false), (2, false), (9, true)] {
            assert_eq!(promises.remove(id(1, line), allocated), Some(hold(i64::from(line))));
        }
        assert_eq!(promises, Promises::none());
    }

    #[test]
    fn what_is_written_is_what_an_ordered_map_writes_and_is_read_back() {
        let mut promises = Promises::none();
        let mut ordered = BTreeMap::new();
        for number in 0..3_000_u16 {
            let id = id(u128::from(number / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835), number % 2);
            let allocated = number % 3 == 0;
            assert!(promises.insert(id, hold(i64::from(number))));
            assert!(!allocated || promises.allocate(&id).is_some());
            ordered.insert(id, Promise { hold: hold(i64::from(number)), allocated });
        }
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&promises, config).unwrap();
        assert_eq!(bytes, bincode::serde::encode_to_vec(&ordered, config).unwrap());
        let (read, _) = bincode::serde::decode_from_slice::<Promises, _>(&bytes, config).unwrap();
        assert_eq!(read, promises);
        assert_eq!(read.due(Timestamp::from_millis(9)).count(), 6);
    }

    #[test]
    fn two_promises_of_one_id_are_not_read() {
        let config = bincode::config::standard();
        let twice = vec![(id(1, 0), Promise { hold: hold(1), allocated: false }); 2];
        let bytes = bincode::serde::encode_to_vec(&twice, config).unwrap();
        assert!(bincode::serde::decode_from_slice::<Promises, _>(&bytes, config).is_err());
    }
}
