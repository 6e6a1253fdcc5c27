//! Whether a shard that is owned here still is: for a node that was away, before it answers from memory again.
//!
//! Invariant: the stream's leader is asked, and what it says is held against what this node knows to be committed. A look is
//! no proof for later: only appends have one.

use holdfast_core::ShardId;

use super::{
    error::{NatsError, RequestError},
    journal::JetStreamJournal,
};

impl JetStreamJournal {
    /// Whether the shard's stream is still in this node's epoch. `false` when another node has begun the next one, or the shard
    /// is not owned here; the journal then gives it up by itself.
    ///
    /// # Errors
    /// [`NatsError::UnknownShard`]; [`NatsError::Request`] when the servers do not say.
    pub async fn confirm(&self, shard: ShardId) -> Result<bool, NatsError> {
        let (log, _) = self.log_and_queue(shard).ok_or(NatsError::UnknownShard { shard })?;
        let Some(own) = log.tenure() else { return Ok(false) };
        let failed = |source| NatsError::Request { action: "tell whose a shard is", source };
        let requests = &self.shared().requests;
        // Nothing follows, nearly always: an answer without a message in it.
        let from = log.end().message + 1;
        if requests.next_number(&log.stream, &log.subject, from).await.map_err(failed)?.is_none() {
            return Ok(true);
        }
        let last = requests.last_number(&log.stream, &log.subject).await.map_err(failed)?.unwrap_or(from);
        // Its own batch on its way, or another node's epoch. A replica that does not have it yet is asked again.
        let unknown = || failed(RequestError::Malformed(format!("message {last} is not there yet")));
        let stored = requests.message(&log.stream, last).await.map_err(failed)?.ok_or_else(unknown)?;
        let read = self.shared().format.read(shard, &stored.payload);
        let epoch = read.map_err(|damage| failed(RequestError::Malformed(damage.to_string())))?.epoch;
        if epoch > own {
            log.suspect(epoch);
        }
        Ok(epoch == own)
    }
}
