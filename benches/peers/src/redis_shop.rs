//! The sale on Redis: stock, limits, orders and idempotency keys in one Lua script, one round trip an order.
//!
//! One multiplexed connection: the client pipelines what arrives at once, so Redis gets many orders per read, and with
//! `appendfsync always` syncs once for all of them. More connections made it slower.

use anyhow::{Context as _, bail};
use redis::{AsyncCommands as _, Script, aio::ConnectionManager};
use std::sync::Arc;

use crate::sale::{Placed, Product, Refusal, Stack, Units, Wanted};

/// The shop on Redis.
#[derive(Clone)]
pub(crate) struct RedisShop {
    connection: ConnectionManager,
    place: Arc<Script>,
}

impl RedisShop {
    /// Connects to the server at `url`.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = redis::Client::open(url).context("not an address of Redis")?;
        let mut connection = client.get_connection_manager().await.context("cannot connect to Redis")?;
        let place = Arc::new(Script::new(include_str!("place.lua")));
        place.load_async(&mut connection).await.context("Redis refuses the script")?;
        Ok(Self { connection, place })
    }
}

impl Stack for RedisShop {
    async fn place(&self, wanted: Wanted) -> anyhow::Result<Result<Placed, Refusal>> {
        let Wanted { order, key, fingerprint, sku, quantity, customer, payment_token, placed_at_ms } = wanted;
        let customer = customer.unwrap_or_default();
        let fields = format!("{sku} {quantity} {customer} {payment_token} {placed_at_ms} ");
        let mut invocation = self.place.prepare_invoke();
        invocation.key(format!("idem:{key}")).key(format!("stock:{sku}")).key(format!("taken:{sku}"));
        invocation.key(format!("order:{order}"));
        invocation.arg(order.to_string()).arg(fingerprint).arg(quantity).arg(customer).arg(placed_at_ms).arg(fields);
        let mut connection = self.connection.clone();
        let (verdict, detail): (String, String) = invocation.invoke_async(&mut connection).await?;
        Ok(match verdict.as_str() {
            "placed" => Ok(Placed { order, unit_price: detail.parse()?, at_ms: placed_at_ms, replayed: false }),
            "known" => known(&detail, fingerprint)?,
            "sold_out" => Err(Refusal::SoldOut),
            "over_limit" => Err(Refusal::OverLimit),
            "customer_required" => Err(Refusal::CustomerRequired),
            "missing" => Err(Refusal::NoSuchSku),
            other => bail!("the script said {other:?}"),
        })
    }

    async fn put_up(&self, product: Product) -> anyhow::Result<()> {
        let key = format!("stock:{}", product.sku);
        let limit = product.sale.and_then(|sale| sale.per_customer_limit);
        let mut fields = vec![
            ("on_hand", product.units.to_string()),
            ("available", product.units.to_string()),
            ("price", product.price.amount_minor.to_string()),
        ];
        fields.extend(limit.map(|limit| ("limit", limit.to_string())));
        Ok(self.connection.clone().hset_multiple::<_, _, _, ()>(key, &fields).await?)
    }

    async fn units(&self, sku: &str) -> anyhow::Result<Option<Units>> {
        let fields = ["on_hand", "available"];
        let units: Vec<Option<i64>> = self.connection.clone().hmget(format!("stock:{sku}"), &fields).await?;
        Ok(match units[..] {
            [Some(on_hand), Some(available)] => Some(Units::of(on_hand, available)),
            _ => None,
        })
    }
}

/// The order that an earlier request with the same key made.
fn known(record: &str, fingerprint: i64) -> anyhow::Result<Result<Placed, Refusal>> {
    let mut fields = record.split(' ');
    let mut field = || fields.next().context("a record of a key is cut short");
    let order = field()?.parse()?;
    if field()?.parse::<i64>()? != fingerprint {
        return Ok(Err(Refusal::KeyReused));
    }
    Ok(Ok(Placed { order, unit_price: field()?.parse()?, at_ms: field()?.parse()?, replayed: true }))
}
