//! The whole relational content, compared with a fold of the journal: every order, line, amount and unit, every snapshot byte
//! by byte. Written apart from the projection, from the states alone, so that the two can disagree.
//!
//! Invariant: one statement reads all tables, so at one instant, and the journal is folded up to the watermarks of that
//! instant: the check holds at rest, under load, and in the middle of a backlog.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::ControlFlow,
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use holdfast_core::{
    CartId, Entity, EntityId, Money, OrderId, SkuId,
    order::{LineStock, Order, PaymentStatus, RefundState},
    stock::StockItem,
};
use holdfast_persistence::{
    EntityState, JournalReader, Record, apply_changes, decode_snapshot, encode_snapshot, journal::RecordInfo,
};
use holdfast_servers::Postgres;

/// Everything there is, a line for each row. Amounts in minor units of two decimals: the shop of the tests sells in euros.
const EVERYTHING: &str = r"
SELECT 'watermark|' || concat_ws('|', shard, seq) FROM projection_watermarks
UNION ALL SELECT 'state|' || concat_ws('|', shard, kind, encode(entity, 'hex'), encode(state, 'hex'), (
        SELECT string_agg(encode(events, 'hex'), ',' ORDER BY first) FROM entity_changes AS c
        WHERE (c.shard, c.kind, c.entity) = (s.shard, s.kind, s.entity) AND c.version > s.version))
    FROM entity_snapshots AS s
UNION ALL SELECT 'product|' || concat_ws('|', sku, version, listed) FROM products
UNION ALL SELECT 'inventory|' || concat_ws('|', sku, on_hand, held, allocated, available, fulfilled, version) FROM inventory
UNION ALL SELECT 'cart|' || concat_ws('|', id, version) FROM carts
UNION ALL SELECT 'order|' || concat_ws('|', order_number, status, trim_scale(total * 100), currency, lines, units, version)
    FROM orders
UNION ALL SELECT 'item|' || concat_ws('|', o.order_number, i.line, i.sku, i.quantity, trim_scale(i.unit_price * 100),
    trim_scale(i.line_total * 100)) FROM order_items AS i LEFT JOIN orders AS o ON o.id = i.order_id
UNION ALL SELECT 'payment|' || concat_ws('|', o.order_number, p.status, trim_scale(p.amount * 100),
    trim_scale(p.captured * 100), trim_scale(p.refunded * 100)) FROM payments AS p LEFT JOIN orders AS o ON o.id = p.order_id
UNION ALL SELECT 'refund|' || concat_ws('|', o.order_number, r.number, r.status, trim_scale(r.amount * 100))
    FROM refunds AS r LEFT JOIN orders AS o ON o.id = r.order_id
UNION ALL SELECT 'shipment|' || concat_ws('|', o.order_number, s.status)
    FROM shipments AS s LEFT JOIN orders AS o ON o.id = s.order_id
";

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compared {
    /// Journal records that the tables contain.
    pub records: u64,
    /// Rows that agree, snapshots included.
    pub rows: u64,
    /// Orders among them.
    pub orders: u64,
    /// Units that orders hold, own or took away.
    pub units: u64,
    /// Money that was captured, in minor units.
    pub captured: i64,
}

/// Compares the schema `holdfast` of `server` with the journal in `folder`.
///
/// # Errors
/// The rows that are missing, too many or different; or sums that do not agree.
pub fn compare(server: &Postgres, folder: &Path) -> anyhow::Result<Compared> {
    let text = server.sql(&format!("SET search_path TO holdfast; {EVERYTHING}"))?;
    let (watermarks, found): (Vec<_>, BTreeSet<_>) = {
        let (watermarks, rows): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("watermark|"));
        ensure!(rows.len() == rows.iter().collect::<BTreeSet<_>>().len(), "two rows are the same");
        let rows = rows.into_iter().map(|row| match row.strip_prefix("state|") {
            Some(parts) => whole(parts),
            None => Ok(row.to_owned()),
        });
        (watermarks, rows.collect::<anyhow::Result<_>>()?)
    };
    let mut contained = BTreeMap::new();
    for line in watermarks {
        let (shard, seq) = line.trim_start_matches("watermark|").split_once('|').context("a watermark")?;
        contained.insert(shard.parse()?, seq.parse()?);
    }
    let fold = Fold::of(folder, &contained)?;
    let expected = fold.rows()?;
    let say = |rows: Vec<&String>| rows.iter().take(3).fold(String::new(), |all, row| format!("{all}\n  {row:.300}"));
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "the tables are not what the journal says: {} rows missing{}\n{} rows that should not be{}",
        missing.len(),
        say(missing),
        surplus.len(),
        say(surplus)
    );
    fold.add_up(&contained, found.len() as u64)
}

