//! Journal batches and fsyncs, read from the server's metrics. They count from the start of a process, so they are read
//! before every kill and added up.

use hyper::Method;
use serde_json::Value;

use crate::load::{
    server_process::Ready,
    shop::{Shop, ShopError},
    target::Target,
};

/// What the journal did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct JournalWork {
    /// Batches made durable.
    pub(super) batches: u64,
    /// Syncs that made them so.
    pub(super) fsyncs: u64,
}

impl JournalWork {
    /// What the server's journal did since its process started.
    pub(super) async fn read(ready: &Ready, admin_token: &str) -> Result<Self, ShopError> {
        let Some(admin) = ready.admin else { return Ok(Self::default()) };
        let operators = Shop::new(Target::from(admin), Some(admin_token.to_owned()));
        let answer = operators.admin_call(Method::GET, "/metrics", None).await?;
        let text = if let Value::String(text) = &answer.body { text.as_str() } else { "" };
        Ok(Self::parse(text))
    }

    fn parse(metrics: &str) -> Self {
        let counter = |name: &str| {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
        };
        Self { batches: counter("holdfast_journal_batches_total"), fsyncs: counter("holdfast_journal_syncs_total") }
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { batches: self.batches.saturating_add(other.batches), fsyncs: self.fsyncs.saturating_add(other.fsyncs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_among_the_metrics() {
        let text = "# TYPE holdfast_journal_batches_total counter\nholdfast_journal_batches_total 12\n\
                    holdfast_journal_syncs_total 7\n";
        assert_eq!(JournalWork::parse(text), JournalWork { batches: 12, fsyncs: 7 });
    }
}
