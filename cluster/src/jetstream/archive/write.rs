//! Writes one edition.
//!
//! Invariant: each page is appended behind the one before of the same edition, or not at all; so pages that are there are in
//! order, once, and the end is only written behind all of them. A page is as many messages of the same length as it fills, and
//! a shorter one, maybe empty, that ends it.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use holdfast_persistence::{
    CodecError, SnapshotError, SnapshotSource, StoreId, encode_snapshot,
    snapshot::{Page, PageTitle},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    Archive,
    edition::{Edition, Part},
    passes,
};
use crate::jetstream::{blocking, connect::PAUSE, error::RequestError, requests::Appended};

/// What the end of an edition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) pages: u32,
    /// How long every message of a page is but its last, which is shorter.
    pub(super) message_bytes: usize,
    pub(super) entities: u64,
    pub(super) bytes: u64,
}

/// Why an edition was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The snapshots cannot be read here.
    #[error("the snapshots cannot be read")]
    Snapshots(#[from] SnapshotError),
    /// One of them fits into no page.
    #[error("a snapshot cannot be packed")]
    Packing(#[from] CodecError),
    /// The servers did not take it.
    #[error("the servers do not take it")]
    Request(#[from] RequestError),
    /// The node is leaving.
    #[error("the node is leaving")]
    Leaving,
}

/// An edition under way.
struct Writing<'a> {
    archive: &'a Archive,
    edition: Edition,
    title: PageTitle,
    page: Page,
    /// The message of the page before; 0 for none.
    last: u64,
    so_far: End,
    leaving: &'a AtomicBool,
}

impl Archive {
    /// Writes every snapshot that `source` has of the edition's shard, of which it has everything up to its watermark.
    pub(super) fn write(
        &self,
        store: StoreId,
        edition: Edition,
        source: &dyn SnapshotSource,
        leaving: &AtomicBool,
    ) -> Result<End, WriteError> {
        // What an attempt before may have left.
        blocking::wait(&self.handle, self.delete(edition))?;
        let title = PageTitle { store, shard: edition.shard, watermark: edition.watermark, number: 0 };
        let so_far = End { pages: 0, message_bytes: self.message_bytes, entities: 0, bytes: 0 };
        let mut writing = Writing { archive: self, edition, title, page: Page::begin(title), last: 0, so_far, leaving };
        let mut fault = None;
        source.scan(edition.shard, &mut |_, _, state| {
            if fault.is_none() {
                let packed = encode_snapshot(&state.as_ref()).map_err(WriteError::from);
                fault = packed.and_then(|snapshot| writing.push(&snapshot)).err();
            }
        })?;
        fault.map_or(Ok(()), Err)?;
        writing.finish()
    }

    /// Appends a message behind number `last` of its subject, for at most as long as a start may take.
    pub(super) async fn append(
        &self,
        subject: &str,
        last: u64,
        payload: Bytes,
        leaving: &AtomicBool,
    ) -> Result<u64, RequestError> {
        let began = Instant::now();
        loop {
            let error = match self.requests.append_to_subject(subject, last, payload.clone()).await {
                Appended::At(message) => return Ok(message),
                Appended::WrongLast(found) => {
                    return Err(RequestError::Malformed(format!("{subject} ends with {found:?}, not {last}")));
                }
                Appended::NotNow(error) => error,
            };
            // A page whose answer was lost is there: the next attempt is told so, and the edition is begun anew.
            if !passes(&error) || began.elapsed() + PAUSE > self.deadline || leaving.load(Ordering::Acquire) {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Writing<'_> {
    fn push(&mut self, snapshot: &holdfast_persistence::EncodedSnapshot) -> Result<(), WriteError> {
        if !self.page.is_empty() && self.page.len() + snapshot.bytes.len() > self.archive.page_bytes {
            self.turn()?;
        }
        Ok(self.page.push(snapshot)?)
    }

    /// Sends the page and begins the next.
    fn turn(&mut self) -> Result<(), WriteError> {
        if self.leaving.load(Ordering::Acquire) {
            return Err(WriteError::Leaving);
        }
        self.title.number += 1;
        let page = std::mem::replace(&mut self.page, Page::begin(self.title));
        self.so_far.pages += 1;
        self.so_far.entities += u64::from(page.count());
        let (archive, payload) = (self.archive, page.finish());
        self.so_far.bytes += payload.len() as u64;
        let subject = self.edition.subject(&archive.root, Part::Pages);
        let payload = Bytes::from(payload);
        for from in (0..=payload.len()).step_by(archive.message_bytes) {
            let message = payload.slice(from..payload.len().min(from + archive.message_bytes));
            self.last = blocking::wait(&archive.handle, archive.append(&subject, self.last, message, self.leaving))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<End, WriteError> {
        if !self.page.is_empty() {
            self.turn()?;
        }
        let subject = self.edition.subject(&self.archive.root, Part::End);
        let end = serde_json::to_vec(&self.so_far).map_err(|error| RequestError::Malformed(error.to_string()))?;
        blocking::wait(&self.archive.handle, self.archive.append(&subject, 0, end.into(), self.leaving))?;
        Ok(self.so_far)
    }
}
