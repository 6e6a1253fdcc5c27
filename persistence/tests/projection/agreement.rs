//! The projection equals the state of the entities: every sum, every status, every snapshot.

use std::fmt::Write as _;

use holdfast_core::{Entity as _, EntityId, order::Order, order::RefundState};
use holdfast_persistence::{EntityState, postgres::projection::ProjectionSettings};
use proptest::prelude::*;

use crate::{
    harness::{self, SERVER, journal, project, query, recovered, schema, small},
    world::World,
};

const SHARDS: u16 = 3;

/// What the tables must say, from the states alone.
struct Expected {
    inventory: Vec<String>,
    orders: Vec<String>,
    items: Vec<String>,
    payments: Vec<String>,
    refunds: Vec<String>,
}

impl Expected {
    fn of(world: &World) -> Self {
        let (mut inventory, mut orders, mut items) = (Vec::new(), Vec::new(), Vec::new());
        let (mut payments, mut refunds) = (Vec::new(), Vec::new());
        for state in world.states.values() {
            match state {
                EntityState::Stock(stock) if stock.version() > 0 => {
                    let level = stock.level();
                    inventory.push(format!(
                        "{}|{}|{}|{}|{}|{}|{}",
                        stock.sku(),
                        level.on_hand,
                        level.held,
                        level.allocated,
                        level.available(),
                        level.fulfilled,
                        stock.version()
                    ));
                }
                EntityState::Order(order) => {
                    let Some(placement) = order.placement() else { continue };
                    orders.push(format!("{}|{}|{}|{}", order.id(), order.status(), placement.total, order.version()));
                    for (line, (sold, _)) in order.lines().enumerate() {
                        items.push(format!(
                            "{}|{line}|{}|{}|{}",
                            order.id(),
                            sold.sku,
                            sold.quantity.get(),
                            sold.unit_price
                        ));
                    }
                    let payment = order.payment().unwrap();
                    let status = format!("{:?}", payment.status).to_lowercase();
                    payments.push(format!("{}|{status}|{}|{}", order.id(), payment.captured, payment.refunded));
                    refunds.extend(refund_lines(order));
                }
                _ => {}
            }
        }
        for list in [&mut inventory, &mut orders, &mut items, &mut payments, &mut refunds] {
            list.sort();
        }
        Self { inventory, orders, items, payments, refunds }
    }
}

fn refund_lines(order: &Order) -> Vec<String> {
    let status = |state: &RefundState| match state {
        RefundState::Pending => "pending",
        RefundState::Done => "done",
        RefundState::Failed { .. } => "failed",
    };
    let refunds = order.refunds().iter().enumerate();
    refunds.map(|(n, refund)| format!("{}|{n}|{}|{}", order.id(), status(&refund.state), refund.amount)).collect()
}

