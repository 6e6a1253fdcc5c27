//! Who may write to a schema: one connection at a time, the one that holds the schema's lock.
//!
//! Invariant: whoever writes does so on the connection that holds the lock, so a writer that was cut off, paused or taken
//! over cannot commit: its transaction went with its lock. Nothing expires by a clock: the server lets the lock go when the
//! connection ends, which it notices at once when the process dies, and after [`SILENCE`] when its machine does.
//!
//! It is a lock of the session, so a pooler that lends one session to many clients must not stand in between.

use std::time::Duration;

use tokio_postgres::Client;

use super::error::PostgresError;

/// After about so long without an answer the server takes the machine at the other end for dead.
pub const SILENCE: Duration = Duration::from_secs(25);

/// Has the server look whether the holder is alive: after 10 s of silence, every 5 s, three times. A writer that stops in
/// the middle of a transaction is cut off as well.
const WATCHED: &str = "SET tcp_keepalives_idle TO 10; SET tcp_keepalives_interval TO 5; SET tcp_keepalives_count TO 3; \
     SET idle_in_transaction_session_timeout TO '25s'";

/// How often a taken lock is tried again.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Takes the lock of `schema` for this connection, for as long as it lives.
///
/// # Errors
/// [`PostgresError::InUse`] when another connection holds it.
pub async fn hold(client: &Client, schema: &str) -> Result<(), PostgresError> {
    let [first, second] = ["holdfast.writer", schema].map(key);
    let row = client.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&first, &second]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Err(PostgresError::InUse { schema: schema.to_owned() });
    }
    client.batch_execute(WATCHED).await?;
    Ok(())
}

/// As [`hold`], but waits up to `patience` for the holder to go.
///
/// # Errors
/// As [`hold`].
pub async fn await_hold(client: &Client, schema: &str, patience: Duration) -> Result<(), PostgresError> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        match hold(client, schema).await {
            Err(PostgresError::InUse { .. }) if tokio::time::Instant::now() < until => {
                tokio::time::sleep(TRY_EVERY).await;
            }
            held => return held,
        }
    }
}

fn key(text: &str) -> i32 {
    i32::from_ne_bytes(crc32c::crc32c(text.as_bytes()).to_ne_bytes())
}
