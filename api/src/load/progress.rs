//! The line that shows a run while it lasts. It goes to standard error, and only if that is a terminal.

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinSet, time};

use super::{pace::Until, stopwatch::Stopwatch, tally::Ledger};

/// How often the line is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// A progress line; it goes when dropped.
pub struct Progress {
    bar: ProgressBar,
    _drawing: JoinSet<()>,
}

impl Progress {
    /// Shows `ledger` filling up under `title` until dropped. Must be called in a tokio runtime.
    pub fn show(title: &str, until: Until, ledger: Arc<Ledger>) -> Self {
        let length = match until {
            Until::Elapsed(duration) => u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            Until::Requests(requests) => requests,
        };
        let bar = ProgressBar::new(length).with_prefix(title.to_owned());
        bar.set_style(style());
        let mut drawing = JoinSet::new();
        drawing.spawn(draw(bar.clone(), until, ledger));
        Self { bar, _drawing: drawing }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The look of the line; the plain one should the template ever be wrong.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>12} [{bar:30}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

async fn draw(bar: ProgressBar, until: Until, ledger: Arc<Ledger>) {
    let watch = Stopwatch::start();
    let mut ticks = time::interval(REDRAW);
    loop {
        ticks.tick().await;
        let [sold, refused, shed, failed] = ledger.counts();
        bar.set_position(match until {
            Until::Elapsed(_) => u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX),
            Until::Requests(_) => sold.saturating_add(refused).saturating_add(shed).saturating_add(failed),
        });
        bar.set_message(format!("{sold} sold, {refused} refused, {shed} shed, {failed} errors"));
    }
}
