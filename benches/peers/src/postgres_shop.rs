//! The sale on PostgreSQL: one statement an order, prepared, over a pool of connections.
//!
//! The row of the SKU is locked from its update to the end of the commit's sync, so a hot SKU sells one order per sync
//! however many connections there are: that is the peer at its honest best, not `BEGIN` ... `COMMIT`, which is slower.

use anyhow::Context as _;
use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::{NoTls, Row, error::SqlState};

use crate::sale::{Placed, Product, Refusal, Stack, Units, Wanted};

const PLACE: &str = include_str!("place.sql");
const KNOWN: &str = "SELECT id, fingerprint, unit_price, placed_at_ms, true FROM orders WHERE key = $1";
const UNITS: &str = "SELECT on_hand, available, per_customer FROM stock WHERE sku = $1";

/// The shop on PostgreSQL.
#[derive(Clone)]
pub(crate) struct PostgresShop {
    pool: Pool,
}

/// Makes the tables.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

impl PostgresShop {
    /// Connects to the server at `url` with `connections` connections, whose tables are there.
    pub(crate) async fn connect(url: &str, password: &str, connections: usize) -> anyhow::Result<Self> {
        let mut config: tokio_postgres::Config = url.parse().context("not an address of PostgreSQL")?;
        config.password(password);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(config, NoTls, recycling)).max_size(connections).build()?;
        pool.get().await.context("cannot connect to PostgreSQL")?.prepare_cached(PLACE).await?;
        Ok(Self { pool })
    }

    /// The order that the key has made meanwhile, or `refusal`.
    async fn known_or(client: &Client, wanted: &Wanted, refusal: Refusal) -> anyhow::Result<Result<Placed, Refusal>> {
        let row = client.query_opt(&client.prepare_cached(KNOWN).await?, &[&wanted.key]).await?;
        Ok(row.map_or(Err(refusal), |row| read(&row, wanted.fingerprint)))
    }

    /// Why nothing came of an order: the statement found no row to sell from.
    async fn why(client: &Client, wanted: &Wanted) -> anyhow::Result<Refusal> {
        let row = client.query_opt(&client.prepare_cached(UNITS).await?, &[&wanted.sku]).await?;
        Ok(match row.map(|row| row.get::<_, Option<i64>>(2)) {
            None => Refusal::NoSuchSku,
            Some(Some(_)) if wanted.customer.is_none() => Refusal::CustomerRequired,
            Some(_) => Refusal::SoldOut,
        })
    }
}

impl Stack for PostgresShop {
    async fn place(&self, wanted: Wanted) -> anyhow::Result<Result<Placed, Refusal>> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(PLACE).await?;
        let quantity = i64::from(wanted.quantity);
        let Wanted { order, key, fingerprint, sku, customer, payment_token, placed_at_ms, .. } = &wanted;
        let placed = client
            .query_opt(&statement, &[order, key, fingerprint, sku, &quantity, customer, payment_token, placed_at_ms])
            .await;
        match placed {
            Ok(Some(row)) => Ok(read(&row, *fingerprint)),
            // Nothing was sold, or all that was is undone. A twin of this request may have been quicker.
            Ok(None) => Self::known_or(&client, &wanted, Self::why(&client, &wanted).await?).await,
            Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => {
                Self::known_or(&client, &wanted, Refusal::OverLimit).await
            }
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                Self::known_or(&client, &wanted, Refusal::KeyReused).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn put_up(&self, product: Product) -> anyhow::Result<()> {
        let client = self.pool.get().await?;
        let limit = product.sale.and_then(|sale| sale.per_customer_limit).map(i64::from);
        let units = i64::try_from(product.units)?;
        let insert = "INSERT INTO stock (sku, on_hand, available, price, per_customer) VALUES ($1, $2, $2, $3, $4)";
        let statement = client.prepare_cached(insert).await?;
        client.execute(&statement, &[&product.sku, &units, &product.price.amount_minor, &limit]).await?;
        Ok(())
    }

    async fn units(&self, sku: &str) -> anyhow::Result<Option<Units>> {
        let client = self.pool.get().await?;
        let row = client.query_opt(&client.prepare_cached(UNITS).await?, &[&sku]).await?;
        Ok(row.map(|row| Units::of(row.get(0), row.get(1))))
    }
}

/// The order of a row, unless its key was used for another request.
fn read(row: &Row, fingerprint: i64) -> Result<Placed, Refusal> {
    if row.get::<_, i64>(1) != fingerprint {
        return Err(Refusal::KeyReused);
    }
    Ok(Placed { order: row.get(0), unit_price: row.get(2), at_ms: row.get(3), replayed: row.get(4) })
}