fn lines(schema: &str, sql: &str) -> Vec<String> {
    let mut lines: Vec<_> = query(schema, sql).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Holds the tables against the states and against each other.
pub(crate) fn assert_agrees(world: &World, schema: &str) {
    assert_states_agree(world, schema);
    assert_sums(schema);
    assert_bounded(schema);
}

/// Holds the tables against the states.
pub(crate) fn assert_states_agree(world: &World, schema: &str) {
    let expected = Expected::of(world);
    let inventory = "SELECT sku, on_hand, held, allocated, available, fulfilled, version FROM inventory";
    assert_eq!(lines(schema, inventory), expected.inventory);
    let orders = "SELECT order_number, status, total || ' ' || currency, version FROM orders";
    assert_eq!(lines(schema, orders), expected.orders);
    let items = "SELECT order_number, line, sku, quantity, unit_price || ' ' || i.currency \
                 FROM order_items i JOIN orders o ON o.id = order_id";
    assert_eq!(lines(schema, items), expected.items);
    let payments = "SELECT order_number, p.status, captured || ' ' || p.currency, refunded || ' ' || p.currency \
                    FROM payments p JOIN orders o ON o.id = order_id";
    assert_eq!(lines(schema, payments), expected.payments);
    let refunds = "SELECT order_number, number, r.status, amount || ' ' || r.currency \
                   FROM refunds r JOIN orders o ON o.id = order_id";
    assert_eq!(lines(schema, refunds), expected.refunds);
    assert_snapshots(world, schema);
}

/// The tables agree with each other: nothing printed is a row that does not.
pub(crate) fn assert_sums(schema: &str) {
    let moved = "SELECT i.sku FROM inventory i LEFT JOIN (SELECT product_id, \
         sum(quantity) FILTER (WHERE kind IN ('received', 'adjusted')) AS came, \
         coalesce(sum(quantity) FILTER (WHERE kind = 'fulfilled'), 0) AS went, \
         coalesce(sum(quantity) FILTER (WHERE kind = 'allocated'), 0) AS bound, \
         coalesce(sum(quantity) FILTER (WHERE kind = 'deallocated'), 0) AS freed \
         FROM stock_movements GROUP BY 1) m USING (product_id) \
         WHERE on_hand <> coalesce(came - went, 0) OR allocated <> coalesce(bound - freed - went, 0) OR fulfilled <> coalesce(went, 0)";
    assert_eq!(query(schema, moved), "", "movements do not add up");
    let totals = "SELECT order_number FROM orders o JOIN (SELECT order_id, sum(line_total) s, sum(quantity) u, count(*) n \
         FROM order_items GROUP BY 1) i ON i.order_id = o.id WHERE total <> s OR units <> u OR lines <> n";
    assert_eq!(query(schema, totals), "", "lines do not add up to their orders");
    let payments = "SELECT order_number FROM orders o FULL JOIN payments p ON p.order_id = o.id \
         WHERE p.order_id IS NULL OR o.id IS NULL OR amount <> total OR refunded > captured";
    assert_eq!(query(schema, payments), "", "payments do not match orders");
    let shipments = "SELECT order_number FROM orders o FULL JOIN shipments s ON s.order_id = o.id \
         WHERE (o.status IN ('shipped', 'delivered') AND s.status IS DISTINCT FROM o.status) OR o.id IS NULL";
    assert_eq!(query(schema, shipments), "", "shipments do not match orders");
    let users = "SELECT order_number FROM orders o LEFT JOIN users u ON u.id = user_id WHERE user_id IS NOT NULL AND u.id IS NULL";
    assert_eq!(query(schema, users), "", "a customer has no row");
}

/// Every state can be read back as it was, and no other.
fn assert_snapshots(world: &World, schema: &str) {
    let found = recovered(schema);
    let mut expected = 0;
    for (entity, state) in world.states.iter().filter(|(_, state)| state.version() > 0) {
        let (_, read) = found.get(entity).unwrap_or_else(|| panic!("no snapshot of {entity}"));
        assert_eq!(read, state);
        expected += 1;
    }
    assert_eq!(found.len(), expected);
}

/// No events are kept that are longer than their state, whatever the tables were written by: one projector, several in turn, a
/// rebuild. Only what is done again, from watermarks that were set back, is kept beside what was there.
pub(crate) fn assert_bounded(schema: &str) {
    let longer = "SELECT encode(entity, 'hex') FROM entity_snapshots AS s WHERE octet_length(state) < \
         (SELECT sum(octet_length(events)) FROM entity_changes AS c \
          WHERE (c.shard, c.kind, c.entity) = (s.shard, s.kind, s.entity) AND c.version > s.version)";
    assert_eq!(query(schema, longer), "", "events that are longer than their state");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_equal_the_states_whatever_the_batches(
        seed in any::<u64>(),
        steps in 1_u64..600,
        batch in 1_usize..300,
        entities in 1_usize..40,
        whole_bytes in prop_oneof![Just(0), 50_usize..2_000, Just(1 << 20)],
    ) {
        let (journal, _folder) = journal(SHARDS);
        let mut world = World::new(seed, SHARDS);
        world.run(steps, &*journal);
        let schema = schema();
        project(&journal, &SERVER.url(), &schema, SHARDS, ProjectionSettings { whole_bytes, ..small(batch, entities) });
        assert_agrees(&world, &schema);
    }
}

#[test]
fn amounts_have_the_decimal_places_of_their_currency_and_times_are_what_they_were() {
    use holdfast_core::{
        Currency, Event, Money, SkuId, Timestamp,
        product::{ProductDetails, ProductEvent},
    };
    let (journal, _folder) = journal(1);
    let prices = [
        ("USD", 1_234_567_890_123_456_789, "12345678901234567.89"),
        ("JPY", 10_000, "10000"),
        ("KWD", 5, "0.005"),
        ("CLF", 90_000_000, "9000.0000"),
        ("EUR", 0, "0.00"),
        ("BHD", i64::MAX, "9223372036854775.807"),
    ];
    let mut records = Vec::new();
    for (at, (code, minor, _)) in (0..).zip(&prices) {
        let sku = SkuId::parse(code).unwrap();
        let details = ProductDetails {
            name: String::new(),
            description: String::new(),
            price: Money::new(*minor, Currency::parse(code).unwrap()),
            category: String::new(),
            images: Vec::new(),
            variants: Vec::new(),
            metadata: std::collections::BTreeMap::default(),
        };
        // The epoch, a moment, long ago, and beyond what PostgreSQL can show.
        let at = Timestamp::from_millis(
            [0, 1_700_000_000_123, -62_135_596_800_000, i64::MAX, i64::MIN, 946_684_800_000][at],
        );
        records.push(holdfast_persistence::Record {
            entity: EntityId::Product(sku),
            version: 1,
            at,
            event: Event::Product(ProductEvent::Created(details)),
        });
    }
    let (sender, done) = std::sync::mpsc::channel();
    let batch = holdfast_persistence::Batch { shard: holdfast_core::ShardId(0), first_seq: 1, records };
    journal.append(&batch, Box::new(move |result| sender.send(result).unwrap()));
    done.recv().unwrap().unwrap();
    let schema = schema();
    harness::project(&journal, &SERVER.url(), &schema, 1, small(10, 10));
    let mut expected: Vec<String> = Vec::new();
    let times = [
        "1970-01-01 00:00:00+00",
        "2023-11-14 22:13:20.123+00",
        "0001-01-01 00:00:00+00",
        "infinity",
        "-infinity",
        "2000-01-01 00:00:00+00",
    ];
    for ((code, _, shown), at) in prices.iter().zip(times) {
        let mut line = String::new();
        write!(line, "{code}|{shown}|{at}").unwrap();
        expected.push(line);
    }
    expected.sort();
    assert_eq!(lines(&schema, "SELECT currency, price, created_at FROM products"), expected);
}
