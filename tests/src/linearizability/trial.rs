//! Many histories, one after the other, every kind of trouble in turn; and what came of them.

use serde::Serialize;

use super::{
    checker::Check,
    dice::Dice,
    scenario::{SHORT_HOLD_MS, Trouble, play},
};
use crate::House;

/// Configurations one check may look at. A check of such a small history looks at a few thousand.
pub const CONFIGURATIONS: usize = 3_000_000;

/// A run of histories.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// The seed of the clients' choices.
    pub seed: u64,
    /// How many histories.
    pub histories: u64,
}

/// What came of a trial.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TrialReport {
    /// The seed.
    pub seed: u64,
    /// Histories recorded and checked.
    pub histories: u64,
    /// Operations in them.
    pub operations: usize,
    /// Operations without an answer among those.
    pub unanswered: usize,
    /// `kill -9` and restart in the middle of a history.
    pub kills: u64,
    /// Histories that no order of their operations explains.
    pub violations: u64,
    /// Histories the checker gave up on.
    pub undecided: u64,
    /// The first of either, in words.
    pub first_failure: Option<String>,
}

impl Trial {
    /// Plays and checks all histories. `progress` hears the report so far after each.
    ///
    /// # Errors
    /// When a server does not start, or answers something that no document allows.
    pub async fn run(self, mut progress: impl FnMut(&TrialReport)) -> anyhow::Result<TrialReport> {
        let mut house = House::open()?;
        let mut hasty = House::with_settings(&[("RUNTIME__HOLD_TTL_MS", &SHORT_HOLD_MS.to_string())])?;
        let mut report = TrialReport { seed: self.seed, ..TrialReport::default() };
        for (number, trouble) in (0..self.histories).zip(Trouble::ALL.into_iter().cycle()) {
            let house = if trouble == Trouble::ShortHolds { &mut hasty } else { &mut house };
            let history = play(house, trouble, Dice::new(self.seed).part(number)).await?;
            report.histories += 1;
            report.operations += history.records.len();
            report.unanswered += history.unanswered();
            report.kills += u64::from(trouble == Trouble::Kill);
            let failure = match history.check(CONFIGURATIONS) {
                Check::Linearizable => None,
                Check::Violation { explanation } => {
                    report.violations += 1;
                    Some(explanation)
                }
                Check::Undecided { configurations } => {
                    report.undecided += 1;
                    Some(format!("given up after {configurations} configurations"))
                }
            };
            let told = failure.map(|why| format!("seed {}, history {number} ({trouble:?}): {why}", self.seed));
            report.first_failure = report.first_failure.take().or(told);
            progress(&report);
        }
        Ok(report)
    }
}
