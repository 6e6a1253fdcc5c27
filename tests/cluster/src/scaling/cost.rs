//! What it costs one node of a cluster at rest to hear a beat, and to look whether anything is to be done.

use std::{hint::black_box, time::Instant};

use anyhow::ensure;
use holdfast_cluster::{members::beat::Beat, plan::document::Revision};

use crate::case::{Case, NOW};

/// How often a node looks by itself, per second: as the reconciler does.
pub(crate) const TURNS_PER_S: f64 = 10.0;
/// Beats that are heard for the average, in number.
const BEATS: usize = 400;
/// Looks for the average, in number.
const TURNS: u32 = 20;

/// The costs, in seconds of one core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// To read a beat and take it in.
    pub(crate) hear_s: f64,
    /// One look at everything.
    pub(crate) turn_s: f64,
}

pub(crate) fn measure(case: &Case) -> anyhow::Result<Cost> {
    let mut knowledge = case.knowledge()?;
    let others = case.nodes - 1;
    let mut beats = Vec::new();
    for number in 0..BEATS {
        let (index, round) = (1 + number % others, 2 + number / others);
        beats.push(serde_json::to_vec(&case.beat(index, round as u64))?);
    }
    let began = Instant::now();
    for said in &beats {
        let beat: Beat = serde_json::from_slice(black_box(said))?;
        knowledge.hear(beat, NOW).map_err(|reason| anyhow::anyhow!("{reason}"))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "an average for people")]
    let hear_s = began.elapsed().as_secs_f64() / BEATS as f64;
    let revision = Revision { number: 1, plan: case.plan.clone() };
    let began = Instant::now();
    for _ in 0..TURNS {
        knowledge.notice(true, NOW);
        ensure!(knowledge.due(&revision, true, NOW).is_none(), "a cluster at rest plans nothing");
        ensure!(knowledge.steps(&revision.plan, true, NOW).is_empty(), "a cluster at rest takes no steps");
    }
    Ok(Cost { hear_s, turn_s: began.elapsed().as_secs_f64() / f64::from(TURNS) })
}
