//! The cluster as its customers see it: several doors to one shop. Whoever is not answered at one goes to the next, with the
//! same request.
//!
//! Invariant: every attempt ends up in the tally: answered, refused, broken off, or left unanswered; nothing is forgotten.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_api::load::{
    shop::{Answer, Shop},
    stopwatch::Stopwatch,
};
use holdfast_tests::counter::{Ask, Counter, is_answer, problem};
use serde::Serialize;
use tokio::time::{sleep, timeout};

/// How long a node that is neither stopped nor cut off may take to answer before something is wrong, on however slow a machine.
/// Its own limits are far shorter.
const ANSWERED_WITHIN: Duration = Duration::from_mins(3);
/// How long one waits at a door that is known to be shut.
const SHUT_PATIENCE: Duration = Duration::from_secs(3);
/// How often one looks whether the door at which one waits was shut.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long whoever was refused waits before the next attempt.
const PAUSE: Duration = Duration::from_millis(25);
/// How long all attempts of one request may take: longer than any fault lasts.
const AT_LAST: Duration = Duration::from_mins(6);

/// All doors.
pub struct Doors {
    all: RwLock<Vec<Arc<Door>>>,
    tally: Mutex<Tally>,
    clock: Stopwatch,
}

/// One of them: a node.
struct Door {
    shop: Shop,
    /// The test has stopped it, killed it or cut it off: that it does not answer is no fault of its own.
    is_shut: AtomicBool,
}

/// What became of all attempts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    /// Attempts that were answered.
    pub answered: u64,
    /// How long the slowest answer took, in milliseconds.
    pub slowest_ms: u64,
    /// How long each answer took, in milliseconds.
    #[serde(skip)]
    pub took_ms: Vec<u32>,
    /// Refusals that said to try again, by their reason.
    pub refused: BTreeMap<String, u64>,
    /// Connections that were refused or broke off, by the number of the node.
    pub broken: BTreeMap<usize, u64>,
    /// Attempts given up at a node that was stopped or cut off.
    pub given_up: u64,
    /// Attempts that a node in good health left unanswered, by its number.
    pub unanswered: BTreeMap<usize, u64>,
}

impl Doors {
    /// Doors to these nodes.
    pub fn new(shops: impl IntoIterator<Item = Shop>) -> Self {
        let doors = shops.into_iter().map(Door::open).collect();
        Self { all: RwLock::new(doors), tally: Mutex::default(), clock: Stopwatch::start() }
    }

    /// One more.
    pub fn add(&self, shop: Shop) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).push(Door::open(shop));
    }

    /// A node is stopped, killed or cut off from now on.
    pub fn shut(&self, index: usize) {
        self.mark(index, true);
    }

    /// A node is to answer again.
    pub fn reopen(&self, index: usize) {
        self.mark(index, false);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What became of all attempts so far.
    pub fn tally(&self) -> Tally {
        self.lock().clone()
    }

    /// Forgets all attempts so far, and returns them.
    pub fn begin_anew(&self) -> Tally {
        std::mem::take(&mut *self.lock())
    }

    /// Since when the doors are there: the clock of everything that is measured at them.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Asks once, at door `at`. None when there is no answer, or one that says to try again.
    ///
    /// # Errors
    /// When the node fails.
    pub async fn attempt(&self, at: usize, ask: &Ask) -> anyhow::Result<Option<Answer>> {
        let (index, door) = self.door(at)?;
        let watch = Stopwatch::start();
        let mut call = std::pin::pin!(ask.send(&door.shop));
        let (answer, was_shut) = loop {
            let is_shut = door.is_shut.load(Ordering::Relaxed);
            match timeout(LOOK_EVERY, &mut call).await {
                Ok(answer) => break (Some(answer), is_shut),
                Err(_) if is_shut && watch.elapsed() > SHUT_PATIENCE => break (None, true),
                Err(_) if watch.elapsed() > ANSWERED_WITHIN => break (None, is_shut),
                Err(_) => {}
            }
        };
        let took_ms = u64::try_from(watch.elapsed().as_millis())?;
        let mut tally = self.lock();
        match answer {
            None if was_shut => tally.given_up += 1,
            None => *tally.unanswered.entry(index).or_default() += 1,
            Some(Err(_)) => *tally.broken.entry(index).or_default() += 1,
            Some(Ok(answer)) if is_answer(&answer) => {
                if answer.status.is_server_error() {
                    bail!("{} {} was answered {}: {}", ask.method, ask.path, answer.status, answer.body);
                }
                tally.answered += 1;
                tally.slowest_ms = tally.slowest_ms.max(took_ms);
                tally.took_ms.push(u32::try_from(took_ms)?);
                return Ok(Some(answer));
            }
            Some(Ok(answer)) => *tally.refused.entry(reason(&answer)).or_default() += 1,
        }
        Ok(None)
    }

    fn door(&self, at: usize) -> anyhow::Result<(usize, Arc<Door>)> {
        let doors = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let index = at.checked_rem(doors.len()).context("no door")?;
        Ok((index, Arc::clone(&doors[index])))
    }

    fn mark(&self, index: usize, shut: bool) {
        if let Some(door) = self.all.read().unwrap_or_else(PoisonError::into_inner).get(index) {
            door.is_shut.store(shut, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    fn open(shop: Shop) -> Arc<Self> {
        Arc::new(Self { shop, is_shut: AtomicBool::new(false) })
    }
}

impl Counter for Doors {
    async fn ask(&self, at: &mut usize, ask: &Ask) -> anyhow::Result<Answer> {
        let watch = Stopwatch::start();
        while watch.elapsed() < AT_LAST {
            if let Some(answer) = self.attempt(*at, ask).await? {
                return Ok(answer);
            }
            *at = at.wrapping_add(1);
            sleep(PAUSE).await;
        }
        bail!("{} {} was not answered at any node for {AT_LAST:?}: {}", ask.method, ask.path, self.tally())
    }
}

impl Tally {
    /// Attempts that were refused, broke off or were left unanswered by a node in good health.
    pub fn failed(&self) -> u64 {
        let refused: u64 = self.refused.values().sum();
        refused + self.broken.values().sum::<u64>() + self.unanswered.values().sum::<u64>()
    }

    /// The time within which this share of all answers came, in milliseconds.
    pub fn within_ms(&self, per_cent: usize) -> u32 {
        let mut sorted = self.took_ms.clone();
        sorted.sort_unstable();
        let place = (sorted.len() * per_cent).div_ceil(100).saturating_sub(1);
        sorted.get(place).copied().unwrap_or(0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, high) = (self.within_ms(50), self.within_ms(99));
        write!(f, "{} answered (p50 {median}, p99 {high}, slowest {} ms)", self.answered, self.slowest_ms)?;
        write!(f, ", refused {:?}, broken off by node {:?}", self.refused, self.broken)?;
        write!(f, ", given up {}, unanswered {:?}", self.given_up, self.unanswered)
    }
}

/// What a refusal says, in words.
fn reason(answer: &Answer) -> String {
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    let kind = problem(answer);
    if detail.is_empty() { kind.to_owned() } else { format!("{kind}: {detail}") }
}
