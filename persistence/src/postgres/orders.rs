//! Searching the orders in PostgreSQL.
//!
//! Invariant: an answer is the one the local index would give, in the same order, or there is none: what was durable when the
//! question came is contained, or [`PostgresError::Behind`] says that it is not yet.

use std::{fmt::Write as _, time::Duration};

use holdfast_core::{
    BuyerId, Currency, CustomerId, Money, OrderId, ShardId, Timestamp,
    order::{OrderQuery, OrderStatus, OrderSummary},
};
use tokio::time::{Instant, sleep};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    database::Database,
    error::PostgresError,
    pool::{Connection, within},
    projection::{key, value},
};

/// How often the watermarks are looked at while they are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Database {
    /// One page of orders, once PostgreSQL contains every record named by `durable`: the last of each shard, as of the
    /// question. All in all it takes no longer than `patience`, and no time at all when the projection into it is known to
    /// need longer: in a busy sale, while PostgreSQL is away, and until all that waited since is caught up with.
    ///
    /// # Errors
    /// [`PostgresError::Behind`] when it does not come that far in time, and whatever keeps PostgreSQL from answering.
    pub async fn search_orders(
        &self,
        wanted: &OrderQuery,
        durable: &[(ShardId, u64)],
        patience: Duration,
    ) -> Result<Vec<OrderSummary>, PostgresError> {
        if self.is_out_of_reach(patience) {
            return Err(PostgresError::Behind { waited: Duration::ZERO });
        }
        let begun = Instant::now();
        // On the heap: making a connection is a large future, and a search is rare.
        let search = Box::pin(async {
            let connection = self.connection().await?;
            while !contains(&connection, durable).await? {
                if begun.elapsed() + LOOK_EVERY > patience {
                    connection.give_back();
                    return Err(PostgresError::Behind { waited: begun.elapsed() });
                }
                sleep(LOOK_EVERY).await;
            }
            let found = find(&connection, wanted).await?;
            connection.give_back();
            Ok(found)
        });
        within(patience, search).await
    }
}

/// Whether every record of `durable` is contained.
async fn contains(connection: &Connection, durable: &[(ShardId, u64)]) -> Result<bool, PostgresError> {
    let rows = connection.query_typed("SELECT shard, seq FROM projection_watermarks", &[]).await?;
    let mut reached = std::collections::BTreeMap::new();
    for row in &rows {
        let (shard, seq): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
        reached.insert(i32::from(shard), seq.cast_unsigned());
    }
    let reached = |shard: &ShardId| reached.get(&i32::from(shard.0)).copied().unwrap_or_default();
    Ok(durable.iter().all(|(shard, seq)| reached(shard) >= *seq))
}

async fn find(connection: &Connection, search: &OrderQuery) -> Result<Vec<OrderSummary>, PostgresError> {
    let (text, parameters) = statement(search);
    let parameters = parameters.iter().map(|(value, kind)| (value.as_ref() as &(dyn ToSql + Sync), kind.clone()));
    let parameters: Vec<_> = parameters.collect();
    let rows = connection.query_typed(&text, &parameters).await?;
    rows.iter().map(found).collect()
}

/// A parameter with its type: with the types told, a search is one round trip, planned for exactly its values.
type Parameter = (Box<dyn ToSql + Sync + Send>, Type);

