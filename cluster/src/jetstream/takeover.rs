//! Taking a shard's stream over, and where a stream ends.
//!
//! Invariant: a takeover is one append, barrier and fence in one: it expects the very message that was read last, so whatever
//! the owner before still has on its way is refused from then on.

use holdfast_core::ShardId;
use holdfast_persistence::{JournalError, journal::MessageFormat};
use tokio::time::{Instant, sleep};

use super::{
    connect::PAUSE,
    error::{NatsError, RequestError},
    log::End,
    requests::{Appended, Stored},
    streams::Streams,
};
use crate::boot::BootId;

impl Streams<'_> {
    /// Begins a new epoch of a shard, whoever had it before: the record of the epoch is the end.
    pub(super) async fn take_over(
        &self,
        shard: ShardId,
        boot: BootId,
        format: &MessageFormat,
        not_after: u64,
    ) -> Result<End, NatsError> {
        let (stream, subject) = (self.stream(shard), self.subject(shard));
        let (began, limit) = (Instant::now(), self.settings.start_deadline());
        // The epoch that was tried to begin here: earlier ones of this boot are over.
        let mut tried = None;
        loop {
            let end = match self.requests.last(&stream, &subject).await {
                Ok(Some(stored)) => read_end(shard, &stream, &stored, format)?,
                Ok(None) => (End::NONE, None),
                Err(error) => {
                    self.pause(shard, began, &error).await?;
                    continue;
                }
            };
            let (end, begun_by) = end;
            if begun_by == Some(boot) && tried == Some(end.epoch) {
                return Ok(end);
            }
            if end.epoch > not_after {
                return Err(NatsError::Overtaken { shard });
            }
            let epoch = end.epoch + 1;
            tried = Some(epoch);
            let record = format.encode_epoch(shard, epoch, boot.to_bytes(), end.next_seq);
            let last = match self.requests.append(&subject, end.message, record.into()).await {
                Appended::At(message) if message == end.message + 1 => return Ok(End { message, epoch, ..end }),
                Appended::At(message) => RequestError::Malformed(format!("it was appended as message {message}")),
                // An owner that is alive was faster: at once again, or a busy one would never be overtaken.
                Appended::WrongLast(Some(found)) if found > end.message && began.elapsed() < limit => continue,
                // A replica that is behind was read, or it was this one's own record, whose answer was lost.
                Appended::WrongLast(found) => RequestError::Malformed(format!("the stream ends with {found:?}")),
                Appended::NotNow(error) => error,
            };
            self.pause(shard, began, &last).await?;
        }
    }

    /// Where a shard's stream ends now, as its leader says.
    pub(super) async fn end(&self, shard: ShardId, format: &MessageFormat) -> Result<End, NatsError> {
        let stream = self.stream(shard);
        loop {
            let info = self.existing(shard).await?;
            if info.state.last_seq == 0 {
                return Ok(End::NONE);
            }
            // Otherwise it is not the last one any more.
            if let Some(stored) = self.message(&stream, info.state.last_seq).await? {
                return Ok(read_end(shard, &stream, &stored, format)?.0);
            }
        }
    }

    /// Who began the epoch in which a shard's stream ends; `None` when that was purged, or never was.
    pub(super) async fn begun_by(
        &self,
        shard: ShardId,
        end: End,
        format: &MessageFormat,
    ) -> Result<Option<BootId>, NatsError> {
        if end.message == 0 {
            return Ok(None);
        }
        let stream = self.stream(shard);
        let info = self.existing(shard).await?;
        // `high` is of the epoch; what is before `low` is not, or is gone.
        let (mut low, mut high) = (info.state.first_seq, end.message);
        while low < high {
            let middle = low + (high - low) / 2;
            let epoch = match self.message(&stream, middle).await? {
                Some(stored) => Some(read_end(shard, &stream, &stored, format)?.0.epoch),
                None => None,
            };
            if epoch.is_none_or(|epoch| epoch < end.epoch) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let stored = self.message(&stream, high).await?;
        Ok(stored.map(|stored| read_end(shard, &stream, &stored, format)).transpose()?.and_then(|(_, boot)| boot))
    }

    /// A message that was there; `None` once its owner has let it go.
    async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, NatsError> {
        let began = Instant::now();
        loop {
            let error = match self.requests.message(stream, sequence).await {
                Ok(Some(stored)) => return Ok(Some(stored)),
                Ok(None) => match self.requests.stream(stream).await {
                    Ok(Some(info)) if info.state.first_seq > sequence => return Ok(None),
                    _ => RequestError::Malformed(format!("message {sequence} is not there")),
                },
                Err(error) => error,
            };
            self.again("read a stream", error, began).await?;
        }
    }

    async fn pause(&self, shard: ShardId, began: Instant, last: &RequestError) -> Result<(), NatsError> {
        if began.elapsed() + PAUSE > self.settings.start_deadline() {
            let (waited_ms, last) = (self.settings.start_deadline_ms, last.to_string());
            return Err(NatsError::Takeover { shard, waited_ms, last });
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Where a message leaves its stream, and who begins an epoch with it.
fn read_end(
    shard: ShardId,
    stream: &str,
    stored: &Stored,
    format: &MessageFormat,
) -> Result<(End, Option<BootId>), JournalError> {
    let sequence = stored.sequence;
    let damaged = |source| JournalError::Message { log: stream.to_owned(), sequence, source };
    let message = format.read(shard, &stored.payload).map_err(damaged)?;
    let end = End { message: sequence, epoch: message.epoch, next_seq: message.next_seq() };
    Ok((end, message.boot.map(BootId::from_bytes)))
}

#[cfg(test)]
mod tests {
    use holdfast_core::ShardCount;
    use holdfast_persistence::{StoreId, journal::JournalOptions};
    use holdfast_servers::{Nats, NatsOptions};

    use super::*;
    use crate::{NatsSettings, jetstream::JetStream};

    #[test]
    fn who_began_an_epoch_is_not_known_once_that_was_purged_even_while_it_was_looked_for() {
        let nats = Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() }).unwrap();
        let settings =
            NatsSettings { url: nats.url(), replicas: 1, start_deadline_ms: 1_500, ..NatsSettings::default() };
        let (options, count, shard) = (JournalOptions::default(), ShardCount::new(1).unwrap(), ShardId(0));
        let (journal, _) = JetStream::connect(&settings, &options)
            .unwrap()
            .open(StoreId::from_bytes(*b"a store of tests"), count, &options)
            .unwrap();
        let inner = journal.shared();
        let streams = Streams { requests: &inner.requests, settings: &settings };
        journal.handle().unwrap().block_on(async {
            let first = streams.end(shard, &inner.format).await.unwrap();
            assert_eq!(streams.begun_by(shard, first, &inner.format).await.unwrap(), Some(inner.boot));
            let boots: Vec<_> = (2..6).map(|boot| BootId::from_bytes([boot; 16])).collect();
            for boot in &boots {
                streams.take_over(shard, *boot, &inner.format, u64::MAX).await.unwrap();
            }
            inner.requests.purge(&streams.stream(shard), 4).await.unwrap();
            assert_eq!(streams.begun_by(shard, first, &inner.format).await.unwrap(), None);
            let last = streams.end(shard, &inner.format).await.unwrap();
            assert_eq!(streams.begun_by(shard, last, &inner.format).await.unwrap(), boots.last().copied());
        });
    }
}
