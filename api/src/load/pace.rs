//! When requests are sent: as soon as a connection is free, or at a rate of their own.
//!
//! A closed loop waits for the server, so a slow answer hides the requests that would have been sent meanwhile
//! (coordinated omission). An open loop gives every request its time beforehand and counts latency from that time,
//! whether or not a connection was free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::Semaphore;

use super::stopwatch::Stopwatch;

/// How often the metronome lets due requests go. Below the millisecond that a tokio timer can tell apart.
const TICK: Duration = Duration::from_micros(200);

/// When the run is over.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// This long after its start no further request is issued.
    Elapsed(Duration),
    /// After so many requests.
    Requests(u64),
}

/// A request's turn.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// The request's number, from 0.
    pub number: u64,
    /// When it was due, counted from the start of the run; latency counts from here.
    pub due: Duration,
}

/// Hands out turns to the connections.
pub struct Pace {
    watch: Stopwatch,
    until: Until,
    next: AtomicU64,
    metronome: Option<Metronome>,
}

struct Metronome {
    interval: Duration,
    total: u64,
    due: Arc<Semaphore>,
}

impl Pace {
    /// Turns as fast as connections ask for them.
    pub fn closed(until: Until) -> Self {
        Self { watch: Stopwatch::start(), until, next: AtomicU64::new(0), metronome: None }
    }

    /// `per_second` turns a second for `duration`, shared by `connections`.
    pub fn open(per_second: f64, duration: Duration, connections: usize) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second.max(0.001));
        let total = requests_in(duration, interval);
        let due = Arc::new(Semaphore::new(0));
        let watch = Stopwatch::start();
        let metronome = Metronome { interval, total, due: Arc::clone(&due) };
        thread::spawn(move || tick(watch, interval, total, connections, &due));
        Self { watch, until: Until::Requests(total), next: AtomicU64::new(0), metronome: Some(metronome) }
    }

    /// The watch that [`Turn::due`] is read on.
    pub fn watch(&self) -> Stopwatch {
        self.watch
    }

    /// The next turn, waiting for its time in an open loop; none when the run is over.
    pub async fn next(&self) -> Option<Turn> {
        if let Some(metronome) = &self.metronome {
            metronome.due.acquire().await.ok()?.forget();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let steps = u32::try_from(number).ok()?;
            return (number < metronome.total).then(|| Turn { number, due: metronome.interval.saturating_mul(steps) });
        }
        let due = self.watch.elapsed();
        let number = match self.until {
            Until::Elapsed(limit) if due >= limit => return None,
            Until::Elapsed(_) => self.next.fetch_add(1, Ordering::Relaxed),
            Until::Requests(limit) => {
                Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < limit)?
            }
        };
        Some(Turn { number, due })
    }

    /// Requests that were due so far: those handed out, and in an open loop all of the schedule.
    pub fn issued(&self) -> u64 {
        let handed_out = self.next.load(Ordering::Relaxed);
        match (&self.metronome, self.until) {
            (Some(metronome), _) => metronome.total,
            (None, Until::Requests(limit)) => handed_out.min(limit),
            (None, Until::Elapsed(_)) => handed_out,
        }
    }
}

fn requests_in(duration: Duration, interval: Duration) -> u64 {
    intervals(duration, interval).clamp(1, u64::from(u32::MAX))
}

/// How many have passed by now.
fn intervals(elapsed: Duration, interval: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// Lets requests go when they are due, then one more per connection so that each of them learns that the run is over.
fn tick(watch: Stopwatch, interval: Duration, total: u64, connections: usize, due: &Semaphore) {
    let mut released = 0;
    while released < total {
        // The first is due at once, and the one after so many intervals with the end of the last of them.
        let reached = intervals(watch.elapsed(), interval).saturating_add(1).min(total);
        let fresh = usize::try_from(reached.saturating_sub(released)).unwrap_or(usize::MAX);
        due.add_permits(fresh);
        released = released.max(reached);
        thread::sleep(TICK);
    }
    due.add_permits(connections);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_loop_ends_after_its_requests() {
        let pace = Pace::closed(Until::Requests(2));
        assert_eq!(pace.next().await.unwrap().number, 0);
        assert_eq!(pace.next().await.unwrap().number, 1);
        assert!(pace.next().await.is_none());
        assert_eq!(pace.issued(), 2);
    }

    #[tokio::test]
    async fn an_open_loop_gives_every_request_its_time_beforehand() {
        let pace = Pace::open(1_000.0, Duration::from_millis(5), 1);
        let mut due = Vec::new();
        while let Some(turn) = pace.next().await {
            due.push(turn.due);
        }
        assert_eq!(due, (0..5).map(Duration::from_millis).collect::<Vec<_>>());
        assert_eq!(pace.issued(), 5);
    }

    #[tokio::test]
    async fn a_request_waits_for_its_own_time_and_not_for_the_one_after() {
        let interval = Duration::from_millis(400);
        let pace = Pace::open(2.5, Duration::from_millis(1_200), 1);
        let mut late = Vec::new();
        while let Some(turn) = pace.next().await {
            late.push(pace.watch().elapsed().saturating_sub(turn.due));
        }
        assert_eq!(late.len(), 3);
        // On a machine that stands still one of them may be late, but not each after the first by a whole interval.
        assert!(late.iter().skip(1).any(|late| *late < interval), "{late:?}");
    }
}