/// A snapshot and the events behind it, as the snapshot they come to: how they are divided depends on where batches ended.
fn whole(parts: &str) -> anyhow::Result<String> {
    let fields: Vec<_> = parts.split('|').collect();
    let [shard, kind, entity, snapshot, changes @ ..] = fields.as_slice() else { bail!("a state without a snapshot") };
    let id = unhex(entity)?;
    let bits = || anyhow::Ok(u128::from_le_bytes(id.as_slice().try_into()?));
    let sku = || anyhow::Ok(SkuId::parse(str::from_utf8(&id)?)?);
    let id = match *kind {
        "1" => EntityId::Stock(sku()?),
        "2" => EntityId::Product(sku()?),
        "3" => EntityId::Cart(CartId::from_u128(bits()?)),
        "4" => EntityId::Order(OrderId::from_u128(bits()?)),
        kind => bail!("a state of kind {kind}"),
    };
    let (_, mut state) = decode_snapshot(&id, &unhex(snapshot)?).with_context(|| format!("the snapshot of {id}"))?;
    for stretch in changes.iter().flat_map(|changes| changes.split(',')) {
        apply_changes(&mut state, &unhex(stretch)?).with_context(|| format!("the events of {id}"))?;
    }
    let encoded = encode_snapshot(&state.as_ref())?;
    Ok(format!("snapshot|{shard}|{kind}|{entity}|{}|{}", encoded.version, hex(&encoded.bytes)))
}

fn unhex(text: &str) -> anyhow::Result<Vec<u8>> {
    let pair = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).context("two digits");
    (0..text.len()).step_by(2).map(pair).collect()
}

/// The state the journal leads to, up to the watermarks.
struct Fold(BTreeMap<EntityId, (u16, EntityState)>);

