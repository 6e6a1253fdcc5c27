//! The number of each event on disk, per kind of entity. Invariant: a number never changes its meaning and is never used
//! again. It stands beside the payload so that a reader can tell events apart without decoding them.

use holdfast_core::{EntityKind, Event, cart::CartEvent, order::OrderEvent, product::ProductEvent, stock::StockEvent};

/// The number of `event` among the events of its kind.
pub(crate) const fn event_type(event: &Event) -> u8 {
    match event {
        Event::Stock(event) => stock(event),
        Event::Product(event) => product(event),
        Event::Cart(event) => cart(event),
        Event::Order(event) => order(event),
    }
}

const fn stock(event: &StockEvent) -> u8 {
    match event {
        StockEvent::Received { .. } => 1,
        StockEvent::Adjusted { .. } => 2,
        StockEvent::PolicySet(_) => 3,
        StockEvent::Held { .. } => 4,
        StockEvent::Released { .. } => 5,
        StockEvent::Lapsed { .. } => 6,
        StockEvent::Allocated { .. } => 7,
        StockEvent::Deallocated { .. } => 8,
        StockEvent::Fulfilled { .. } => 9,
    }
}

const fn product(event: &ProductEvent) -> u8 {
    match event {
        ProductEvent::Created(_) => 1,
        ProductEvent::Updated(_) => 2,
        ProductEvent::Removed => 3,
    }
}

const fn cart(event: &CartEvent) -> u8 {
    match event {
        CartEvent::Created { .. } => 1,
        CartEvent::LineSet { .. } => 2,
        CartEvent::LineRemoved { .. } => 3,
        CartEvent::TookIn { .. } => 4,
        CartEvent::MergedInto { .. } => 5,
        CartEvent::CheckoutBegun { .. } => 6,
        CartEvent::CheckoutCompleted { .. } => 7,
        CartEvent::CheckoutAbandoned { .. } => 8,
        CartEvent::Expired => 9,
        CartEvent::Reopened => 10,
    }
}

const fn order(event: &OrderEvent) -> u8 {
    match event {
        OrderEvent::Placed(_) => 1,
        OrderEvent::AuthorizationRecorded(_) => 2,
        OrderEvent::LineAllocated { .. } => 3,
        OrderEvent::LineReleased { .. } => 4,
        OrderEvent::LineFulfilled { .. } => 5,
        OrderEvent::Confirmed => 6,
        OrderEvent::CaptureRecorded(_) => 7,
        OrderEvent::Voided => 8,
        OrderEvent::RefundRequested { .. } => 9,
        OrderEvent::RefundRecorded { .. } => 10,
        OrderEvent::Canceled { .. } => 11,
        OrderEvent::Expired => 12,
        OrderEvent::Shipped => 13,
        OrderEvent::Delivered => 14,
    }
}

/// The kind of entity a number on disk stands for.
pub(crate) const fn kind_of(number: u8) -> Option<EntityKind> {
    match number {
        1 => Some(EntityKind::Stock),
        2 => Some(EntityKind::Product),
        3 => Some(EntityKind::Cart),
        4 => Some(EntityKind::Order),
        _ => None,
    }
}
