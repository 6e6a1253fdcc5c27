//! What needs a real PostgreSQL: connections, time-outs, TLS, migrations and roles, on servers the tests start themselves.
//! `cargo xtask test postgres` runs this group and installs PostgreSQL where it is missing.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it")]

mod connections;
mod databases;
mod migrations;
mod recovery;
mod roles;
mod tls;

use std::time::Duration;

use holdfast_persistence::{
    StoreId,
    postgres::{PostgresError, PostgresSettings, PostgresUrl, StoreIdentity, TlsMode},
};
use holdfast_servers::Postgres;

/// Settings for an address without TLS.
fn settings(url: &str) -> PostgresSettings {
    PostgresSettings {
        url: Some(PostgresUrl::try_from(url.to_owned()).unwrap()),
        tls: TlsMode::Off,
        retry_ms: 50,
        // A slow machine is no reason to fail; tests of a time-out set their own.
        connect_timeout_ms: 100_000,
        ..PostgresSettings::default()
    }
}

/// Settings for a server of the tests.
fn settings_of(server: &Postgres) -> PostgresSettings {
    settings(&server.url())
}

/// A store's identity, told apart by one byte.
fn identity(store: u8) -> StoreIdentity {
    StoreIdentity { store: StoreId::from_bytes([store; 16]), shards: 16 }
}

/// An error with its causes.
fn causes(error: &PostgresError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Longer than anything takes on a slow machine: what waits so long hangs.
const HANGS: Duration = Duration::from_mins(2);
