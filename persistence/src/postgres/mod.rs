//! PostgreSQL: where the journal is followed to, for people and for a node whose disk is empty. Everything here may be slow,
//! down or gone without a buyer noticing.
//!
//! Read in this order: [`settings`] is what an operator can set; `url` is the address with a password nobody sees; `tls`
//! and [`connect`] make connections; [`pool`] lends them out; [`migrate`] makes the schema and refuses a strange one;
//! [`database`] puts it together and gets a database ready in the background; [`projection`] follows the journal
//! into it, and [`tenure`] sees to it that only one does. `snapshots` reads what it wrote (`stored` puts its parts together), and `replica` restores a data
//! directory from that. `orders` searches the orders.
//!
//! Invariants: all SQL of the product is in this module and in `persistence/migrations`. Every wait has an end: to connect,
//! to be lent a connection, and for a statement, each a named setting. The checkout path calls nothing here.

pub mod connect;
pub mod database;
pub mod error;
pub mod migrate;
mod orders;
pub mod pool;
pub mod projection;
mod replica;
pub mod settings;
mod snapshots;
mod stored;
pub mod tenure;
mod tls;
mod url;

pub use connect::Connector;
pub use database::{Database, Standing, StoreIdentity};
pub use error::PostgresError;
pub use migrate::{AppliedMigration, MigrationState, MigrationStatus};
pub use pool::{Connection, Pool};
pub use replica::PostgresReplica;
pub use settings::{PostgresSettings, TlsMode};
pub use snapshots::PostgresSnapshots;
pub use url::PostgresUrl;
