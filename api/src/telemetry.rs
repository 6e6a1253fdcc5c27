//! Logs and metrics. The one place that installs a subscriber and a recorder.
//!
//! Logs say what an operator acts on; a request is logged at `debug` only, because in a sale the log would be the
//! slowest part of the answer. Tokens are never logged: spans hold a request's method, path and id, nothing else.

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, OnceLock},
    time::Duration,
};

use holdfast_actors::Node;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, util::SubscriberInitExt as _};

use crate::settings::{LogFormat, LogSettings};

/// The target of audit lines: who asked an operator's call, and what came of it.
pub(crate) const AUDIT: &str = "audit";

/// The upper bounds of duration histograms, in seconds.
const SECONDS: [f64; 16] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The upper bounds of histograms of counts and sizes.
const AMOUNTS: [f64; 14] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 4_096.0, 65_536.0, 1_048_576.0];

/// How often samples are folded into histograms; between two times every sample takes 8 bytes.
const UPKEEP: Duration = Duration::from_secs(1);

/// Logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not readable.
    #[error("log.filter {filter:?} cannot be read")]
    Filter {
        /// The filter given.
        filter: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// Another subscriber is installed.
    #[error("logging is set up already")]
    Subscriber(#[from] tracing_subscriber::util::TryInitError),
    /// The recorder cannot be installed.
    #[error("metrics cannot be set up")]
    Recorder(#[from] Arc<BuildError>),
}

/// Sends logs to standard error, as the settings say. Once per process.
///
/// # Errors
/// [`TelemetryError`] for a filter that cannot be read, or when it was done before.
pub fn init_logging(settings: &LogSettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(with_audit(&settings.filter))
        .map_err(|source| TelemetryError::Filter { filter: settings.filter.clone(), source })?;
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Colors are for a terminal; in a file or a pipe they are noise that nothing can search. On a terminal NO_COLOR counts.
    let lines = if io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    match settings.format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// What operators do is logged whatever else is: only a filter that names the target turns it down.
fn with_audit(filter: &str) -> String {
    match filter.trim() {
        named if named.contains(AUDIT) => named.to_owned(),
        // What an empty filter means to the library.
        "" => format!("error,{AUDIT}=info"),
        others => format!("{others},{AUDIT}=info"),
    }
}

/// Says what the edge's metrics mean, for whoever reads `/metrics`.
fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    histogram!("holdfast_http_request_seconds", "From the end of a request's head to the start of its answer");
    counter!("holdfast_http_problems_total", "Problems answered, by the last part of their type");
    gauge!("holdfast_http_connections", "Open connections");
    counter!("holdfast_http_connections_refused_total", "Connections refused above limits.connections");
    counter!("holdfast_http_connections_cut_total", "Connections cut, by the deadline that passed");
    gauge!("holdfast_shard_mailbox_depth", "Requests that wait for or are in a shard");
    gauge!("holdfast_shard_live_entities", "Entities in memory");
    gauge!("holdfast_shard_cold_entities", "Entities known by their snapshot only");
    gauge!("holdfast_shard_quarantined_entities", "Entities out of service after repeated panics");
    gauge!("holdfast_shard_pursuits", "Orders that wait for stock elsewhere or for the gateway");
    gauge!("holdfast_shard_journal_sequence", "The last record of a shard");
    gauge!("holdfast_shard_snapshot_watermark", "Every record up to here is in snapshots");
    counter!("holdfast_journal_batches_total", "Batches made durable");
    gauge!("holdfast_journal_segments", "Journal segments, the one being written included");
    counter!(
        "holdfast_journal_purged_segments_total",
        "Segments deleted because store.journal.retain_bytes was passed"
    );
    counter!("holdfast_journal_purged_bytes_total", "Bytes of deleted segments");
    counter!(
        "holdfast_journal_purge_failures_total",
        "Purges that failed: a journal in the data folder then deletes nothing until a restart"
    );
    counter!("holdfast_archive_editions_total", "Times a shard's snapshots were archived in NATS");
    counter!("holdfast_archive_bytes_total", "Bytes written then");
    counter!("holdfast_archive_failures_total", "Attempts that failed: the streams keep what the archive lacks");
    gauge!("holdfast_projection_lag_records", "Durable journal records that have no rows in PostgreSQL yet");
    gauge!("holdfast_projection_lag_seconds", "For how long the oldest of these has been waiting");
    counter!("holdfast_projection_records_total", "Journal records projected into PostgreSQL");
    counter!("holdfast_projection_rows_total", "Rows written to PostgreSQL");
    counter!("holdfast_projection_batches_total", "Transactions that wrote them");
    counter!("holdfast_projection_failures_total", "Attempts that failed and were begun again from the watermark");
    histogram!("holdfast_projection_batch_seconds", "From the first look at a batch's records to its COMMIT");
    gauge!("holdfast_products", "Products in the catalog");
    gauge!("holdfast_orders", "Orders in every status");
    gauge!("holdfast_units", "Units of all SKUs by where they are: held, allocated, available, fulfilled");
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Telemetry(PrometheusHandle);

impl Telemetry {
    /// The process's recorder, installed at the first call.
    ///
    /// # Errors
    /// [`TelemetryError::Recorder`] when another recorder is installed.
    pub fn install() -> Result<Self, TelemetryError> {
        static RECORDER: OnceLock<Result<PrometheusHandle, Arc<BuildError>>> = OnceLock::new();
        let installed = RECORDER.get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
                .set_buckets(&AMOUNTS)?;
            let recorder = builder.install_recorder()?;
            describe();
            Ok(recorder)
        });
        Ok(Self(installed.clone()?))
    }

    /// Folds samples into histograms until dropped: without it they pile up.
    pub(crate) async fn upkeep(self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }

    /// Brings the gauges up to date that nobody moves by itself.
    pub(crate) fn observe(node: &Node) {
        for report in node.shards() {
            let labels = [("shard", report.shard.0.to_string())];
            let gauge = |name: &'static str, value: u64| {
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 is enough for all of these")]
                metrics::gauge!(name, &labels).set(value as f64);
            };
            gauge("holdfast_shard_mailbox_depth", report.mailbox_depth as u64);
            gauge("holdfast_shard_live_entities", report.figures.live as u64);
            gauge("holdfast_shard_cold_entities", report.figures.cold as u64);
            gauge("holdfast_shard_quarantined_entities", report.figures.quarantined as u64);
            gauge("holdfast_shard_pursuits", report.figures.pursuits as u64);
            gauge("holdfast_shard_journal_sequence", report.figures.sequence);
            gauge("holdfast_shard_snapshot_watermark", report.figures.watermark);
        }
        let stats = node.journal().stats();
        metrics::counter!("holdfast_journal_batches_total").absolute(stats.batches);
        metrics::counter!("holdfast_journal_purged_segments_total").absolute(stats.purged_segments);
        metrics::counter!("holdfast_journal_purged_bytes_total").absolute(stats.purged_bytes);
        metrics::gauge!("holdfast_journal_segments").set(u32::try_from(stats.segments).unwrap_or(u32::MAX));
        let views = node.commerce().views();
        metrics::gauge!("holdfast_products").set(u32::try_from(views.product_count()).unwrap_or(u32::MAX));
        metrics::gauge!("holdfast_orders").set(u32::try_from(views.order_count()).unwrap_or(u32::MAX));
        let units = views.total_units();
        for (state, count) in [
            ("held", units.held),
            ("allocated", units.allocated),
            ("available", units.available()),
            ("fulfilled", units.fulfilled),
        ] {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge is a float; units beyond 2^53 lose the last digit"
            )]
            metrics::gauge!("holdfast_units", "state" => state).set(count as f64);
        }
    }

    /// All metrics in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }
}
