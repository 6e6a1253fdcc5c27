//! What a node does next about one shard, from what is so now. It remembers nothing: whatever was begun and interrupted, or
//! overtaken by another node, is gone on with from where it stands.
//!
//! Invariant: nothing here is about safety. A takeover that should not have been fences the owner before, which costs a
//! moment of that shard and no record.

use holdfast_actors::Role;
use holdfast_core::Timestamp;

use crate::{boot::BootId, members::roster::Tenure, owners::Ownership};

/// A step towards the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin the shard's next epoch here, and open it.
    TakeOver {
        /// Whether its owner has let it go.
        clean: bool,
    },
    /// It is this node's in the journal already: open it.
    Open,
    /// Give it to the node with this boot.
    HandOver {
        /// Who gets it.
        to: BootId,
    },
    /// Another node has it: forget what is not durable, and follow.
    Demote,
}

/// What a node knows about a shard.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// This life of this node.
    pub boot: BootId,
    /// Whether the shard shall be here.
    pub is_home: bool,
    /// The living node it shall be on, if that is another one that follows it closely.
    pub heir: Option<BootId>,
    /// Who owns it, by its stream.
    pub ownership: Ownership,
    /// When that was learned.
    pub learned_at: Timestamp,
    /// What became of that owner, if it is another node, or not known.
    pub tenure: Tenure,
    /// The epoch in which its owner said that it let go of it.
    pub yielded: Option<u64>,
    /// Whether this node may append to it.
    pub owns: bool,
    /// What it is here.
    pub role: Role,
    /// Whether a quorum knows this node.
    pub is_connected: bool,
    /// How often nodes beat, in milliseconds.
    pub beat_interval_ms: u64,
}

/// The next step, if there is one to take now.
pub fn next_step(sight: &Sight) -> Option<Step> {
    match (sight.owns, sight.role) {
        (false, Role::Owner) => Some(Step::Demote),
        (_, Role::Away) => None,
        _ if !sight.is_connected => None,
        (true, role) => match sight.heir {
            Some(to) if !sight.is_home => Some(Step::HandOver { to }),
            // Also if it shall be elsewhere: until the heir is there, somebody has to serve it.
            _ => (role == Role::Follower).then_some(Step::Open),
        },
        (false, Role::Follower) => {
            let free = sight.is_home.then(|| freedom(sight)).flatten();
            free.map(|clean| Step::TakeOver { clean })
        }
    }
}

/// Whether the shard is free to be taken, and if so, whether its owner has let it go.
fn freedom(sight: &Sight) -> Option<bool> {
    let Ownership { epoch, boot: owner, .. } = sight.ownership;
    if epoch == 0 || owner == Some(sight.boot) || sight.yielded == Some(epoch) {
        return Some(true);
    }
    match sight.tenure {
        Tenure::Gone => Some(false),
        // The beat may have been on its way while the owner took the shard over: one that was heard well after counts.
        Tenure::Unclaimed(heard_at) => {
            let beats = i64::try_from(sight.beat_interval_ms).unwrap_or(i64::MAX);
            (heard_at > sight.learned_at.saturating_add_millis(beats)).then_some(true)
        }
        Tenure::Claimed | Tenure::Unheard => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: BootId = BootId::from_bytes([1; 16]);
    const OTHER: BootId = BootId::from_bytes([2; 16]);

    /// A shard that shall be here, is followed here, and belongs to another node that lives.
    fn sight() -> Sight {
        Sight {
            boot: THIS,
            is_home: true,
            heir: None,
            ownership: Ownership { epoch: 4, boot: Some(OTHER), is_here: false },
            learned_at: Timestamp::from_millis(1_000),
            tenure: Tenure::Claimed,
            yielded: None,
            owns: false,
            role: Role::Follower,
            is_connected: true,
            beat_interval_ms: 500,
        }
    }

    #[test]
    fn a_shard_is_taken_from_the_dead_from_nobody_and_from_those_who_let_it_go() {
        assert_eq!(next_step(&sight()), None, "its owner lives and claims it");
        let gone = Sight { tenure: Tenure::Gone, ..sight() };
        assert_eq!(next_step(&gone), Some(Step::TakeOver { clean: false }));
        assert_eq!(next_step(&Sight { is_connected: false, ..gone }), None);
        assert_eq!(next_step(&Sight { role: Role::Away, ..gone }), None, "it is not warm here");
        assert_eq!(next_step(&Sight { is_home: false, ..gone }), None);
        let clean = Some(Step::TakeOver { clean: true });
        assert_eq!(next_step(&Sight { ownership: Ownership::default(), ..sight() }), clean);
        assert_eq!(next_step(&Sight { yielded: Some(4), ..sight() }), clean);
        assert_eq!(next_step(&Sight { yielded: Some(3), ..sight() }), None, "an earlier epoch");
        let unknown = Sight { ownership: Ownership { boot: None, ..sight().ownership }, ..sight() };
        assert_eq!(next_step(&Sight { tenure: Tenure::Unheard, ..unknown }), None, "whoever it is may live");
        assert_eq!(next_step(&Sight { tenure: Tenure::Gone, ..unknown }), Some(Step::TakeOver { clean: false }));
        let own = Ownership { boot: Some(THIS), ..sight().ownership };
        assert_eq!(next_step(&Sight { ownership: own, ..sight() }), clean);
        let heard = |millis| Sight { tenure: Tenure::Unclaimed(Timestamp::from_millis(millis)), ..sight() };
        assert_eq!(next_step(&heard(1_400)), None, "said before it took the shard over, perhaps");
        assert_eq!(next_step(&heard(1_501)), clean);
    }

    #[test]
    fn an_owner_gives_to_an_heir_keeps_without_one_and_forgets_when_it_was_overtaken() {
        let own = Ownership { boot: Some(THIS), epoch: 4, is_here: true };
        let owner = Sight { ownership: own, owns: true, role: Role::Owner, ..sight() };
        assert_eq!(next_step(&owner), None);
        assert_eq!(next_step(&Sight { is_home: false, ..owner }), None, "nobody is ready for it");
        let inherited = Sight { is_home: false, heir: Some(OTHER), ..owner };
        assert_eq!(next_step(&inherited), Some(Step::HandOver { to: OTHER }));
        assert_eq!(next_step(&Sight { is_connected: false, ..inherited }), None);
        assert_eq!(next_step(&Sight { owns: false, ..owner }), Some(Step::Demote));
        assert_eq!(next_step(&Sight { role: Role::Follower, ..owner }), Some(Step::Open), "interrupted");
        assert_eq!(next_step(&Sight { role: Role::Follower, ..inherited }), Some(Step::HandOver { to: OTHER }));
    }
}
