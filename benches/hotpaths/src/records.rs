//! The codec: what a one-line checkout leaves in the journal, and the snapshot of an order.

use std::{hint::black_box, sync::Arc};

use holdfast_core::{
    Entity as _, EntityId, Event, HoldId, Quantity, ShardId,
    order::{Order, OrderCommand, OrderEvent},
    stock::StockEvent,
};
use holdfast_persistence::{
    EntityStateRef, Record, decode_snapshot, encode_snapshot,
    journal::probe::{decode_record, encode_record},
};

use crate::{
    entities::{LATER, NOW, carry_out, order_id, placement, sku},
    path::Work,
};

/// The two records of a one-line checkout.
fn both() -> anyhow::Result<[Record; 2]> {
    let sku = sku()?;
    let order = order_id(7, &sku);
    let held = StockEvent::Held {
        hold: HoldId { order, line: 0 },
        quantity: Quantity::ONE,
        expires_at: LATER,
        customer: None,
    };
    let placed = OrderEvent::Placed(Arc::new(placement(&sku)?));
    Ok([
        Record { entity: EntityId::Stock(sku), version: 1_234, at: NOW, event: Event::Stock(held) },
        Record { entity: EntityId::Order(order), version: 1, at: NOW, event: Event::Order(placed) },
    ])
}

/// [`crate::path::Path::RecordsEncode`].
pub(crate) fn encode() -> anyhow::Result<Work> {
    let records = both()?;
    Ok(Work::new(1_000, move || {
        for record in &records {
            drop(black_box(encode_record(ShardId(3), 77, record)));
        }
    }))
}

/// [`crate::path::Path::RecordsDecode`].
pub(crate) fn decode() -> anyhow::Result<Work> {
    // What is read has no length in front: the frame was split before.
    let encoded = both()?.map(|record| encode_record(ShardId(3), 77, &record).map(|bytes| bytes[4..].to_vec()));
    let encoded = encoded.into_iter().collect::<Result<Vec<_>, _>>()?;
    for bytes in &encoded {
        decode_record(bytes)?;
    }
    Ok(Work::new(1_000, move || {
        for bytes in &encoded {
            drop(black_box(decode_record(bytes)));
        }
    }))
}

/// [`crate::path::Path::SnapshotRoundTrip`].
pub(crate) fn snapshot_round_trip() -> anyhow::Result<Work> {
    let sku = sku()?;
    let mut order = Order::new(order_id(7, &sku));
    carry_out(&mut order, OrderCommand::Place(Arc::new(placement(&sku)?)));
    anyhow::ensure!(order.version() == 1, "the order was not placed");
    let snapshot = encode_snapshot(&EntityStateRef::Order(&order))?;
    decode_snapshot(&snapshot.entity, &snapshot.bytes)?;
    Ok(Work::new(1_000, move || {
        if let Ok(snapshot) = encode_snapshot(&EntityStateRef::Order(&order)) {
            drop(black_box(decode_snapshot(&snapshot.entity, &snapshot.bytes)));
        }
    }))
}
