//! Makes connections: host after host, until one takes writes.
//!
//! Invariant: a host that is dead, frozen or read-only costs at most `connect_timeout_ms`, then the next one is tried. A
//! connection is handed out with its schema and its time-outs set, never half made.
//!
//! The client library tries several hosts by itself, but bounds only the time to reach a host's socket: a frozen server, whose
//! kernel still takes connections, would hold it for ever. So each host is tried alone here, as a whole, under one deadline.

use std::{future::Future, path::PathBuf, time::Duration};

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    error::{ConnectError, PostgresError},
    settings::{PostgresSettings, TlsMode},
    tls,
};

/// What the server's views and logs call these connections.
const APPLICATION: &str = "holdfast";

/// Makes connections to one database.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    password_file: Option<PathBuf>,
    schema: String,
    connect_timeout: Duration,
    statement_timeout: Duration,
    lock_timeout: Duration,
}

/// What a connection is made of: the client, and the task that moves its bytes.
type Made = (Client, JoinHandle<()>);

impl Connector {
    /// A connector for these settings. Nothing is connected to yet.
    ///
    /// # Errors
    /// When a setting makes no sense, or `ca_file` cannot be read.
    pub fn new(settings: &PostgresSettings) -> Result<Self, PostgresError> {
        let Some(mut config) = client_config(settings)? else {
            return Err(PostgresError::setting("url", "is not set"));
        };
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        config.application_name(APPLICATION).target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = match settings.tls {
            TlsMode::Verify => {
                config.ssl_mode(SslMode::Require);
                Some(tls::verified(settings.ca_file.as_deref())?)
            }
            TlsMode::Off => {
                config.ssl_mode(SslMode::Disable);
                None
            }
        };
        Ok(Self {
            config,
            tls,
            password_file: settings.password_file.clone(),
            schema: settings.schema.clone(),
            connect_timeout,
            statement_timeout: Duration::from_millis(settings.statement_timeout_ms),
            lock_timeout: Duration::from_millis(settings.lock_timeout_ms),
        })
    }

    /// Checks what can be checked of the address without reading a file.
    pub(super) fn check(settings: &PostgresSettings) -> Result<(), PostgresError> {
        client_config(settings).map(drop)
    }

    /// The schema its connections work in.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The same connector for another schema of the same database.
    #[must_use]
    pub fn with_schema(&self, schema: &str) -> Self {
        Self { schema: schema.to_owned(), ..self.clone() }
    }

    /// The longest a statement may take.
    pub fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// A connection of its own, outside of any pool; it ends when the client is dropped.
    ///
    /// # Errors
    /// [`PostgresError::Connect`] when no host takes it.
    pub async fn connect(&self) -> Result<Client, PostgresError> {
        let made = self.first_host().await;
        made.map(|(client, _)| client).map_err(|source| PostgresError::Connect { hosts: self.hosts(), source })
    }

    /// The hosts of the address, with their ports.
    pub(super) fn hosts(&self) -> String {
        let all = (0..self.config.get_hosts().len()).map(|index| self.name(index));
        all.collect::<Vec<_>>().join(", ")
    }

    /// The first host that takes writes.
    pub(super) async fn first_host(&self) -> Result<Made, ConnectError> {
        let password = self.password().await?;
        let mut last = ConnectError::NoHost;
        for index in 0..self.config.get_hosts().len() {
            match timeout(self.connect_timeout, self.host(index, password.as_deref())).await {
                Ok(Ok(made)) => return Ok(made),
                Ok(Err(source)) => last = ConnectError::Refused { host: self.name(index), source },
                Err(_) => last = ConnectError::TimedOut { host: self.name(index), waited: self.connect_timeout },
            }
            tracing::debug!(error = &last as &dyn std::error::Error, "a PostgreSQL host did not take the connection");
        }
        Err(last)
    }

    /// One host, up to a connection that is ready for statements.
    async fn host(&self, index: usize, password: Option<&str>) -> Result<Made, tokio_postgres::Error> {
        let mut config = self.only(index);
        if let Some(password) = password {
            config.password(password);
        }
        let is_socket = matches!(config.get_hosts().first(), Some(Host::Unix(_)));
        let (client, task) = match &self.tls {
            Some(tls) if !is_socket => {
                let (client, connection) = config.connect(tls.clone()).await?;
                (client, drive(connection))
            }
            _ => {
                config.ssl_mode(SslMode::Disable);
                let (client, connection) = config.connect(NoTls).await?;
                (client, drive(connection))
            }
        };
        client.batch_execute(&self.session()).await?;
        Ok((client, task))
    }

