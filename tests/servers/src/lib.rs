//! Real servers for tests, started by the tests themselves, so that nothing has to be running beforehand and no two tests
//! share anything.
//!
//! Read in this order: [`postgres`] is a PostgreSQL server, `standby` a second one that follows it, [`certificate`] what it
//! proves itself with over TLS; [`nats`] is a NATS server or a cluster of them, [`nats_proxy`] what loses and doubles on the
//! way there, [`namespace`] two networks whose connection is cut; [`redis`] is a Redis server; `programs` finds what is
//! installed, `account` is who it runs as, [`port`] where it listens, `processes` how it is stopped,
//! [`processor`] what it used.
//!
//! Invariant: a server listens on 127.0.0.1 only, keeps all it writes in a temporary folder of its own, and is gone, with
//! the folder, when its value is dropped or the test process ends, however that happens.
#![forbid(unsafe_code)]

mod account;
pub mod certificate;
pub mod namespace;
pub mod nats;
mod nats_program;
pub mod nats_proxy;
pub mod port;
pub mod postgres;
mod processes;
pub mod processor;
mod programs;
pub mod redis;
mod standby;

pub use certificate::TestAuthority;
pub use namespace::Partition;
pub use nats::{Nats, NatsOptions, Site};
pub use nats_program::find as nats_server;
pub use nats_proxy::{Mischief, NatsProxy};
pub use postgres::{Postgres, PostgresOptions};
pub use redis::{AppendFsync, Redis};
