//! The state of any entity, owned or borrowed: what a snapshot holds.

use holdfast_core::{
    Entity, EntityId, EntityKind, Event, cart::Cart, order::Order, product::Product, stock::StockItem,
};

use crate::record::Record;

/// Why a record does not follow a state. The state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// The record is not the entity's next.
    #[error("{entity} is at version {at}, the record at {found}")]
    Version {
        /// Whose state and record it is.
        entity: EntityId,
        /// The state's version.
        at: u64,
        /// The record's.
        found: u64,
    },
    /// The record's event is of another kind than its entity.
    #[error("the record of {entity} holds an event of kind {found:?}")]
    Kind {
        /// Whose record it is.
        entity: EntityId,
        /// What the event is about.
        found: EntityKind,
    },
}

/// The state of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityState {
    /// Units of one SKU.
    Stock(StockItem),
    /// A catalog entry.
    Product(Product),
    /// A cart.
    Cart(Cart),
    /// An order.
    Order(Order),
}

/// The state of one entity, borrowed from whoever hosts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityStateRef<'a> {
    /// Units of one SKU.
    Stock(&'a StockItem),
    /// A catalog entry.
    Product(&'a Product),
    /// A cart.
    Cart(&'a Cart),
    /// An order.
    Order(&'a Order),
}

impl EntityState {
    /// The same state, borrowed.
    pub const fn as_ref(&self) -> EntityStateRef<'_> {
        match self {
            Self::Stock(stock) => EntityStateRef::Stock(stock),
            Self::Product(product) => EntityStateRef::Product(product),
            Self::Cart(cart) => EntityStateRef::Cart(cart),
            Self::Order(order) => EntityStateRef::Order(order),
        }
    }

    /// Whose state it is.
    pub fn id(&self) -> EntityId {
        self.as_ref().id()
    }

    /// How many events led to it.
    pub fn version(&self) -> u64 {
        self.as_ref().version()
    }

    /// The state of `entity` before anything has happened to it.
    pub fn before_anything(entity: &EntityId) -> Self {
        match entity {
            EntityId::Stock(sku) => Self::Stock(StockItem::new(sku.clone())),
            EntityId::Product(sku) => Self::Product(Product::new(sku.clone())),
            EntityId::Cart(cart) => Self::Cart(Cart::new(*cart)),
            EntityId::Order(order) => Self::Order(Order::new(*order)),
        }
    }

    /// Takes in the entity's next record.
    ///
    /// # Errors
    /// [`AdvanceError`].
    pub fn advance(&mut self, record: &Record) -> Result<(), AdvanceError> {
        let (at, kind) = (self.version(), self.as_ref().kind());
        if record.event.kind() != kind {
            return Err(AdvanceError::Kind { entity: record.entity.clone(), found: record.event.kind() });
        }
        if at.checked_add(1) != Some(record.version) {
            return Err(AdvanceError::Version { entity: record.entity.clone(), at, found: record.version });
        }
        self.apply(&record.event);
        Ok(())
    }

    /// What follows from `event`, which is of the state's kind: whoever read it has checked that.
    pub fn apply(&mut self, event: &Event) {
        match (self, event) {
            (Self::Stock(stock), Event::Stock(event)) => stock.apply(event),
            (Self::Product(product), Event::Product(event)) => product.apply(event),
            (Self::Cart(cart), Event::Cart(event)) => cart.apply(event),
            (Self::Order(order), Event::Order(event)) => order.apply(event),
            _ => debug_assert!(false, "an event of another kind than its entity"),
        }
    }
}

impl EntityStateRef<'_> {
    /// The same state, to keep. A stock item's promises are shared with the original until either changes.
    pub fn cloned(&self) -> EntityState {
        match *self {
            Self::Stock(stock) => EntityState::Stock(stock.clone()),
            Self::Product(product) => EntityState::Product(product.clone()),
            Self::Cart(cart) => EntityState::Cart(cart.clone()),
            Self::Order(order) => EntityState::Order(order.clone()),
        }
    }

    /// Whose state it is.
    pub fn id(&self) -> EntityId {
        match self {
            Self::Stock(stock) => EntityId::Stock(stock.sku().clone()),
            Self::Product(product) => EntityId::Product(product.sku().clone()),
            Self::Cart(cart) => EntityId::Cart(cart.id()),
            Self::Order(order) => EntityId::Order(order.id()),
        }
    }

    /// Which state machine it is of.
    pub const fn kind(&self) -> EntityKind {
        match self {
            Self::Stock(_) => EntityKind::Stock,
            Self::Product(_) => EntityKind::Product,
            Self::Cart(_) => EntityKind::Cart,
            Self::Order(_) => EntityKind::Order,
        }
    }

    /// How many events led to it.
    pub fn version(&self) -> u64 {
        match self {
            Self::Stock(stock) => stock.version(),
            Self::Product(product) => product.version(),
            Self::Cart(cart) => cart.version(),
            Self::Order(order) => order.version(),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{OrderId, Quantity, SkuId, Timestamp, order::OrderEvent, stock::StockEvent};

    use super::*;

    #[test]
    fn only_the_next_record_of_its_own_kind_follows() {
        let entity = EntityId::Stock(SkuId::parse("TEE").expect("a SKU"));
        let received = Event::Stock(StockEvent::Received { quantity: Quantity::ONE });
        let record = |version, event| Record { entity: entity.clone(), version, at: Timestamp::from_millis(0), event };
        let mut state = EntityState::before_anything(&entity);
        assert_eq!(state.advance(&record(1, received.clone())), Ok(()));
        let behind = |found| Err(AdvanceError::Version { entity: entity.clone(), at: 1, found });
        assert_eq!(state.advance(&record(1, received.clone())), behind(1), "once only");
        assert_eq!(state.advance(&record(3, received)), behind(3), "none is left out");
        let foreign = Event::Order(OrderEvent::Voided);
        assert!(matches!(state.advance(&record(2, foreign)), Err(AdvanceError::Kind { .. })));
        assert_eq!(state.version(), 1);
        assert_eq!(EntityState::before_anything(&EntityId::Order(OrderId::from_u128(1))).version(), 0);
    }
}