    /// What every connection begins with. The schema's name needs no quoting: the settings see to that. The server looks every
    /// second whether whoever asked is still there, so that a question nobody waits for any more does not go on.
    fn session(&self) -> String {
        format!(
            "SET search_path TO {}; SET statement_timeout TO {}; SET lock_timeout TO {}; SET timezone TO 'UTC'; \
             SET client_min_messages TO warning; SET client_connection_check_interval TO 1000",
            self.schema,
            self.statement_timeout.as_millis(),
            self.lock_timeout.as_millis()
        )
    }

    /// The address with one of its hosts only.
    fn only(&self, index: usize) -> Config {
        let mut only = Config::new();
        let all = &self.config;
        only.application_name(APPLICATION).target_session_attrs(all.get_target_session_attrs());
        only.ssl_mode(all.get_ssl_mode()).channel_binding(all.get_channel_binding());
        // A name may stand for two addresses, and the first may be dead.
        only.connect_timeout(self.connect_timeout / 2).tcp_user_timeout(self.statement_timeout);
        only.keepalives(all.get_keepalives()).keepalives_idle(all.get_keepalives_idle());
        if let Some(user) = all.get_user() {
            only.user(user);
        }
        if let Some(password) = all.get_password() {
            only.password(password);
        }
        if let Some(name) = all.get_dbname() {
            only.dbname(name);
        }
        if let Some(options) = all.get_options() {
            only.options(options);
        }
        match all.get_hosts().get(index) {
            Some(Host::Tcp(name)) => only.host(name.clone()),
            Some(Host::Unix(folder)) => only.host_path(folder),
            None => &mut only,
        };
        if let Some(address) = all.get_hostaddrs().get(index) {
            only.hostaddr(*address);
        }
        only.port(self.port(index));
        only
    }

    fn port(&self, index: usize) -> u16 {
        let ports = self.config.get_ports();
        ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5_432)
    }

    fn name(&self, index: usize) -> String {
        match self.config.get_hosts().get(index) {
            Some(Host::Tcp(name)) => format!("{name}:{}", self.port(index)),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => String::new(),
        }
    }

    async fn password(&self) -> Result<Option<String>, ConnectError> {
        let Some(path) = &self.password_file else { return Ok(None) };
        match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(source) => Err(ConnectError::Password { path: path.clone(), source }),
        }
    }
}

/// What the client library makes of the address, checked; `None` without one.
fn client_config(settings: &PostgresSettings) -> Result<Option<Config>, PostgresError> {
    let Some(url) = &settings.url else { return Ok(None) };
    let (address, query) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
    if query.contains('@') {
        return Err(PostgresError::setting(
            "url",
            "has an @ behind a question mark: write special characters as %40, %3F",
        ));
    }
    let mode = query.split('&').find_map(|option| option.strip_prefix("sslmode="));
    check_mode(mode, settings.tls)?;
    let others: Vec<_> = query.split('&').filter(|option| !option.starts_with("sslmode=")).collect();
    let parsed = format!("{address}?{}", others.join("&")).parse::<Config>();
    let config = parsed.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        PostgresError::setting("url", format!("cannot be read{}", cause.unwrap_or_default()))
    })?;
    if config.get_hosts().is_empty() {
        return Err(PostgresError::setting("url", "names no host"));
    }
    if config.get_user().is_none() {
        return Err(PostgresError::setting("url", "names no user"));
    }
    if config.get_ports().len() > 1 && config.get_ports().len() != config.get_hosts().len() {
        return Err(PostgresError::setting("url", "names another number of ports than of hosts"));
    }
    Ok(Some(config))
}

/// An address often says how it wants TLS. More than it asks for is no contradiction, less is.
fn check_mode(mode: Option<&str>, tls: TlsMode) -> Result<(), PostgresError> {
    match (mode, tls) {
        (Some("disable"), TlsMode::Verify) => Err(PostgresError::setting(
            "tls",
            "postgres.url says sslmode=disable: set postgres.tls = \"off\" if you mean it",
        )),
        (Some("require" | "verify-ca" | "verify-full"), TlsMode::Off) => {
            Err(PostgresError::setting("tls", "is \"off\", but postgres.url asks for TLS (sslmode)"))
        }
        _ => Ok(()),
    }
}

/// Moves a connection's bytes until it ends. Aborting the task closes the connection.
#[expect(
    clippy::disallowed_methods,
    reason = "the task ends with its client: the library closes it when the client is dropped"
)]
fn drive<F>(connection: F) -> JoinHandle<()>
where
    F: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection to PostgreSQL ended");
        }
    })
}
