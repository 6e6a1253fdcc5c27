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
use tokio::{sync::Notify, task, time::Instant};
use tokio_postgres::Client;

use super::{
    batch::{Ahead, Batch, look_ahead},
    error::ProjectionError,
    fold::Fold,
    lag,
    pace::Pace,
    progress::{Meters, ProjectionProgress},
    session::{Session, read_watermarks},
    settings::ProjectionSettings,
    table::Guard,
    trail::Trail,
};
use crate::{
    journal::{FollowLimit, Follower, HistoryReader, Journal},
    postgres::{Database, PostgresError, database::claim, pool::within, tenure},
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

/// What comes back from making the next batch.
type Looked = (Box<Fold>, Box<dyn Follower>, Result<Ahead, ProjectionError>);

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
        database.is_followed_by(Arc::clone(&progress));
        let lag = lag::watch(Arc::clone(&journal), shards, Arc::clone(&progress));
        let (shown, asked) = (Arc::clone(&progress), Arc::clone(&stop));
        let trail = Trail::begin(&*journal, shards);
        let mut projector = Projector { journal, database, shards, settings, progress, stop, pace, meters, trail };
        // The connection's bytes move on a thread of their own, so that they do while this one makes rows.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("projection-io").enable_all().build()?;
        let run = move || {
            let stop = Arc::clone(&projector.stop);
            runtime.block_on(async {
                let mut beside = task::JoinSet::new();
                beside.spawn(lag);
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
            if matches!(error, ProjectionError::Rebuilt) {
                tracing::info!("the tables were rebuilt: the projection begins again in the new ones");
            } else {
                self.meters.failures.increment(1);
                self.report(&error);
            }
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
        let held = within(patience, tenure::hold(&client, self.database.schema())).await;
        if matches!(held, Err(PostgresError::InUse { .. })) {
            self.note_others(&client).await?;
        }
        held?;
        within(patience, claim(&client, self.database.schema(), self.database.identity())).await?;
        let mut session = Session::begin(client, self.shards.get(), &self.settings, Guard::Older).await?;
        self.trail.enter(session.tables(), session.watermarks(), &*self.journal, self.shards)?;
        self.refuse_fork(&session).await?;
        let mut follower = self.journal.follow(&session.position())?;
        self.publish(&session);
        if self.progress.note_trouble(None) {
            tracing::info!(contained = session.contained(), behind = follower.behind(), "the projection goes on");
        }
        let mut next = None;
        while !self.stop.asked.load(Ordering::Acquire) {
            let began = Instant::now();
            let batch = match next.take() {
                Some(batch) => batch,
                None => match self.take_in(&mut session, &mut *follower).await? {
                    Some(batch) => batch,
                    None => continue,
                },
            };
            (follower, next) = self.write(batch, began, &mut session, follower).await?;
        }
        Ok(())
    }

    /// Refuses tables whose last record is another than the journal's: it is an older copy that was sold from.
    async fn refuse_fork(&self, session: &Session) -> Result<(), ProjectionError> {
        let Some(last) = session.last().await? else { return Ok(()) };
        if last.is_contradicted(session.watermarks(), |from| self.journal.follow(from), LOOK)? {
            return Err(ProjectionError::Forked { shard: last.shard, seq: last.seq });
        }
        Ok(())
    }

    /// Another node of the same store projects: what is in the tables need not be kept for this one either.
    async fn note_others(&self, client: &Client) -> Result<(), ProjectionError> {
        let patience = self.database.connector().statement_timeout();
        within(patience, claim(client, self.database.schema(), self.database.identity())).await?;
        for (shard, seq) in read_watermarks(client).await? {
            self.progress.reached(shard, seq);
        }
        Ok(())
    }

    /// Waits for records and makes a batch of what there is.
    async fn take_in(
        &mut self,
        session: &mut Session,
        follower: &mut dyn Follower,
    ) -> Result<Option<Box<Batch>>, ProjectionError> {
        self.observe(session, follower);
        let limit = self.limit();
        if follower.behind() < limit.records as u64 && self.settings.gather_ms > 0 {
            self.gather(follower).await?;
        }
        let records = follower.next(limit, LOOK)?;
        if records.is_empty() {
            return Ok(None);
        }
        session.take_in(records).await.map(Some)
    }

    /// Writes a batch and, when there is more and the sale leaves room, makes the next one meanwhile; rests if a sale is on.
    async fn write(
        &mut self,
        batch: Box<Batch>,
        began: Instant,
        session: &mut Session,
        follower: Box<dyn Follower>,
    ) -> Result<(Box<dyn Follower>, Option<Box<Batch>>), ProjectionError> {
        self.trail.attempt(batch.ends.iter().map(|(shard, (seq, _))| (*shard, *seq)));
        let hurries = follower.behind() > 0 && self.pace.has_room(Instant::now());
        let (written, follower, ahead) = if hurries {
            let ahead = self.look_ahead(session.lend(), follower);
            let written = session.write(&batch).await;
            let (fold, follower, ahead) = ahead.await.map_err(std::io::Error::other)?;
            session.take_back(fold);
            (written, follower, ahead)
        } else {
            (session.write(&batch).await, follower, Ok(Ahead::Nothing))
        };
        let projected = written?;
        let worked = began.elapsed();
        self.meters.batches.increment(1);
        self.meters.records.increment(projected.records);
        self.meters.rows.increment(projected.rows);
        self.meters.batch_seconds.record(worked.as_secs_f64());
        self.publish(session);
        self.observe(session, &*follower);
        let next = match ahead? {
            Ahead::Nothing => None,
            Ahead::Made(batch) => Some(batch),
            Ahead::Read(records) => Some(session.take_in(records).await?),
        };
        self.rest_observing(self.pace.rest(worked, Instant::now()), session, &*follower).await;
        Ok((follower, next))
    }

    /// Makes the next batch on another thread.
    fn look_ahead(&self, mut fold: Box<Fold>, mut follower: Box<dyn Follower>) -> task::JoinHandle<Looked> {
        let (limit, entities) = (self.limit(), self.settings.entities);
        task::spawn_blocking(move || {
            let ahead = look_ahead(&mut *follower, limit, &mut fold, entities);
            (fold, follower, ahead)
        })
    }

    fn limit(&self) -> FollowLimit {
        self.settings.limit(self.pace.share(Instant::now()))
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
        self.progress.note_rest(Some(until));
        while Instant::now() < until && self.pace.is_busy(Instant::now()) {
            self.rest(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
            self.observe(session, follower);
        }
        self.progress.note_rest(None);
    }

    fn publish(&self, session: &Session) {
        for (shard, seq) in session.watermarks() {
            self.progress.reached(*shard, *seq);
        }
        self.progress.note_known();
    }

    fn observe(&mut self, session: &Session, follower: &dyn Follower) {
        self.pace.observe(session.contained() + follower.behind(), Instant::now());
    }
}
