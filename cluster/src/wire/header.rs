//! What stands in front of everything that a node sends another: for which shard it is, in which of its epochs, and until
//! when it may be carried out.
//!
//! The epoch makes a request harmless that arrives late: it was meant for one owner in one epoch, and nobody else carries it
//! out, nor the same owner in a later one. The end is a time by the sender's clock: what lay around on the way is seen to be
//! late, which a time left to go could not show. So nodes' clocks have to agree to within a few seconds, as the deadlines of
//! orders want it too.

use holdfast_core::{ShardId, Timestamp};

use super::{VERSION, WireError};

/// The fixed fields: little-endian, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// Which shard it is for.
    pub shard: ShardId,
    /// The epoch of the owner that it is meant for; nobody else carries it out. Messages are for any: 0.
    pub epoch: u64,
    /// It is not carried out from then on, in milliseconds since the epoch by the sender's clock.
    pub expires_at: Timestamp,
    /// The same in every attempt at the same thing.
    pub command: u128,
    /// How many nodes have passed it on.
    pub hops: u8,
}

/// What a header stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request, which is answered.
    Ask = 1,
    /// A message between shards, which is not.
    Tell = 2,
}

/// A header and what is behind it.
pub type Split<'a> = (Header, &'a [u8]);

impl Header {
    /// How long it is.
    pub const BYTES: usize = 37;

    /// Appends it to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, self.kind as u8]);
        out.extend_from_slice(&self.shard.0.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.expires_at.as_millis().to_le_bytes());
        out.extend_from_slice(&self.command.to_le_bytes());
        out.push(self.hops);
    }

    /// Reads what [`Header::write`] wrote, and what is behind it.
    ///
    /// # Errors
    /// [`WireError`] when it is of another version, too short or of an unknown kind.
    pub fn split(bytes: &[u8]) -> Result<Split<'_>, WireError> {
        let cut_short = || WireError::CutShort(bytes.len());
        let (&version, rest) = bytes.split_first().ok_or_else(cut_short)?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        let (kind, rest) = rest.split_first().ok_or_else(cut_short)?;
        let kind = match kind {
            1 => Kind::Ask,
            2 => Kind::Tell,
            other => return Err(WireError::Kind(*other)),
        };
        let (shard, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
        let (expires_at, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
        let (command, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
        let (&hops, body) = rest.split_first().ok_or_else(cut_short)?;
        let header = Self {
            kind,
            shard: ShardId(u16::from_le_bytes(*shard)),
            epoch: u64::from_le_bytes(*epoch),
            expires_at: Timestamp::from_millis(i64::from_le_bytes(*expires_at)),
            command: u128::from_le_bytes(*command),
            hops,
        };
        Ok((header, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Ask,
            shard: ShardId(0x0102),
            epoch: 0x0304_0506_0708_090a,
            expires_at: Timestamp::from_millis(0x0b0c_0d0e_0f10_1112),
            command: 0x1314_1516_1718_191a_1b1c_1d1e_1f20_2122,
            hops: 0x23,
        }
    }

    #[test]
    fn a_header_has_these_bytes_for_good() {
        let golden = [
            VERSION, 1, 2, 1, 0xa, 9, 8, 7, 6, 5, 4, 3, 0x12, 0x11, 0x10, 0xf, 0xe, 0xd, 0xc, 0xb, 0x22, 0x21, 0x20,
            0x1f, 0x1e, 0x1d, 0x1c, 0x1b, 0x1a, 0x19, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x23,
        ];
        let mut bytes = Vec::new();
        header().write(&mut bytes);
        assert_eq!(bytes, golden);
        assert_eq!(bytes.len(), Header::BYTES);
        bytes.extend_from_slice(b"body");
        let (read, body) = Header::split(&bytes).unwrap();
        assert_eq!((read, body), (header(), &b"body"[..]));
    }

    #[test]
    fn another_version_an_unknown_kind_and_a_header_cut_short_are_errors() {
        let mut bytes = Vec::new();
        header().write(&mut bytes);
        for end in 0..bytes.len() {
            assert!(matches!(Header::split(&bytes[..end]), Err(WireError::CutShort(len)) if len == end), "{end}");
        }
        bytes[1] = 3;
        assert!(matches!(Header::split(&bytes), Err(WireError::Kind(3))));
        bytes[0] = 1;
        assert!(matches!(Header::split(&bytes), Err(WireError::Version(1))), "whatever its kind may mean there");
    }
}
