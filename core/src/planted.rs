//! Planted bugs: mistakes that real systems have made, put in on purpose to see whether the simulation finds them.
//!
//! Invariant: without the feature `planted`, [`planted!`](crate::planted!) is the word `false` and no bug exists. The feature
//! is never a default, and only the simulation's own feature turns it on (`tests/tests/tidy/planted.rs`).
//!
//! A bug is planted in a thread: a run of the simulation lives in one, so runs with different bugs go on side by side.

/// Whether the bug of this name is planted here: one short condition at the place of the mistake.
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}

/// Whether the bug of this name is planted here: never, in this build.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(feature = "planted")]
pub use present::{Bug, Planted, is_planted};

#[cfg(feature = "planted")]
mod present {
    extern crate std;

    use core::cell::Cell;

    std::thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// A mistake.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Bug {
        /// A batch is reported durable before its sync.
        AckBeforeSync,
        /// A sync that fails counts as one that worked.
        SyncErrorSwallowed,
        /// A sync that fails is tried again, and the second answer believed.
        SyncRetried,
        /// What a failed sync left in the page cache is taken for durable after a restart.
        PageCacheTrusted,
        /// The directory is not synced after a segment got its name.
        NameNotSynced,
        /// A torn tail is accepted: a frame's checksum is not looked at.
        ChecksumIgnored,
        /// A torn tail is counted as part of the journal: the next frame goes behind it.
        TornTailKept,
        /// A batch is split over two frames.
        BatchSplit,
        /// The records of a frame are replayed last first.
        ReplayOutOfOrder,
        /// Snapshots are written before the journal has their events.
        SnapshotAheadOfJournal,
        /// An answer is let out before its batch is durable.
        AnswerBeforeBatch,
        /// A turn that wrote nothing lets its answers out at once, whatever they saw.
        ReadOfUndurable,
        /// The watermark moves when a checkpoint begins, not when it ends.
        WatermarkBeforeSnapshots,
        /// The watermark names one record more than the snapshots contain.
        WatermarkTooFar,
        /// An entity leaves memory before its snapshot is durable.
        PassivatedTooEarly,
        /// A replay applies records that the snapshot contains.
        SnapshotReplayedAgain,
        /// Settled orders, and with them their keys, are forgotten on recovery.
        DedupeForgotten,
        /// A key used for another request is answered with the first one's order.
        FingerprintIgnored,
        /// An entity that panicked keeps the memory it panicked with.
        PanickedNotRebuilt,
        /// Units given back are given back again when asked again.
        ReleasedTwice,
        /// Units allocated are allocated again when asked again.
        AllocatedTwice,
        /// A hold counts for a minute after it has expired.
        ExpiredHoldCounted,
        /// Nobody looks at the deadlines of holds.
        HoldNeverLapses,
        /// Holds lapse a minute before their time.
        HoldReleasedEarly,
        /// One unit more than there is can be held.
        SoldOutOffByOne,
        /// The limit per customer counts what was bought, not what is held.
        CustomerLimitBeforeHold,
        /// A canceled order keeps its units.
        HoldKeptOnCancel,
        /// An authorization that comes after the order has ended is captured.
        LateAuthorizationCaptured,
        /// An order that ended keeps its authorization.
        AuthorizationNotVoided,
        /// A capture is repeated under another key.
        CaptureKeyChanged,
        /// A refund is granted whatever was refunded before.
        RefundLargerThanCapture,
        /// A refund that is asked for again is granted again.
        RefundRepeated,
    }

    impl Bug {
        /// Every one there is.
        pub const ALL: [Self; 32] = [
            Self::AckBeforeSync,
            Self::SyncErrorSwallowed,
            Self::SyncRetried,
            Self::PageCacheTrusted,
            Self::NameNotSynced,
            Self::ChecksumIgnored,
            Self::TornTailKept,
            Self::BatchSplit,
            Self::ReplayOutOfOrder,
            Self::SnapshotAheadOfJournal,
            Self::AnswerBeforeBatch,
            Self::ReadOfUndurable,
            Self::WatermarkBeforeSnapshots,
            Self::WatermarkTooFar,
            Self::PassivatedTooEarly,
            Self::SnapshotReplayedAgain,
            Self::DedupeForgotten,
            Self::FingerprintIgnored,
            Self::PanickedNotRebuilt,
            Self::ReleasedTwice,
            Self::AllocatedTwice,
            Self::ExpiredHoldCounted,
            Self::HoldNeverLapses,
            Self::HoldReleasedEarly,
            Self::SoldOutOffByOne,
            Self::CustomerLimitBeforeHold,
            Self::HoldKeptOnCancel,
            Self::LateAuthorizationCaptured,
            Self::AuthorizationNotVoided,
            Self::CaptureKeyChanged,
            Self::RefundLargerThanCapture,
            Self::RefundRepeated,
        ];

        /// Its name on the command line.
        pub const fn name(self) -> &'static str {
            match self {
                Self::AckBeforeSync => "ack-before-sync",
                Self::SyncErrorSwallowed => "sync-error-swallowed",
                Self::SyncRetried => "sync-retried",
                Self::PageCacheTrusted => "page-cache-trusted",
                Self::NameNotSynced => "name-not-synced",
                Self::ChecksumIgnored => "checksum-ignored",
                Self::TornTailKept => "torn-tail-kept",
                Self::BatchSplit => "batch-split",
                Self::ReplayOutOfOrder => "replay-out-of-order",
                Self::SnapshotAheadOfJournal => "snapshot-ahead-of-journal",
                Self::AnswerBeforeBatch => "answer-before-batch",
                Self::ReadOfUndurable => "read-of-undurable",
                Self::WatermarkBeforeSnapshots => "watermark-before-snapshots",
                Self::WatermarkTooFar => "watermark-too-far",
                Self::PassivatedTooEarly => "passivated-too-early",
                Self::SnapshotReplayedAgain => "snapshot-replayed-again",
                Self::DedupeForgotten => "dedupe-forgotten",
                Self::FingerprintIgnored => "fingerprint-ignored",
                Self::PanickedNotRebuilt => "panicked-not-rebuilt",
                Self::ReleasedTwice => "released-twice",
                Self::AllocatedTwice => "allocated-twice",
                Self::ExpiredHoldCounted => "expired-hold-counted",
                Self::HoldNeverLapses => "hold-never-lapses",
                Self::HoldReleasedEarly => "hold-released-early",
                Self::SoldOutOffByOne => "sold-out-off-by-one",
                Self::CustomerLimitBeforeHold => "customer-limit-before-hold",
                Self::HoldKeptOnCancel => "hold-kept-on-cancel",
                Self::LateAuthorizationCaptured => "late-authorization-captured",
                Self::AuthorizationNotVoided => "authorization-not-voided",
                Self::CaptureKeyChanged => "capture-key-changed",
                Self::RefundLargerThanCapture => "refund-larger-than-capture",
                Self::RefundRepeated => "refund-repeated",
            }
        }

        /// What is done wrong.
        pub const fn mistake(self) -> &'static str {
            match self {
                Self::AckBeforeSync => "a batch is reported durable before its sync",
                Self::SyncErrorSwallowed => "a sync that fails counts as one that worked",
                Self::SyncRetried => "a sync that fails is tried again, and the second answer believed",
                Self::PageCacheTrusted => {
                    "what a failed sync left in the page cache is taken for durable after a restart"
                }
                Self::NameNotSynced => "the directory is not synced after a segment got its name",
                Self::ChecksumIgnored => "a torn tail is accepted: a frame's checksum is not looked at",
                Self::TornTailKept => "a torn tail is counted as part of the journal: the next frame goes behind it",
                Self::BatchSplit => "a batch is split over two frames",
                Self::ReplayOutOfOrder => "the records of a frame are replayed last first",
                Self::SnapshotAheadOfJournal => "snapshots are written before the journal has their events",
                Self::AnswerBeforeBatch => "an answer is let out before its batch is durable",
                Self::ReadOfUndurable => "a turn that wrote nothing lets its answers out at once, whatever they saw",
                Self::WatermarkBeforeSnapshots => "the watermark moves when a checkpoint begins, not when it ends",
                Self::WatermarkTooFar => "the watermark names one record more than the snapshots contain",
                Self::PassivatedTooEarly => "an entity leaves memory before its snapshot is durable",
                Self::SnapshotReplayedAgain => "a replay applies records that the snapshot contains",
                Self::DedupeForgotten => "settled orders, and with them their keys, are forgotten on recovery",
                Self::FingerprintIgnored => "a key used for another request is answered with the first one's order",
                Self::PanickedNotRebuilt => "an entity that panicked keeps the memory it panicked with",
                Self::ReleasedTwice => "units given back are given back again when asked again",
                Self::AllocatedTwice => "units allocated are allocated again when asked again",
                Self::ExpiredHoldCounted => "a hold counts for a minute after it has expired",
                Self::HoldNeverLapses => "nobody looks at the deadlines of holds",
                Self::HoldReleasedEarly => "holds lapse a minute before their time",
                Self::SoldOutOffByOne => "one unit more than there is can be held",
                Self::CustomerLimitBeforeHold => "the limit per customer counts what was bought, not what is held",
                Self::HoldKeptOnCancel => "a canceled order keeps its units",
                Self::LateAuthorizationCaptured => "an authorization that comes after the order has ended is captured",
                Self::AuthorizationNotVoided => "an order that ended keeps its authorization",
                Self::CaptureKeyChanged => "a capture is repeated under another key",
                Self::RefundLargerThanCapture => "a refund is granted whatever was refunded before",
                Self::RefundRepeated => "a refund that is asked for again is granted again",
            }
        }
    }

    /// Keeps a bug planted in this thread until it is dropped.
    #[derive(Debug)]
    pub struct Planted(());

    impl Planted {
        /// Plants `bug`, in place of any other.
        #[must_use]
        pub fn plant(bug: Bug) -> Self {
            BUG.set(Some(bug));
            Self(())
        }
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            BUG.set(None);
        }
    }

    /// Whether `bug` is planted in this thread.
    pub fn is_planted(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }
}
