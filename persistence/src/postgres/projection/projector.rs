//! The projection's thread: follows the journal into PostgreSQL for as long as the server runs.
//!
//! Invariants: it runs beside everything else, on a thread and a connection of its own, so that nobody ever waits for it; after
//! any failure it begins again from the watermarks in the database, for as long as it takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use holdfast_core::ShardCount;
use tokio::{sync::Notify, time::Instant};

use super::{
    error::ProjectionError,
    pace::Pace,
    progress::{Meters, ProjectionProgress},
    session::Session,
    settings::ProjectionSettings,
    table::Guard,
    trail::Trail,
};
use crate::{
    journal::{Follower, HistoryReader, Journal},
    postgres::{Database, database::claim, pool::within, tenure},
};

/// How long the thread looks at nothing but the journal at a time: the longest it takes to notice that it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A running projection. Dropped, it stops.
#[derive(Debug)]
pub struct Projection {
    progress: Arc<ProjectionProgress>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    notify: Notify,
}

struct Projector {
    journal: Arc<dyn Journal>,
    database: Database,
    shards: ShardCount,
    settings: ProjectionSettings,
    progress: Arc<ProjectionProgress>,
    stop: Arc<Stop>,
    pace: Pace,
    meters: Meters,
    trail: Trail,
}

impl Projection {
    /// Starts following `journal` into `database`, once that is ready. Takes what it needs by itself and blocks nothing.
    ///
    /// # Errors
    /// When a setting makes no sense, or the system gives no thread.
    pub fn start(
        journal: Arc<dyn Journal>,
        database: Database,
        shards: ShardCount,
        settings: ProjectionSettings,
    ) -> Result<Self, ProjectionError> {
        settings.validate()?;
        let progress = Arc::new(ProjectionProgress::new(shards));
        let stop = Arc::new(Stop::default());
        let (pace, meters) = (Pace::new(&settings), Meters::new());
        journal.retain_for(Arc::clone(&progress) as Arc<dyn HistoryReader>, settings.backlog_bytes);
        let (shown, asked) = (Arc::clone(&progress), Arc::clone(&stop));
        let trail = Trail::begin(&*journal, shards);
        let mut projector = Projector { journal, database, shards, settings, progress, stop, pace, meters, trail };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = move || {
            let stop = Arc::clone(&projector.stop);
            runtime.block_on(async {
                tokio::select! {
                    () = projector.run() => {}
                    () = stop.notify.notified() => {}
                }
            });
        };
        let thread = thread::Builder::new().name("projection".to_owned()).spawn(run)?;
        Ok(Self { progress: shown, stop: asked, thread: Some(thread) })
    }

    /// How far it is.
    pub fn progress(&self) -> Arc<ProjectionProgress> {
        Arc::clone(&self.progress)
    }

    /// Stops it, and waits until it has let go of journal and connection: at most as long as one batch is made. What it had
    /// not committed it begins again the next time. Blocking.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.stop.asked.store(true, Ordering::Release);
        self.stop.notify.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the projection panicked");
        }
    }
}

impl Drop for Projection {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Projector {
    async fn run(&mut self) {
        let initial = Duration::from_millis(self.settings.retry_initial_ms);
        let longest = Duration::from_millis(self.settings.retry_max_ms);
        let mut wait = initial;
        loop {
            let committed = self.progress_mark();
            let Err(error) = self.follow().await else { return };
            self.meters.failures.increment(1);
            self.report(&error);
            if self.progress_mark() > committed {
                wait = initial;
            }
            self.rest(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    fn progress_mark(&self) -> u64 {
        self.shards.iter().map(|shard| self.progress.watermark(shard)).sum()
    }

    fn report(&self, error: &ProjectionError) {
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            why = format!("{why}: {next}");
            cause = next.source();
        }
        if self.progress.note_trouble(Some(why.clone())) {
            tracing::warn!(why, "the projection does not go on; it is tried again");
        }
    }

    /// Follows until told to stop, which is `Ok`, or until something fails.
    async fn follow(&mut self) -> Result<(), ProjectionError> {
        self.database.ready().await;
        // Another host may have taken over since, and its schema may be older, or not there yet.
        self.database.prepare_once().await?;
        let client = self.database.connector().connect().await?;
        let patience = self.database.connector().statement_timeout();
        within(patience, tenure::hold(&client, self.database.schema())).await?;
        within(patience, claim(&client, self.database.schema(), self.database.identity())).await?;
        let mut session = Session::begin(client, self.shards.get(), self.settings.entities, Guard::Older).await?;
        let tables = within(patience, session.tables()).await?;
        self.trail.enter(tables, session.watermarks(), &*self.journal, self.shards)?;
        let mut follower = self.journal.follow(&session.position())?;
        self.publish(&session);
        if self.progress.note_trouble(None) {
            tracing::info!(contained = session.contained(), behind = follower.behind(), "the projection goes on");
        }
        while !self.stop.asked.load(Ordering::Acquire) {
            self.batch(&mut session, &mut *follower).await?;
        }
        Ok(())
    }

    /// Waits for records, projects what there is, and rests if a sale is on.
    async fn batch(&mut self, session: &mut Session, follower: &mut dyn Follower) -> Result<(), ProjectionError> {
        self.observe(session, follower);
        let limit = self.settings.limit(self.pace.is_busy(Instant::now()));
        if follower.behind() < limit.records as u64 && self.settings.gather_ms > 0 {
            self.gather(follower).await?;
        }
        let began = Instant::now();
        let records = follower.next(limit, LOOK)?;
        if records.is_empty() {
            return Ok(());
        }
        self.trail.attempt(&records);
        let projected = session.project(records).await?;
        let worked = began.elapsed();
        self.meters.batches.increment(1);
        self.meters.records.increment(projected.records);
        self.meters.rows.increment(projected.rows);
        self.meters.batch_seconds.record(worked.as_secs_f64());
        self.publish(session);
        self.observe(session, follower);
        self.rest_observing(self.pace.rest(worked, Instant::now()), session, follower).await;
        Ok(())
    }

    /// Lets a few records come together once there is one: a commit costs the same for one and for a thousand.
    async fn gather(&mut self, follower: &mut dyn Follower) -> Result<(), ProjectionError> {
        if follower.behind() > 0 {
            self.rest(Duration::from_millis(self.settings.gather_ms)).await;
        }
        Ok(())
    }

    async fn rest(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    /// Rests, but no longer than the sale is busy.
    async fn rest_observing(&mut self, wait: Duration, session: &Session, follower: &dyn Follower) {
        let until = Instant::now() + wait;
        while Instant::now() < until && self.pace.is_busy(Instant::now()) {
            self.rest(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
            self.observe(session, follower);
        }
    }

    fn publish(&self, session: &Session) {
        for (shard, seq) in session.watermarks() {
            self.progress.reached(*shard, *seq);
        }
    }

    fn observe(&mut self, session: &Session, follower: &dyn Follower) {
        let (now, done) = (Instant::now(), session.contained());
        let behind = follower.behind();
        self.pace.observe(done + behind, now);
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 is enough for records")]
        self.meters.lag_records.set(behind as f64);
        self.meters.lag_seconds.set(self.pace.lag(done, now).as_secs_f64());
    }
}
