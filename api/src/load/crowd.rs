//! A crowd: so many connections, each asking for its next turn, sending, and booking the answer.
//!
//! Invariant: when [`run`] returns, every issued request is in the ledger, answered or failed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};
use tokio::{task::JoinSet, time};

use super::{
    connection::{Connection, ConnectionError},
    pace::{Pace, Turn, Until},
    tally::{Ledger, Verdict},
};

/// How long a connection waits before it tries again to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What one connection of the crowd sends, and what it makes of the answers.
pub trait Shopper: Send + 'static {
    /// The request with this number. Asked again with the same number, it must give the same request.
    fn request(&mut self, number: u64) -> Request<Full<Bytes>>;
    /// What the answer means.
    fn judge(&mut self, number: u64, status: StatusCode, body: &[u8]) -> Verdict;
}

/// What happens to a request that got no answer, or a 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It counts as failed or shed; the connection goes on with the next one.
    None,
    /// It is sent again, the same key and body, until it is answered otherwise.
    Retries,
}

/// The shape of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Where to connect.
    pub address: SocketAddr,
    /// How many connections, each with one request at a time.
    pub connections: usize,
    /// When it is over.
    pub until: Until,
    /// Requests per second in an open loop; none for a closed loop. Needs [`Until::Elapsed`].
    pub rate: Option<f64>,
    /// What happens to unanswered requests.
    pub patience: Patience,
    /// How long answers are waited for after the last request was issued.
    pub grace: Duration,
}

/// Runs the crowd and returns when every request has its outcome. Must be called in a tokio runtime.
pub async fn run<S: Shopper>(plan: Plan, mut shopper: impl FnMut(usize) -> S, ledger: Arc<Ledger>) -> Duration {
    let pace = Arc::new(match (plan.rate, plan.until) {
        (Some(rate), Until::Elapsed(duration)) => Pace::open(rate, duration, plan.connections),
        (_, until) => Pace::closed(until),
    });
    let mut crowd = JoinSet::new();
    for index in 0..plan.connections {
        let member = Member { plan, pace: Arc::clone(&pace), ledger: Arc::clone(&ledger), shopper: shopper(index) };
        crowd.spawn(member.shop());
    }
    let everyone = async { while crowd.join_next().await.is_some() {} };
    match plan.until {
        Until::Elapsed(duration) => drop(time::timeout(duration.saturating_add(plan.grace), everyone).await),
        Until::Requests(_) => everyone.await,
    }
    // The last order of an open loop is due one interval before its end.
    let elapsed = match (plan.rate, plan.until) {
        (Some(_), Until::Elapsed(duration)) => pace.watch().elapsed().max(duration),
        _ => pace.watch().elapsed(),
    };
    crowd.shutdown().await;
    let missing = pace.issued().saturating_sub(ledger.tally().settled());
    ledger.failed(missing, || format!("no answer within {:?} after the end of the run", plan.grace));
    elapsed
}

struct Member<S> {
    plan: Plan,
    pace: Arc<Pace>,
    ledger: Arc<Ledger>,
    shopper: S,
}

impl<S: Shopper> Member<S> {
    async fn shop(mut self) {
        let mut connection = None;
        let mut body = Vec::new();
        while let Some(turn) = self.pace.next().await {
            match self.plan.patience {
                Patience::None => self.ask_once(turn, &mut connection, &mut body).await,
                Patience::Retries => self.ask_until_answered(turn, &mut connection, &mut body).await,
            }
        }
    }

    async fn ask_once(&mut self, turn: Turn, connection: &mut Option<Connection>, body: &mut Vec<u8>) {
        let request = self.shopper.request(turn.number);
        match send(self.plan.address, connection, request, body).await {
            Ok(status) => {
                let verdict = self.shopper.judge(turn.number, status, body);
                self.ledger.answered(verdict, self.pace.watch().micros_since(turn.due));
                if verdict == Verdict::Failed {
                    self.ledger.explain(|| format!("{status}: {}", String::from_utf8_lossy(body)));
                }
            }
            Err(error) => {
                self.ledger.failed(1, || cause_chain(&error));
                time::sleep(RECONNECT_PAUSE).await;
            }
        }
    }

    async fn ask_until_answered(&mut self, turn: Turn, connection: &mut Option<Connection>, body: &mut Vec<u8>) {
        let mut first = true;
        loop {
            let request = self.shopper.request(turn.number);
            let sent = send(self.plan.address, connection, request, body).await;
            let verdict = sent.ok().map(|status| (status, self.shopper.judge(turn.number, status, body)));
            match verdict {
                None | Some((_, Verdict::Shed)) => time::sleep(RECONNECT_PAUSE).await,
                Some((status, verdict)) => {
                    if first {
                        self.ledger.answered(verdict, self.pace.watch().micros_since(turn.due));
                    } else {
                        self.ledger.answered_late(verdict);
                    }
                    if verdict == Verdict::Failed {
                        self.ledger.explain(|| format!("{status}: {}", String::from_utf8_lossy(body)));
                    }
                    return;
                }
            }
            first = false;
        }
    }
}

/// Sends over the open connection, or a new one; a broken one is dropped.
async fn send(
    address: SocketAddr,
    connection: &mut Option<Connection>,
    request: Request<Full<Bytes>>,
    body: &mut Vec<u8>,
) -> Result<StatusCode, ConnectionError> {
    let mut open = match connection.take().filter(Connection::is_open) {
        Some(open) => open,
        None => Connection::open(address).await?,
    };
    let status = open.send(request, body).await?;
    *connection = Some(open);
    Ok(status)
}

/// An error and its causes on one line.
pub fn cause_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
