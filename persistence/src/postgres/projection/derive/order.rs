//! The rows of an order: itself, its lines, its payment, its refunds and its shipment.

use holdfast_core::{
    Entity as _, Money, Timestamp,
    order::{CancelReason, Order, OrderStatus, PaymentStatus, Placement, RefundState},
};
use uuid::Uuid;

use super::super::{
    key,
    row::{Changes, OrderItemRow, OrderRow, PaymentRow, RefundRow, ShipmentRow},
    touch::OrderTouch,
    value::{Amount, Instant, Shown, int2, int8, text},
};

pub(in super::super) fn order(changes: &mut Changes, order: &Order, touch: &OrderTouch, last: Timestamp) {
    let Some(placement) = order.placement() else { return };
    let id = key::order(order.id());
    let placed_at = Instant(placement.placed_at);
    if touch.placed {
        items(changes, id, placement);
    }
    changes.orders.push(OrderRow {
        id,
        order_number: Shown(order.id()),
        user_id: placement.customer.as_ref().map(key::user),
        buyer_id: key::buyer(placement.buyer),
        status: Shown(order.status()),
        total: Amount(placement.total),
        currency: Shown(placement.total.currency()),
        lines: int2(placement.lines.len()),
        units: placement.lines.iter().map(|line| i64::from(line.quantity.get())).sum(),
        cancel_reason: order.cancel_reason().map(reason),
        placed_at,
        expires_at: Instant(placement.expires_at),
        confirmed_at: touch.confirmed_at.map(Instant),
        ended_at: touch.ended_at.map(Instant),
        version: int8(order.version()),
        created_at: placed_at,
        updated_at: Instant(last),
    });
    payment(changes, order, placement, touch);
    refunds(changes, order, touch);
    shipment(changes, order, touch);
}

fn items(changes: &mut Changes, order_id: Uuid, placement: &Placement) {
    for (line, sold) in placement.lines.iter().enumerate() {
        let zero = Money::zero(sold.unit_price.currency());
        changes.order_items.push(OrderItemRow {
            order_id,
            line: int2(line),
            product_id: key::product(&sold.sku),
            sku: Shown(sold.sku.clone()),
            quantity: sold.quantity.get().into(),
            unit_price: Amount(sold.unit_price),
            // Placing the order added these up: they fit.
            line_total: Amount(sold.unit_price.checked_mul(sold.quantity).unwrap_or(zero)),
            currency: Shown(sold.unit_price.currency()),
            created_at: Instant(placement.placed_at),
        });
    }
}

fn payment(changes: &mut Changes, order: &Order, placement: &Placement, touch: &OrderTouch) {
    let (Some((version, at)), Some(payment)) = (touch.payment, order.payment()) else { return };
    changes.payments.push(PaymentRow {
        order_id: key::order(order.id()),
        status: match payment.status {
            PaymentStatus::Pending => "pending",
            PaymentStatus::Authorized => "authorized",
            PaymentStatus::Declined => "declined",
            PaymentStatus::Captured => "captured",
            PaymentStatus::Voided => "voided",
            PaymentStatus::Failed => "failed",
        },
        reference: payment.reference.map(text),
        reason: payment.reason.map(text),
        amount: Amount(placement.total),
        captured: Amount(payment.captured),
        refunded: Amount(payment.refunded),
        currency: Shown(placement.total.currency()),
        authorized_at: touch.authorized_at.map(Instant),
        captured_at: touch.captured_at.map(Instant),
        version: int8(version),
        created_at: Instant(placement.placed_at),
        updated_at: Instant(at),
    });
}

fn refunds(changes: &mut Changes, order: &Order, touch: &OrderTouch) {
    for (number, version, first, last) in &touch.refunds {
        let Some(refund) = order.refunds().get(usize::from(*number)) else { continue };
        let (status, reason) = match &refund.state {
            RefundState::Pending => ("pending", None),
            RefundState::Done => ("done", None),
            RefundState::Failed { reason } => ("failed", Some(text(reason))),
        };
        let number = int2((*number).into());
        changes.refunds.push(RefundRow {
            id: key::refund(order.id(), number),
            order_id: key::order(order.id()),
            number,
            status,
            reason,
            amount: Amount(refund.amount),
            currency: Shown(refund.amount.currency()),
            version: int8(*version),
            created_at: Instant(*first),
            updated_at: Instant(*last),
        });
    }
}

fn shipment(changes: &mut Changes, order: &Order, touch: &OrderTouch) {
    let Some((version, at)) = touch.shipment else { return };
    let delivered = touch.delivered_at.is_some() || order.status() == OrderStatus::Delivered;
    let shipped_at = Instant(touch.shipped_at.unwrap_or(at));
    changes.shipments.push(ShipmentRow {
        order_id: key::order(order.id()),
        status: if delivered { "delivered" } else { "shipped" },
        shipped_at,
        delivered_at: touch.delivered_at.map(Instant),
        version: int8(version),
        created_at: shipped_at,
        updated_at: Instant(at),
    });
}

fn reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Buyer => "buyer",
        CancelReason::Merchant => "merchant",
        CancelReason::PaymentDeclined => "payment_declined",
        CancelReason::StockLost => "stock_lost",
    }
}
