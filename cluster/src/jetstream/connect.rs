//! Reaching the servers, and refusing those that would not keep the promise: too old to fence, too small for a batch,
//! without `JetStream`, or acknowledging before they have synced, where that can be seen.
//!
//! Invariant: a server that is not fit is refused at start with the reason; one that does not answer is passed over, as long
//! as another one does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, ServerInfo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    error::NatsError,
    settings::{NatsSettings, listed},
};

/// The oldest version whose expected sequences and direct batches were tried.
const OLDEST: (u64, u64) = (2, 11);
/// What a message takes besides its batch, in bytes: headers, generously.
const MESSAGE_OVERHEAD: u64 = 1_024;
/// The longest answer of a monitoring address that is read, in bytes.
const MONITOR_BYTES: u64 = 1 << 20;
/// Between two attempts of anything at start.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// Connects to the servers of `settings` and checks each that answers. `connected` follows the connection from then on.
pub(super) async fn connect(
    settings: &NatsSettings,
    batch_bytes: u64,
    connected: &Arc<AtomicBool>,
) -> Result<Client, NatsError> {
    let (client, addresses) = reach(settings, connected, std::convert::identity).await?;
    for address in &addresses {
        // One that is down is checked by nobody, until it is configured as the others are.
        let one = options(settings, &Arc::default()).await?.max_reconnects(1).connect(address);
        if let Ok(Ok(one)) = timeout(settings.attempt_timeout(), one).await {
            refuse_unfit(&one.server_info(), batch_bytes)?;
        }
    }
    refuse_unfit(&client.server_info(), batch_bytes)?;
    let monitors: Vec<_> = listed(&settings.monitors).collect();
    for monitor in &monitors {
        refuse_unsynced(monitor, settings.attempt_timeout()).await?;
    }
    if monitors.is_empty() {
        tracing::warn!("whether the NATS servers sync before they acknowledge is not checked: nats.monitors is empty");
    }
    Ok(client)
}

/// A connection of its own for what nodes ask each other: to the same servers, so that no batch of the journal holds up a
/// request. What arrives faster than it is looked at is dropped beyond `incoming`, and its sender sends it again.
///
/// # Errors
/// [`NatsError::Connect`] when none of the servers answers until the start's deadline.
pub async fn connect_link(settings: &NatsSettings, incoming: usize, unwritten: usize) -> Result<Client, NatsError> {
    let sized = |options: ConnectOptions| options.subscription_capacity(incoming).client_capacity(unwritten);
    reach(settings, &Arc::default(), sized).await.map(|(client, _)| client)
}

/// Connects to the first server that answers.
async fn reach(
    settings: &NatsSettings,
    connected: &Arc<AtomicBool>,
    sized: impl Fn(ConnectOptions) -> ConnectOptions,
) -> Result<(Client, Vec<ServerAddr>), NatsError> {
    let failed = |source| NatsError::Connect { url: settings.url.clone(), source };
    let addresses: Result<Vec<ServerAddr>, _> = listed(&settings.url).map(str::parse).collect();
    let addresses = addresses.map_err(|error| failed(error.into()))?;
    let until = Instant::now() + settings.start_deadline();
    loop {
        match sized(options(settings, connected).await?).connect(addresses.as_slice()).await {
            Ok(client) => return Ok((client, addresses)),
            Err(error) if Instant::now() + PAUSE > until => return Err(failed(error.into())),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn options(settings: &NatsSettings, connected: &Arc<AtomicBool>) -> Result<ConnectOptions, NatsError> {
    let flag = Arc::clone(connected);
    let mut options = ConnectOptions::new()
        .name("holdfast")
        .connection_timeout(settings.attempt_timeout())
        .request_timeout(Some(settings.attempt_timeout()))
        // A server that is stopped keeps its connections open: only an unanswered ping tells.
        .ping_interval(settings.attempt_timeout())
        .reconnect_delay_callback(|attempts| PAUSE.min(Duration::from_millis(20 * attempts as u64)))
        .event_callback(move |event| {
            match &event {
                Event::Connected => flag.store(true, Ordering::Release),
                Event::Disconnected | Event::Closed => flag.store(false, Ordering::Release),
                _ => {}
            }
            tracing::info!(%event, "NATS");
            async {}
        });
    if let Some(path) = &settings.credentials_file {
        options = options.credentials_file(path).await.map_err(|source| {
            let source = format!("{} (nats.credentials_file): {source}", path.display()).into();
            NatsError::Connect { url: settings.url.clone(), source }
        })?;
    }
    if let Some(path) = &settings.ca_file {
        options = options.add_root_certificates(path.clone());
    }
    Ok(options)
}

fn refuse_unfit(server: &ServerInfo, batch_bytes: u64) -> Result<(), NatsError> {
    let name = || server.server_name.clone();
    let mut numbers = server.version.split(['.', '-']).map_while(|number| number.parse::<u64>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST {
        return Err(NatsError::TooOld { server: name(), found: server.version.clone() });
    }
    if !server.jetstream {
        return Err(NatsError::NoJetStream);
    }
    let (found, needed) = (server.max_payload as u64, batch_bytes + MESSAGE_OVERHEAD);
    if found < needed {
        return Err(NatsError::Payload { server: name(), found, needed });
    }
    Ok(())
}

/// Asks a server's monitoring address whether every write is synced before it is acknowledged.
async fn refuse_unsynced(monitor: &str, limit: Duration) -> Result<(), NatsError> {
    let bad = |problem: String| NatsError::Monitor { monitor: monitor.to_owned(), problem };
    let answer = match timeout(limit, get(monitor)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            // As with the servers themselves: one that is down stops nobody.
            tracing::warn!(monitor, %error, "a NATS server's sync policy could not be asked");
            return Ok(());
        }
        Err(_) => return Err(bad("it does not answer".to_owned())),
    };
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let value: Value = serde_json::from_str(body).map_err(|error| bad(error.to_string()))?;
    let Some(config) = value.pointer("/jetstream/config") else {
        return Err(bad("it says nothing of JetStream".to_owned()));
    };
    if config.get("sync_always").and_then(Value::as_bool) == Some(true) {
        return Ok(());
    }
    let nanoseconds = config.get("sync_interval").and_then(Value::as_u64).unwrap_or_default();
    let found = format!("{:?}", Duration::from_nanos(nanoseconds));
    Err(NatsError::NotDurable { monitor: monitor.to_owned(), found })
}

async fn get(monitor: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(monitor).await?;
    let request = format!("GET /varz HTTP/1.0\r\nHost: {monitor}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MONITOR_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}