/// The search as SQL.
fn statement(search: &OrderQuery) -> (String, Vec<Parameter>) {
    let mut text = String::from(
        "SELECT o.id, (extract(epoch FROM o.placed_at) * 1000)::int8, o.status, o.buyer_id, u.customer_id, o.total::text, \
         o.currency FROM orders AS o LEFT JOIN users AS u ON u.id = o.user_id WHERE true",
    );
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut add = |value: Box<dyn ToSql + Sync + Send>, kind: Type| {
        parameters.push((value, kind));
        parameters.len()
    };
    // Writing to a String cannot fail.
    if let Some(buyer) = search.buyer {
        let _ = write!(text, " AND o.buyer_id = ${}", add(Box::new(key::buyer(buyer)), Type::UUID));
    }
    if let Some(customer) = &search.customer {
        let _ = write!(text, " AND o.user_id = ${}", add(Box::new(key::user(customer)), Type::UUID));
    }
    if let Some(status) = search.status {
        let _ = write!(text, " AND o.status = ${}", add(Box::new(status.to_string()), Type::TEXT));
    }
    if let Some(sku) = &search.sku {
        let product = add(Box::new(key::product(sku)), Type::UUID);
        let _ = write!(
            text,
            " AND EXISTS (SELECT FROM order_items AS i WHERE i.order_id = o.id AND i.product_id = ${product})"
        );
    }
    let mut instant = |at: Timestamp| add(Box::new(value::Instant(at)), Type::TIMESTAMPTZ);
    if let Some(from) = search.placed_from {
        let _ = write!(text, " AND o.placed_at >= ${}", instant(from));
    }
    if let Some(to) = search.placed_to {
        let _ = write!(text, " AND o.placed_at < ${}", instant(to));
    }
    if let Some((at, id)) = search.before {
        let at = instant(at);
        let id = add(Box::new(key::order(id)), Type::UUID);
        let _ = write!(text, " AND (o.placed_at, o.id) < (${at}, ${id})");
    }
    let limit = add(Box::new(i64::try_from(search.limit).unwrap_or(i64::MAX)), Type::INT8);
    let _ = write!(text, " ORDER BY o.placed_at DESC, o.id DESC LIMIT ${limit}");
    (text, parameters)
}

fn found(row: &Row) -> Result<OrderSummary, PostgresError> {
    let strange = |what: &str| PostgresError::Row { table: "orders", problem: what.to_owned() };
    let (id, buyer): (uuid::Uuid, uuid::Uuid) = (row.try_get(0)?, row.try_get(3)?);
    let (placed_at, status): (i64, &str) = (row.try_get(1)?, row.try_get(2)?);
    let (customer, total, currency): (Option<&str>, &str, &str) = (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
    let currency = Currency::parse(currency).map_err(|error| strange(&error.to_string()))?;
    let customer = customer.map(CustomerId::parse).transpose().map_err(|error| strange(&error.to_string()))?;
    Ok(OrderSummary {
        id: OrderId::from_u128(id.as_u128()),
        placed_at: Timestamp::from_millis(placed_at),
        status: OrderStatus::parse(status).ok_or_else(|| strange("its status is unknown"))?,
        buyer: BuyerId::from_u128(buyer.as_u128()),
        customer,
        total: amount(total, currency).ok_or_else(|| strange("its total is no amount of its currency"))?,
    })
}

/// An amount in major units, as PostgreSQL writes it: `-12.34`.
fn amount(text: &str, currency: Currency) -> Option<Money> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    (fraction.len() == usize::from(currency.exponent())).then_some(())?;
    format!("{whole}{fraction}").parse().ok().map(|minor| Money::new(minor, currency))
}

#[cfg(test)]
mod tests {
    use holdfast_core::SkuId;

    use super::*;

    #[test]
    fn an_amount_is_read_as_it_is_written_and_not_otherwise() {
        let amount = |text, code| amount(text, Currency::parse(code).unwrap()).map(Money::minor);
        assert_eq!(amount("12.34", "EUR"), Some(1_234));
        assert_eq!(amount("-0.05", "EUR"), Some(-5));
        assert_eq!(amount("92233720368547758.07", "EUR"), Some(i64::MAX));
        assert_eq!(amount("7", "JPY"), Some(7));
        assert_eq!(amount("0.007", "KWD"), Some(7));
        assert_eq!(amount("12.3", "EUR"), None);
        assert_eq!(amount("12", "EUR"), None);
        assert_eq!(amount("NaN", "JPY"), None);
    }

    #[test]
    fn every_condition_of_a_search_has_its_parameter() {
        let at = Timestamp::from_millis(1);
        let search = OrderQuery {
            buyer: Some(BuyerId::from_u128(3)),
            customer: Some(CustomerId::parse("ann").unwrap()),
            status: Some(OrderStatus::Placed),
            sku: Some(SkuId::parse("TEE").unwrap()),
            placed_from: Some(at),
            placed_to: Some(at),
            before: Some((at, OrderId::from_u128(1))),
            limit: 5,
        };
        let (text, parameters) = statement(&search);
        assert_eq!(parameters.len(), 9);
        for number in 1..=9 {
            assert!(text.contains(&format!("${number}")), "{text}");
        }
        let (text, parameters) = statement(&OrderQuery { limit: 5, ..OrderQuery::default() });
        assert!(parameters.len() == 1 && !text.contains("AND"), "{text}");
    }
}
