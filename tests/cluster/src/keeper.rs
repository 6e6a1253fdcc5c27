//! A client that keeps what it read with its tag, asks any node whether that still holds, and changes it only if it does
//! (RFC 9110, section 13).
//!
//! Invariant: every answer is held to the rules, whichever node gave it: a tag names one state and no other, and 304 is
//! answered to the current tag only.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_tests::wire::{Call, Received};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    house::ClusterHouse,
    stage::{LOOK_EVERY, PATIENCE},
};

/// How long one attempt may take. Every limit of a node is shorter.
const ATTEMPT: Duration = Duration::from_secs(30);
/// No node is away.
const NOBODY: usize = usize::MAX;

/// What it keeps, and where it asks.
pub struct Keeper {
    nodes: Vec<SocketAddr>,
    token: String,
    /// What each tag of each page stood for.
    states: Mutex<BTreeMap<(String, String), Value>>,
    /// A node that is killed or stands still: nothing is changed there.
    away: AtomicUsize,
    /// How often each node showed a state, and how often it said that it was known.
    answers: Mutex<BTreeMap<usize, (u64, u64)>>,
}

/// What a node showed of a page.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its tag.
    pub tag: String,
    /// Whether it was known: 304.
    pub is_known: bool,
    /// What the tag stands for.
    pub body: Value,
}

impl Shown {
    /// The version of the part that this letter names.
    ///
    /// # Errors
    /// When the tag has none.
    pub fn version(&self, letter: char) -> anyhow::Result<u64> {
        version(&self.tag, letter)
    }
}

/// The version of the part of a tag that this letter names.
///
/// # Errors
/// When the tag has none.
pub fn version(tag: &str, letter: char) -> anyhow::Result<u64> {
    let mut parts = tag.trim_matches('"').split('-');
    let version = parts.find_map(|part| part.strip_prefix(letter)?.parse().ok());
    version.with_context(|| format!("no {letter} in the tag {tag}"))
}

/// The tag of an answer.
///
/// # Errors
/// When it has none.
pub fn tag_of(answer: &Received) -> anyhow::Result<String> {
    Ok(answer.header("etag").with_context(|| format!("no tag in {answer:?}"))?.to_owned())
}

impl Keeper {
    /// One with the operator's token, at the nodes of a house.
    pub fn of(house: &ClusterHouse) -> Self {
        let shops: Vec<_> = (0..house.count()).map(|index| house.shop(index)).collect();
        Self {
            nodes: shops.iter().map(|shop| shop.target().address()).collect(),
            token: shops.first().and_then(|shop| shop.admin_token()).unwrap_or_default().to_owned(),
            states: Mutex::default(),
            away: AtomicUsize::new(NOBODY),
            answers: Mutex::default(),
        }
    }

    /// Where a node is.
    pub fn address(&self, at: usize) -> SocketAddr {
        self.nodes[at % self.nodes.len()]
    }

    /// Changes nothing at this node any more.
    pub fn avoid(&self, at: usize) {
        self.away.store(at, Ordering::Relaxed);
    }

    /// Changes things at every node again.
    pub fn avoid_nobody(&self) {
        self.away.store(NOBODY, Ordering::Relaxed);
    }

    /// `at`, or the node after it if that one is away.
    pub fn here_or_next(&self, at: usize) -> usize {
        let at = at % self.nodes.len();
        if at == self.away.load(Ordering::Relaxed) { (at + 1) % self.nodes.len() } else { at }
    }

