//! The points at which the server is killed: every step of a write, a sync, an answer, a snapshot, a checkpoint, a change of
//! segments, and of the recovery itself.

use crate::{
    dice::Dice,
    fault::{Rule, RuleCall},
};

const SEGMENTS: &str = "journal/segment-*.journal";
const SNAPSHOTS: &str = "snapshots/slabs/*";
/// sled's log: one write and one sync for each of our flushes.
const FLUSHES: &str = "snapshots/metadata/log_*";
const ACKNOWLEDGMENTS: &str = "HTTP/1.1 201*";

/// From when on the point's calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Some time after the load began.
    UnderLoad,
    /// From the start of the process.
    FromStart,
}

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A point.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $point,)* }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)* }
            }
        }
    };
}

points! {
    /// Anywhere: after a random time.
    Random = "random",
    /// A frame is about to be written.
    BeforeWrite = "before-write",
    /// Half of a frame is written.
    TornWrite = "torn-write",
    /// A frame is written and not synced.
    AfterWrite = "after-write",
    /// A sync is about to begin.
    BeforeSync = "before-sync",
    /// A sync has returned, and nobody was told.
    AfterSync = "after-sync",
    /// An acknowledgment is about to be sent.
    BeforeAck = "before-ack",
    /// An acknowledgment was sent.
    AfterAck = "after-ack",
    /// The next segment is zeroed and has no name yet.
    SegmentZeroed = "segment-zeroed",
    /// The next segment has its name, and the folder is not synced.
    SegmentNamed = "segment-named",
    /// The next segment is there for certain.
    SegmentReady = "segment-ready",
    /// The next segment is about to be begun.
    SegmentBegin = "segment-begin",
    /// Half of the header that begins a segment is written.
    SegmentTorn = "segment-torn",
    /// The header that begins a segment is written and not synced.
    SegmentBegun = "segment-begun",
    /// A snapshot is about to be written.
    SnapshotWrite = "snapshot-write",
    /// Half of a snapshot is written.
    SnapshotTorn = "snapshot-torn",
    /// Snapshots are written and not synced.
    SnapshotSync = "snapshot-sync",
    /// Snapshots are flushed, their watermark is about to move.
    CheckpointBefore = "checkpoint-before",
    /// Half of the entry that moves the watermark is written.
    CheckpointTorn = "checkpoint-torn",
    /// The entry that moves the watermark is written and not synced.
    CheckpointWritten = "checkpoint-written",
    /// The watermark has moved.
    CheckpointAfter = "checkpoint-after",
    /// An old segment is about to be deleted.
    PurgeBefore = "purge-before",
    /// An old segment was deleted, and the folder is not synced.
    PurgeAfter = "purge-after",
    /// A recovery is about to write what was written last once more.
    RecoveryWrite = "recovery-write",
    /// A recovery has written half of what was written last.
    RecoveryTorn = "recovery-torn",
}

impl Point {
    /// The point of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.name() == name)
    }

    /// From when on its calls are counted.
    pub const fn when(self) -> When {
        match self {
            // Which flush moves a watermark is known only if all are counted.
            Self::CheckpointBefore | Self::CheckpointTorn | Self::CheckpointWritten | Self::CheckpointAfter => {
                When::FromStart
            }
            Self::RecoveryWrite | Self::RecoveryTorn => When::FromStart,
            _ => When::UnderLoad,
        }
    }

    /// Whether it wants one shard only. Then flushes take turns, snapshots and watermark, and no shard with little to do
    /// keeps the others' segments from being purged.
    pub const fn wants_one_shard(self) -> bool {
        let is_checkpoint = matches!(
            self,
            Self::CheckpointBefore | Self::CheckpointTorn | Self::CheckpointWritten | Self::CheckpointAfter
        );
        is_checkpoint || matches!(self, Self::PurgeBefore | Self::PurgeAfter)
    }

    /// Whether old segments are purged meanwhile. Then snapshots cannot be rebuilt, and whatever a kill does to them counts.
    pub const fn wants_purges(self) -> bool {
        matches!(self, Self::SnapshotWrite | Self::SnapshotTorn | Self::SnapshotSync) || self.wants_one_shard()
    }

    /// What the fault layer is told. None for a kill from outside.
    pub fn rules(self, random: &mut Dice) -> Vec<Rule> {
        let often = 1 + random.below(30);
        let seldom = 1 + random.below(3);
        let watermark = 2 * (1 + random.below(3));
        let rule = match self {
            Self::Random => return Vec::new(),
            Self::BeforeWrite => Rule::kill_before(RuleCall::Write, SEGMENTS).in_body().nth(often),
            Self::TornWrite => Rule::tear(SEGMENTS).in_body().nth(often),
            Self::AfterWrite => Rule::kill_after(RuleCall::Write, SEGMENTS).in_body().nth(often),
            Self::BeforeSync => Rule::kill_before(RuleCall::Sync, SEGMENTS).nth(often),
            Self::AfterSync => Rule::kill_after(RuleCall::Sync, SEGMENTS).nth(often),
            Self::BeforeAck => Rule::kill_before(RuleCall::Send, ACKNOWLEDGMENTS).nth(often),
            Self::AfterAck => Rule::kill_after(RuleCall::Send, ACKNOWLEDGMENTS).nth(often),
            Self::SegmentZeroed => Rule::kill_before(RuleCall::Rename, SEGMENTS).nth(seldom),
            Self::SegmentNamed => Rule::kill_after(RuleCall::Rename, SEGMENTS).nth(seldom),
            Self::SegmentReady => Rule::kill_after(RuleCall::SyncDirectory, "journal").nth(seldom),
            Self::SegmentBegin => Rule::kill_before(RuleCall::Write, SEGMENTS).at_head().nth(seldom),
            Self::SegmentTorn => Rule::tear(SEGMENTS).at_head().nth(seldom),
            Self::SegmentBegun => Rule::kill_after(RuleCall::Write, SEGMENTS).at_head().nth(seldom),
            Self::SnapshotWrite => Rule::kill_before(RuleCall::Write, SNAPSHOTS).nth(often),
            Self::SnapshotTorn => Rule::tear(SNAPSHOTS).nth(often),
            Self::SnapshotSync => Rule::kill_before(RuleCall::Sync, SNAPSHOTS).nth(often),
            Self::CheckpointBefore => Rule::kill_before(RuleCall::Write, FLUSHES).nth(watermark),
            Self::CheckpointTorn => Rule::tear(FLUSHES).nth(watermark),
            Self::CheckpointWritten => Rule::kill_after(RuleCall::Write, FLUSHES).nth(watermark),
            Self::CheckpointAfter => Rule::kill_after(RuleCall::Sync, FLUSHES).nth(watermark),
            Self::PurgeBefore => Rule::kill_before(RuleCall::Unlink, SEGMENTS).nth(seldom),
            Self::PurgeAfter => Rule::kill_after(RuleCall::Unlink, SEGMENTS).nth(seldom),
            Self::RecoveryWrite => Rule::kill_before(RuleCall::Write, SEGMENTS).nth(1),
            Self::RecoveryTorn => Rule::tear(SEGMENTS).nth(1),
        };
        vec![rule]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_and_a_rule() {
        let names: BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
        for &point in Point::ALL {
            assert_eq!(Point::of_name(point.name()), Some(point));
            let rules = point.rules(&mut Dice::new(1));
            assert_eq!(rules.len(), usize::from(point != Point::Random), "{}", point.name());
        }
    }
}
