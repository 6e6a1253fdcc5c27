//! What an edition is called: `<root>.<shard>.<watermark>.<epoch>.pages` and `.end`.
//!
//! Invariant: of one shard's editions the later is the one that contains more records; of two that contain the same, the one
//! of the later epoch. No two writers write the same one, for an epoch is begun once.

use std::cmp::Ordering;

use holdfast_core::ShardId;

/// Every snapshot of a shard as of one watermark, as one owner had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edition {
    pub(super) shard: ShardId,
    /// Everything up to this record is in it.
    pub(super) watermark: u64,
    /// The epoch in which its writer owned the shard.
    pub(super) epoch: u64,
}

/// What an edition consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Its snapshots.
    Pages,
    /// How many there are.
    End,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::End => "end",
        }
    }
}

impl Edition {
    pub(super) fn subject(&self, root: &str, part: Part) -> String {
        format!("{root}.{}.{}.{}.{}", self.shard.0, self.watermark, self.epoch, part.name())
    }

    /// Reads a subject; `None` when it names no part of an edition.
    pub(super) fn parse(root: &str, subject: &str) -> Option<(Self, Part)> {
        let mut words = subject.strip_prefix(root)?.strip_prefix('.')?.split('.');
        let (shard, watermark, epoch) = (words.next()?, words.next()?, words.next()?);
        let part = [Part::Pages, Part::End].into_iter().find(|part| words.clone().eq([part.name()]))?;
        let (shard, watermark, epoch) = (ShardId(shard.parse().ok()?), watermark.parse().ok()?, epoch.parse().ok()?);
        Some((Self { shard, watermark, epoch }, part))
    }
}

impl Ord for Edition {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |edition: &Self| (edition.shard, edition.watermark, edition.epoch);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Edition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_what_it_was_made_from_and_nothing_else_is() {
        let edition = Edition { shard: ShardId(3), watermark: 1_000, epoch: 7 };
        for part in [Part::Pages, Part::End] {
            assert_eq!(Edition::parse("a.b", &edition.subject("a.b", part)), Some((edition, part)));
        }
        for other in ["a.b.3.1000.7", "a.b.3.1000.7.pages.x", "a.c.3.1000.7.end", "a.b.x.1000.7.end", "a.b3.1000.7.end"]
        {
            assert_eq!(Edition::parse("a.b", other), None, "{other}");
        }
    }

    #[test]
    fn the_later_edition_is_the_one_with_more_records_whoever_wrote_it() {
        let edition = |watermark, epoch| Edition { shard: ShardId(3), watermark, epoch };
        assert!(edition(11, 1) > edition(10, 9));
        assert!(edition(10, 2) > edition(10, 1));
    }
}