impl Fold {
    fn of(folder: &Path, contained: &BTreeMap<u16, u64>) -> anyhow::Result<Self> {
        let mut fold = Self(BTreeMap::new());
        let mut taken = Ok(());
        let mut visit = |info: RecordInfo| {
            if info.seq > contained.get(&info.shard.0).copied().unwrap_or(0) {
                return ControlFlow::Continue(());
            }
            taken = match info.record {
                Ok(record) => fold.take(info.shard.0, &record),
                Err(error) => Err(error.into()),
            };
            if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        JournalReader::open(folder)?.records(&mut visit)?;
        taken.map(|()| fold)
    }

    fn take(&mut self, shard: u16, record: &Record) -> anyhow::Result<()> {
        let vacant = || (shard, EntityState::before_anything(&record.entity));
        self.0.entry(record.entity.clone()).or_insert_with(vacant).1.advance(record)?;
        Ok(())
    }

    /// The rows there must be.
    fn rows(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut rows = BTreeSet::new();
        for (id, (shard, state)) in &self.0 {
            let encoded = encode_snapshot(&state.as_ref())?;
            let entity = match id {
                EntityId::Stock(sku) | EntityId::Product(sku) => hex(sku.as_str().as_bytes()),
                EntityId::Cart(cart) => hex(&cart.as_u128().to_le_bytes()),
                EntityId::Order(order) => hex(&order.as_u128().to_le_bytes()),
            };
            let kind = id.kind() as u8;
            rows.insert(format!("snapshot|{shard}|{kind}|{entity}|{}|{}", encoded.version, hex(&encoded.bytes)));
            match state {
                EntityState::Stock(stock) => {
                    rows.insert(stock_row(stock));
                }
                EntityState::Product(product) => {
                    let (version, listed) = (product.version(), if product.details().is_some() { 't' } else { 'f' });
                    rows.insert(format!("product|{}|{version}|{listed}", product.sku()));
                }
                EntityState::Cart(cart) => {
                    rows.insert(format!("cart|{}|{}", uuid(cart.id().as_u128()), cart.version()));
                }
                EntityState::Order(order) => order_rows(order, &mut rows)?,
            }
        }
        Ok(rows)
    }

    /// I1 and I3 over what was compared: units are somewhere, and no order took more than it costs.
    fn add_up(&self, contained: &BTreeMap<u16, u64>, rows: u64) -> anyhow::Result<Compared> {
        let mut compared = Compared { records: contained.values().sum(), rows, ..Compared::default() };
        for (_, state) in self.0.values() {
            match state {
                EntityState::Stock(stock) => {
                    let level = stock.level();
                    ensure!(level.held + level.allocated <= level.on_hand, "oversold: {}", stock.sku());
                }
                EntityState::Order(order) => {
                    let payment = order.payment().context("a placed order")?;
                    ensure!(payment.refunded.minor() <= payment.captured.minor(), "refunded too much: {}", order.id());
                    let taken = order.lines().filter(|(_, stock)| {
                        matches!(stock, LineStock::Held | LineStock::Allocated | LineStock::Fulfilled)
                    });
                    compared.units += taken.map(|(line, _)| u64::from(line.quantity.get())).sum::<u64>();
                    compared.captured += payment.captured.minor();
                    compared.orders += 1;
                }
                EntityState::Product(_) | EntityState::Cart(_) => {}
            }
        }
        Ok(compared)
    }
}

fn stock_row(stock: &StockItem) -> String {
    let level = stock.level();
    let (on_hand, held, allocated) = (level.on_hand, level.held, level.allocated);
    let (available, fulfilled) = (on_hand - held - allocated, level.fulfilled);
    format!("inventory|{}|{on_hand}|{held}|{allocated}|{available}|{fulfilled}|{}", stock.sku(), stock.version())
}

fn order_rows(order: &Order, rows: &mut BTreeSet<String>) -> anyhow::Result<()> {
    let (id, placement) = (order.id(), order.placement().context("a placed order")?);
    let (total, lines) = (placement.total, placement.lines.len());
    let units: u64 = placement.lines.iter().map(|line| u64::from(line.quantity.get())).sum();
    let (status, currency, version) = (order.status(), total.currency(), order.version());
    rows.insert(format!("order|{id}|{status}|{}|{currency}|{lines}|{units}|{version}", minor(total)?));
    for (number, line) in placement.lines.iter().enumerate() {
        let each = minor(line.unit_price)?;
        let (sku, quantity) = (&line.sku, i64::from(line.quantity.get()));
        rows.insert(format!("item|{id}|{number}|{sku}|{quantity}|{each}|{}", each * quantity));
    }
    let payment = order.payment().context("a payment")?;
    let status = match payment.status {
        PaymentStatus::Pending => "pending",
        PaymentStatus::Authorized => "authorized",
        PaymentStatus::Declined => "declined",
        PaymentStatus::Captured => "captured",
        PaymentStatus::Voided => "voided",
        PaymentStatus::Failed => "failed",
    };
    let (captured, refunded) = (minor(payment.captured)?, minor(payment.refunded)?);
    rows.insert(format!("payment|{id}|{status}|{}|{captured}|{refunded}", minor(total)?));
    for (number, refund) in order.refunds().iter().enumerate() {
        let status = match refund.state {
            RefundState::Pending => "pending",
            RefundState::Done => "done",
            RefundState::Failed { .. } => "failed",
        };
        rows.insert(format!("refund|{id}|{number}|{status}|{}", minor(refund.amount)?));
    }
    let left = ["shipped", "delivered"].into_iter().find(|word| order.status().to_string() == *word);
    rows.extend(left.map(|word| format!("shipment|{id}|{word}")));
    Ok(())
}

fn minor(money: Money) -> anyhow::Result<i64> {
    ensure!(money.currency().exponent() == 2, "the shop of the tests sells in currencies of two decimals");
    Ok(money.minor())
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
