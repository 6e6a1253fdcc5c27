//! Many histories, one after the other, every kind of trouble in turn; and what came of them.

use serde::Serialize;

use super::{
    checker::Check,
    history::History,
    scenario::{SHORT_HOLD_MS, Trouble, play, play_pair},
};
use crate::{House, dice::Dice};

/// Configurations one check may look at. A check of such a small history looks at a few thousand.
pub const CONFIGURATIONS: usize = 3_000_000;

/// The kinds of history, in the order in which a trial takes turns: what goes wrong, and whether orders have lines of two
/// SKUs.
const KINDS: [(Trouble, bool); 7] = [
    (Trouble::None, false),
    (Trouble::HangUps, false),
    (Trouble::Kill, false),
    (Trouble::ShortHolds, false),
    (Trouble::None, true),
    (Trouble::HangUps, true),
    (Trouble::Kill, true),
];

/// So many that two SKUs mostly live in two of them.
const MANY_SHARDS: (&str, &str) = ("STORE__SHARDS", "16");

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
    /// How many of them have orders over two SKUs.
    pub pairs: u64,
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
        let mut house = House::with_settings(&[MANY_SHARDS])?;
        let mut hasty = House::with_settings(&[MANY_SHARDS, ("RUNTIME__HOLD_TTL_MS", &SHORT_HOLD_MS.to_string())])?;
        let mut report = TrialReport { seed: self.seed, ..TrialReport::default() };
        for (number, (trouble, is_pair)) in (0..self.histories).zip(KINDS.into_iter().cycle()) {
            let house = if trouble == Trouble::ShortHolds { &mut hasty } else { &mut house };
            let dice = Dice::new(self.seed).part(number);
            let histories = if is_pair {
                play_pair(house, trouble, dice).await?.to_vec()
            } else {
                vec![play(house, trouble, dice).await?]
            };
            report.histories += 1;
            report.pairs += u64::from(is_pair);
            report.kills += u64::from(trouble == Trouble::Kill);
            for history in histories {
                let name = format!("seed {}, history {number} ({trouble:?}, pair: {is_pair})", self.seed);
                report.judge(&history, &name);
            }
            progress(&report);
        }
        Ok(report)
    }
}

impl TrialReport {
    fn judge(&mut self, history: &History, name: &str) {
        self.operations += history.records.len();
        self.unanswered += history.unanswered();
        let failure = match history.check(CONFIGURATIONS) {
            Check::Linearizable => return,
            Check::Violation { explanation } => {
                self.violations += 1;
                explanation
            }
            Check::Undecided { configurations } => {
                self.undecided += 1;
                format!("given up after {configurations} configurations")
            }
        };
        self.first_failure.get_or_insert_with(|| format!("{name}: {failure}"));
    }
}
