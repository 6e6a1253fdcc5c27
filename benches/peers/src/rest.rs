//! Rest between measurements: what a contender still has to do after one is not to fall into the next one's.
//!
//! Three things are waited for: that PostgreSQL beside it has caught up, that its processes have used no processor for a while, and
//! that the disk has written what it was given.

use std::{thread, time::Duration};

use anyhow::{Context as _, bail};
use holdfast_api::load::shop::Shop;
use holdfast_servers::processor;
use hyper::{Method, StatusCode};
use tokio::time::sleep;

use crate::contender::Contender;

/// A process is at rest once it uses less than so much processor time in one look: nodes and NATS servers tell each other that they live.
const AT_REST: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(300);
/// ... in so many looks one after the other: what is put off until a sale is over begins two seconds after its end.
const QUIET_LOOKS: usize = 8;
/// One that does not come to rest is not waited for longer than so many looks.
const LOOKS: usize = 400;
/// How long the disk rests before a measurement.
const DISK_REST: Duration = Duration::from_millis(500);
/// The records that have no rows in PostgreSQL yet.
const LAG: &str = "holdfast_projection_lag_records";

/// Waits for `contender`. The projection first: it rests for seconds after a sale, and its processes look idle meanwhile.
pub(crate) async fn wait_for(contender: &Contender) -> anyhow::Result<()> {
    if let Some(operators) = &contender.projecting {
        let mut looks = 0;
        while lag(operators).await? > 0.0 {
            looks += 1;
            if looks > LOOKS {
                bail!("its projection does not catch up");
            }
            sleep(LOOK).await;
        }
    }
    let processes = contender.processes.all();
    let at_rest = AT_REST.saturating_mul(u32::try_from(processes.len()).unwrap_or(u32::MAX));
    let (mut looks, mut quiet) = (0, 0);
    while looks < LOOKS && quiet < QUIET_LOOKS {
        let before = processor::used(&processes);
        sleep(LOOK).await;
        let is_quiet = processor::used(&processes).saturating_sub(before) < at_rest;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        looks += 1;
    }
    Ok(())
}

/// Lets the disk come to rest, so that nobody waits for what the one before has written.
pub(crate) fn settle_disk() {
    rustix::fs::sync();
    thread::sleep(DISK_REST);
}

async fn lag(operators: &Shop) -> anyhow::Result<f64> {
    let answer = operators.admin_call(Method::GET, "/metrics", None).await?.expect("/metrics", &[StatusCode::OK])?;
    let page = answer.body.as_str().context("the metrics are no text")?;
    sample(page, LAG).with_context(|| format!("the metrics have no {LAG}"))
}

/// The value of a gauge without labels.
fn sample(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_found_among_comments_and_longer_names() {
        let page = "# HELP a_lag x\n# TYPE a_lag gauge\na_lag_total 7\na_lag 12\n";
        assert_eq!(sample(page, "a_lag"), Some(12.0));
        assert_eq!(sample(page, "b_lag"), None);
    }
}