    /// A call with the operator's token.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(method, path).bearer(&self.token)
    }

    /// An adjustment of the stock of the product at `path`.
    pub fn adjustment(&self, path: &str, delta: i64) -> Call {
        let body = json!({ "delta": delta, "reason": "a change that is looked for" });
        self.call("POST", &format!("{path}/stock-adjustments")).json(&body)
    }

    /// Asks a node once. None when it is not there, breaks off, or cannot say now.
    ///
    /// # Errors
    /// When it leaves the question unanswered, or fails.
    pub async fn attempt(&self, at: usize, call: &Call) -> anyhow::Result<Option<Received>> {
        let answer = timeout(ATTEMPT, call.send(self.address(at))).await;
        let Ok(answer) = answer.with_context(|| format!("{call:?} was not answered"))? else { return Ok(None) };
        ensure!(answer.status < 500 || answer.status == 503, "{call:?} was answered {answer:?}");
        Ok((answer.status != 503).then_some(answer))
    }

    /// Asks a node until it can say.
    ///
    /// # Errors
    /// When it never can.
    pub async fn ask(&self, at: usize, call: &Call) -> anyhow::Result<Received> {
        let watch = Stopwatch::start();
        while watch.elapsed() < PATIENCE {
            if let Some(answer) = self.attempt(at, call).await? {
                return Ok(answer);
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("{call:?} was not answered at node {at} for {PATIENCE:?}")
    }

    /// Asks a node for a change that nobody else makes, until it is made. One who was not told what became of an attempt may
    /// find that it had worked.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn change(&self, at: usize, call: &Call) -> anyhow::Result<()> {
        let (watch, mut is_unknown) = (Stopwatch::start(), false);
        while watch.elapsed() < PATIENCE {
            match self.attempt(at, call).await? {
                Some(answer) if answer.status == 200 || (answer.status == 412 && is_unknown) => return Ok(()),
                Some(answer) => bail!("{call:?} at node {at} was answered {answer:?}"),
                None => is_unknown = true,
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("{call:?} was not answered at node {at} for {PATIENCE:?}")
    }

    /// Reads a page at a node that can say; `known` is what was kept of it.
    ///
    /// # Errors
    /// When a rule is broken.
    pub async fn read(&self, at: usize, path: &str, known: Option<&str>) -> anyhow::Result<Shown> {
        let answer = self.ask(at, &self.question(path, known)).await?;
        self.judge(at, path, known, &answer)
    }

    /// The same, asked once. None when the node is not there, or cannot say now.
    ///
    /// # Errors
    /// When a rule is broken.
    pub async fn look(&self, at: usize, path: &str, known: Option<&str>) -> anyhow::Result<Option<Shown>> {
        let answer = self.attempt(at, &self.question(path, known)).await?;
        answer.map(|answer| self.judge(at, path, known, &answer)).transpose()
    }

    /// Looks at every node at once: none shows less than this version of a part, and none takes what the page was before
    /// for what it is. How many showed it.
    ///
    /// # Errors
    /// When one does, or another rule is broken.
    pub async fn nowhere_older(&self, path: &str, old: &str, part: char, least: u64) -> anyhow::Result<usize> {
        let looks = (0..self.nodes.len()).map(|at| async move {
            let Some(first) = self.look(at, path, Some(old)).await? else { return Ok(0) };
            let shown = first.version(part)?;
            ensure!(shown >= least, "{path} at node {at}: version {shown}, but {least} was acknowledged before");
            if let Some(again) = self.look(at, path, Some(&first.tag)).await? {
                ensure!(again.version(part)? >= shown, "{path} at node {at}: {} after {}", again.tag, first.tag);
            }
            anyhow::Ok(1)
        });
        Ok(try_join_all(looks).await?.into_iter().sum())
    }

    /// How often each node showed a state, and how often it said that it was known.
    pub fn answers(&self) -> BTreeMap<usize, (u64, u64)> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn question(&self, path: &str, known: Option<&str>) -> Call {
        let call = self.call("GET", path);
        known.map_or(call.clone(), |tag| call.header("if-none-match", tag))
    }

    fn judge(&self, at: usize, path: &str, known: Option<&str>, answer: &Received) -> anyhow::Result<Shown> {
        let tag = tag_of(answer)?;
        let is_known = answer.status == 304;
        ensure!(is_known || answer.status == 200, "{path} was answered {answer:?}");
        ensure!(is_known == (known == Some(&tag)), "{known:?} was known, and node {at} answered {answer:?}");
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (path.to_owned(), tag.clone());
        let body = if is_known {
            ensure!(answer.body == Value::Null, "a body that is known was sent: {answer:?}");
            states.get(&place).cloned().unwrap_or_default()
        } else {
            let before = states.entry(place).or_insert_with(|| answer.body.clone());
            ensure!(*before == answer.body, "{tag} of {path} is {before} and, at node {at}, {}", answer.body);
            answer.body.clone()
        };
        drop(states);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (shown, known) = answers.entry(at).or_default();
        *if is_known { known } else { shown } += 1;
        Ok(Shown { tag, is_known, body })
    }
}
