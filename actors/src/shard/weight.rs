//! About how many bytes a fact takes in the journal, so that a turn ends before its batch outgrows the journal's limit. An
//! estimate from above: exact sizes are the codec's business.

use holdfast_core::{Event, cart::CartEvent, order::OrderEvent, product::ProductEvent, stock::StockEvent};

/// A record's header with the entity's id and the fixed parts of any event.
const BASE: usize = 256;
/// One line of an order or a cart.
const LINE: usize = 128;

/// An upper estimate of a record's size, in bytes.
pub(super) fn weight(event: &Event) -> usize {
    let variable = match event {
        Event::Product(ProductEvent::Created(details) | ProductEvent::Updated(details)) => {
            let images: usize = details.images.iter().map(|image| image.len() + 16).sum();
            let metadata: usize = details.metadata.iter().map(|(key, value)| key.len() + value.len() + 16).sum();
            let variants: usize = details
                .variants
                .iter()
                .map(|variant| {
                    let options = variant.options.iter().map(|(key, value)| key.len() + value.len() + 16);
                    LINE + variant.name.len() + options.sum::<usize>()
                })
                .sum();
            details.name.len() + details.description.len() + details.category.len() + images + metadata + variants
        }
        Event::Order(OrderEvent::Placed(placement)) => LINE * (placement.lines.len() + 2),
        Event::Order(_) => LINE,
        Event::Cart(CartEvent::TookIn { lines, .. }) => LINE * lines.len(),
        Event::Stock(StockEvent::Adjusted { reason, .. }) => reason.len(),
        Event::Product(_) | Event::Cart(_) | Event::Stock(_) => 0,
    };
    BASE + variable
}
