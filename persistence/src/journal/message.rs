//! A batch as one message of a log that others keep: the frame of the segment files, with the epoch of whoever owns the
//! shard in place of a segment's generation, and the shard's sequence number in place of the record number.
//!
//! `len | crc32c | epoch | first_seq | count | records`, little-endian; a message of no records begins an epoch:
//! `len | crc32c | epoch | next_seq | 0 | boot id | shard`.
//!
//! Invariant: a message counts only if its checksum, which starts from the store's id, matches, nothing trails, and every
//! record in it is of the shard and carries the sequence number that is due. So neither another store's message, nor one
//! that was put into the wrong shard's log, nor bytes of anybody else pass for one.

use holdfast_core::{ShardCount, ShardId};

use super::{
    Batch, BatchRefusal,
    frame::{self, HEADER_BYTES, Parsed, Place, Seed},
    record,
};
use crate::{codec::CodecError, record::Record, store::StoreId, wire::Fields};

/// Bytes behind the header of a message that begins an epoch: the boot id and the shard.
const EPOCH_BYTES: usize = 18;
/// Bytes from the beginning of a frame to the field that holds the epoch.
const EPOCH_OFFSET: usize = 8;

/// How one store writes its messages, and within which limits.
#[derive(Debug, Clone, Copy)]
pub struct MessageFormat {
    seed: Seed,
    shards: ShardCount,
    record_limit_bytes: u64,
    batch_limit_bytes: u64,
}

/// Records that are encoded as a message but of no epoch yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsealed {
    shard: ShardId,
    first_seq: u64,
    count: u32,
    /// Room for the header, then the records.
    bytes: Vec<u8>,
}

/// An intact message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The epoch it was written in: 1, 2, 3 ... per shard, one per owner.
    pub epoch: u64,
    /// The sequence number of its first record; of the next one, if it has none.
    pub first_seq: u64,
    /// How many records it holds.
    pub count: u32,
    /// Who begins an epoch with it: random, one per boot of a node. `None` if it holds records.
    pub boot: Option<[u8; 16]>,
    records: &'a [u8],
}

/// Why bytes are no message of a shard's log.
#[derive(Debug, thiserror::Error)]
pub enum MessageDamage {
    /// Not a frame of this store.
    #[error("it is no intact message of this store ({0})")]
    Frame(&'static str),
    /// The message is of another shard.
    #[error("it belongs to shard {}", found.0)]
    Shard {
        /// Whose it is.
        found: ShardId,
    },
    /// Its records are not laid out as records.
    #[error("its records are not laid out as records")]
    Records,
    /// The sequence does not go on in it.
    #[error("sequence number {found} follows where {expected} was due")]
    Sequence {
        /// What was due.
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// An epoch is followed by an earlier one.
    #[error("epoch {found} follows epoch {expected}")]
    Epoch {
        /// The epoch before.
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// There is no message where one is known to be.
    #[error("it is not there")]
    Missing,
    /// A record is intact but cannot be understood.
    #[error("this version cannot read one of its records")]
    Codec(#[from] CodecError),
}

impl MessageFormat {
    /// The messages of `store`, which has so many shards. Limits in bytes: of one record as encoded, and of one message.
    pub fn new(store: StoreId, shards: ShardCount, record_limit_bytes: u64, batch_limit_bytes: u64) -> Self {
        Self { seed: Seed::of_store(store), shards, record_limit_bytes, batch_limit_bytes }
    }

    /// Encodes a whole batch of records as one message of `epoch`.
    ///
    /// # Errors
    /// [`BatchRefusal`], when the shard is unknown, or a record or the batch passes its limit or cannot be encoded.
    pub fn encode(&self, batch: &Batch, epoch: u64) -> Result<Vec<u8>, BatchRefusal> {
        self.encode_records(batch).map(|unsealed| self.seal(unsealed, epoch))
    }

    /// Encodes a batch of records as a message to be, so that others may join it before it is sealed.
    ///
    /// # Errors
    /// As [`MessageFormat::encode`].
    pub fn encode_records(&self, batch: &Batch) -> Result<Unsealed, BatchRefusal> {
        let shards = self.shards.get();
        if batch.shard.0 >= shards {
            return Err(BatchRefusal::UnknownShard { shards });
        }
        let mut bytes = vec![0; HEADER_BYTES];
        for (seq, record) in (batch.first_seq..).zip(&batch.records) {
            record::encode(record, batch.shard, seq, self.record_limit_bytes, &mut bytes)?;
        }
        let (len, limit) = (bytes.len() as u64, self.batch_limit_bytes);
        let too_large = BatchRefusal::BatchTooLarge { bytes: len, limit };
        let Ok(count) = u32::try_from(batch.records.len()) else { return Err(too_large) };
        if len > limit {
            return Err(too_large);
        }
        Ok(Unsealed { shard: batch.shard, first_seq: batch.first_seq, count, bytes })
    }

    /// Makes the message of `epoch` of what was encoded.
    pub fn seal(&self, unsealed: Unsealed, epoch: u64) -> Vec<u8> {
        let Unsealed { first_seq, count, mut bytes, .. } = unsealed;
        frame::seal(&mut bytes, self.seed, Place { generation: epoch, first_lsn: first_seq, count });
        bytes
    }

    /// The message that begins `epoch` of `shard` for the node that was booted as `boot`, before record `next_seq`.
    pub fn encode_epoch(&self, shard: ShardId, epoch: u64, boot: [u8; 16], next_seq: u64) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(&boot);
        bytes.extend_from_slice(&shard.0.to_le_bytes());
        frame::seal(&mut bytes, self.seed, Place { generation: epoch, first_lsn: next_seq, count: 0 });
        bytes
    }

    /// Reads a message of `shard`'s log. Its records were looked at from outside only.
    ///
    /// # Errors
    /// [`MessageDamage`], when it is none.
    pub fn read<'a>(&self, shard: ShardId, bytes: &'a [u8]) -> Result<Message<'a>, MessageDamage> {
        let epoch = bytes.get(EPOCH_OFFSET..).and_then(|rest| Fields::new(rest).u64()).unwrap_or_default();
        let (place, end) = match frame::parse(bytes, self.seed, epoch) {
            Parsed::Frame { place, bytes } => (place, bytes),
            Parsed::Incomplete { .. } => return Err(MessageDamage::Frame("it is cut short")),
            Parsed::Bad(reason) => return Err(MessageDamage::Frame(reason)),
        };
        if end != bytes.len() {
            return Err(MessageDamage::Frame("something trails it"));
        }
        let (first_seq, count, records) = (place.first_lsn, place.count, bytes.get(HEADER_BYTES..).unwrap_or_default());
        let message = Message { epoch, first_seq, count, boot: None, records };
        if count > 0 { message.check(shard) } else { message.begins_epoch(shard) }
    }
}

impl Unsealed {
    /// How many records it holds.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The message's size, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the records of `next` in, if they follow its own and the message then has at most `limit_bytes`. Otherwise gives
    /// `next` back.
    ///
    /// # Errors
    /// `next`, when it has to stay apart.
    pub fn join(&mut self, next: Self, limit_bytes: usize) -> Result<(), Self> {
        let follows = next.shard == self.shard && self.first_seq.checked_add(self.count.into()) == Some(next.first_seq);
        let records = next.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let Some(count) = self.count.checked_add(next.count).filter(|_| follows) else { return Err(next) };
        if self.bytes.len() + records.len() > limit_bytes {
            return Err(next);
        }
        self.bytes.extend_from_slice(records);
        self.count = count;
        Ok(())
    }
}

impl<'a> Message<'a> {
    /// The sequence number that follows the message.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(self.count.into())
    }

    /// Its records with their sequence numbers.
    pub fn records(&self) -> impl Iterator<Item = (u64, Result<Record, CodecError>)> + use<'a> {
        let records = if self.boot.is_some() { &[] } else { self.records };
        let decode = |record: Option<&[u8]>| {
            record.and_then(record::parse).ok_or(CodecError::CutShort).and_then(|raw| raw.decode())
        };
        (self.first_seq..).zip(record::split(records).map(decode))
    }

    /// Checks that every record is of `shard` and in its place.
    fn check(self, shard: ShardId) -> Result<Self, MessageDamage> {
        let mut due = self.first_seq;
        for record in record::split(self.records) {
            let (found, seq) = record.and_then(record::address).ok_or(MessageDamage::Records)?;
            if found != shard {
                return Err(MessageDamage::Shard { found });
            }
            if seq != due {
                return Err(MessageDamage::Sequence { expected: due, found: seq });
            }
            due = due.saturating_add(1);
        }
        if due == self.next_seq() { Ok(self) } else { Err(MessageDamage::Records) }
    }

    fn begins_epoch(self, shard: ShardId) -> Result<Self, MessageDamage> {
        let mut fields = Fields::new(self.records);
        let (boot, found) = (fields.array::<16>(), fields.u16());
        match (boot, found, self.records.len()) {
            (Some(boot), Some(found), EPOCH_BYTES) if found == shard.0 => Ok(Self { boot: Some(boot), ..self }),
            (Some(_), Some(found), EPOCH_BYTES) => Err(MessageDamage::Shard { found: ShardId(found) }),
            _ => Err(MessageDamage::Frame("it is no record of an epoch")),
        }
    }
}
