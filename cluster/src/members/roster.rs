//! The other nodes, by what was heard of them.
//!
//! A node is dead when nothing was heard of it for `dead_after_ms` by this node's clock. What the sender's clock says plays no
//! part. While this node itself was cut off it heard nobody, which says nothing of the others: their silence counts from
//! when it could hear again.
//!
//! Invariant: a boot that was heard of dead or left is never taken for alive again before it beats anew.

use std::collections::BTreeMap;

use holdfast_core::{ShardId, Timestamp};

use super::beat::{Beat, Standing};
use crate::boot::BootId;

/// The most names that are remembered, in number: beyond that, those that were silent longest are forgotten.
const NAMES: usize = 4_096;
/// The most former lives that are remembered, in number.
const FORMER: usize = 4_096;

/// Everybody that was heard of.
#[derive(Debug)]
pub struct Roster {
    this: BootId,
    dead_after_ms: u64,
    /// Since when this node can hear.
    listening_since: Timestamp,
    members: BTreeMap<String, Member>,
    /// Whose boot it is, of the members' present ones.
    names: BTreeMap<BootId, String>,
    /// Lives that ended, and when that was noticed.
    former: BTreeMap<BootId, Timestamp>,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it said last.
    pub beat: Beat,
    /// When that was heard.
    pub heard_at: Timestamp,
    /// Whether it was found silent for too long since.
    is_dead: bool,
}

/// What became of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A node that was not known to live.
    Arrival,
    /// Its state or what it claims has changed.
    News,
    /// It lives, that is all.
    Same,
    /// A beat that was overtaken on its way, or one of a life that ended.
    Old,
    /// Another life of a name whose present one lives.
    Rival,
}

/// Whether the owner of a shard, named by its boot, still is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenure {
    /// It lives and claims the shard.
    Claimed,
    /// It lives, and its last beat did not claim the shard; when that was heard.
    Unclaimed(Timestamp),
    /// It is dead, left, or its node has another life.
    Gone,
    /// Nothing was heard of it, but not for long enough.
    Unheard,
}

impl Roster {
    /// A roster of the node with boot `this`, which begins to listen now.
    pub fn new(this: BootId, dead_after_ms: u64, now: Timestamp) -> Self {
        Self {
            this,
            dead_after_ms,
            listening_since: now,
            members: BTreeMap::new(),
            names: BTreeMap::new(),
            former: BTreeMap::new(),
        }
    }

    /// Takes in a beat, heard now.
    pub fn hear(&mut self, beat: Beat, now: Timestamp) -> Heard {
        if self.former.contains_key(&beat.boot) && beat.state != Standing::Alive {
            return Heard::Old;
        }
        let Some(known) = self.members.get(&beat.node) else {
            self.welcome(beat, now);
            return Heard::Arrival;
        };
        let was_alive = self.is_alive(known, now);
        if known.beat.boot != beat.boot {
            // Of two lives of one name that both go on, the one that has gone on for longer is believed. One that is only not
            // known to be dead, since nothing could be heard, does not go on for sure.
            if was_alive && known.heard_at >= self.listening_since && known.beat.unbroken_ms >= beat.unbroken_ms {
                return Heard::Rival;
            }
            self.retire(known.beat.boot, now);
            self.welcome(beat, now);
            return Heard::Arrival;
        }
        if beat.number <= known.beat.number {
            return Heard::Old;
        }
        let same = |beat: &Beat| (beat.state, beat.claims.iter().map(|(s, c)| (*s, c.epoch, c.is_leaving)).collect());
        let (now_said, said_before): ((Standing, Vec<_>), (Standing, Vec<_>)) = (same(&beat), same(&known.beat));
        self.welcome(beat, now);
        match (was_alive, now_said == said_before) {
            (false, _) => Heard::Arrival,
            (true, false) => Heard::News,
            (true, true) => Heard::Same,
        }
    }

    /// Finds out who was silent for too long; to be called often. While this node cannot hear, nobody is.
    pub fn notice(&mut self, can_hear: bool, now: Timestamp) {
        if !can_hear {
            self.listening_since = now;
            return;
        }
        let (since, limit) = (self.listening_since, self.dead_after_ms);
        for member in self.members.values_mut() {
            member.is_dead |= millis_since(member.heard_at.max(since), now) >= limit;
        }
    }

    /// Whether it has listened for long enough for silence to mean something.
    pub fn is_warm(&self, now: Timestamp) -> bool {
        millis_since(self.listening_since, now) >= self.dead_after_ms
    }

    /// Everybody, by name.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members.iter().map(|(name, member)| (name.as_str(), member))
    }

    /// The node of this name.
    pub fn member(&self, node: &str) -> Option<&Member> {
        self.members.get(node)
    }

    /// Those that live, by name; also those that are leaving.
    pub fn living(&self, now: Timestamp) -> impl Iterator<Item = (&str, &Member)> {
        self.members().filter(move |(_, member)| self.is_alive(member, now))
    }

    /// Whether a node lives.
    pub fn is_alive(&self, member: &Member, now: Timestamp) -> bool {
        member.beat.state != Standing::Left && !member.is_dead && self.silence(member, now) < self.dead_after_ms
    }

    /// The living node with this boot.
    pub fn node_of(&self, boot: BootId, now: Timestamp) -> Option<&str> {
        let name = self.names.get(&boot)?;
        self.members.get(name).filter(|member| self.is_alive(member, now)).map(|_| name.as_str())
    }

    /// Whether another boot still owns the shard.
    pub fn tenure(&self, boot: BootId, shard: ShardId, now: Timestamp) -> Tenure {
        if boot != self.this && self.former.contains_key(&boot) {
            return Tenure::Gone;
        }
        match self.names.get(&boot).and_then(|name| self.members.get(name)) {
            Some(member) if !self.is_alive(member, now) => Tenure::Gone,
            Some(member) if member.beat.claims.contains_key(&shard) => Tenure::Claimed,
            Some(member) => Tenure::Unclaimed(member.heard_at),
            None if self.is_warm(now) => Tenure::Gone,
            None => Tenure::Unheard,
        }
    }

    /// Whether a boot has ended for sure: it said so, or its node has another life. Silence is not sure.
    pub fn has_ended(&self, boot: BootId) -> bool {
        let left = |name| self.members.get(name).is_some_and(|member| member.beat.state == Standing::Left);
        self.former.contains_key(&boot) || self.names.get(&boot).is_some_and(left)
    }

    /// How long nothing was heard of a node although it could have been, in milliseconds.
    pub fn silence(&self, member: &Member, now: Timestamp) -> u64 {
        millis_since(member.heard_at.max(self.listening_since), now)
    }

    fn welcome(&mut self, beat: Beat, now: Timestamp) {
        self.former.remove(&beat.boot);
        self.names.insert(beat.boot, beat.node.clone());
        self.members.insert(beat.node.clone(), Member { beat, heard_at: now, is_dead: false });
        if self.members.len() > NAMES {
            let quietest = self.members.iter().min_by_key(|(_, member)| member.heard_at);
            if let Some(name) = quietest.map(|(name, _)| name.clone()) {
                self.members.remove(&name).map(|member| self.names.remove(&member.beat.boot));
            }
        }
    }

    fn retire(&mut self, boot: BootId, now: Timestamp) {
        self.names.remove(&boot);
        self.former.insert(boot, now);
        if self.former.len() > FORMER {
            let oldest = self.former.iter().min_by_key(|(_, at)| **at).map(|(boot, _)| *boot);
            oldest.map(|boot| self.former.remove(&boot));
        }
    }
}

pub(crate) fn millis_since(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_millis().saturating_sub(then.as_millis())).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A beat of a node that lives and claims nothing.
    pub(crate) fn beat(node: &str, boot: u8, number: u64) -> Beat {
        Beat {
            node: node.to_owned(),
            boot: BootId::from_bytes([boot; 16]),
            number,
            version: "0.1.0".to_owned(),
            wire: 1,
            admin_url: String::new(),
            started_at_ms: 0,
            unbroken_ms: number * 500,
            state: Standing::Alive,
            secret_digest: String::new(),
            claims: BTreeMap::new(),
            follows: BTreeMap::new(),
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn alive(roster: &Roster, now: i64) -> Vec<String> {
        roster.living(at(now)).map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn a_node_is_dead_after_silence_and_alive_again_when_it_beats_whatever_its_clock_says() {
        let mut roster = Roster::new(BootId::from_bytes([9; 16]), 3_000, at(0));
        assert_eq!(roster.hear(beat("n1", 1, 1), at(0)), Heard::Arrival);
        let mut late = beat("n1", 1, 2);
        late.started_at_ms = i64::MAX;
        assert_eq!(roster.hear(late, at(500)), Heard::Same);
        assert_eq!(alive(&roster, 3_499), ["n1"]);
        assert!(alive(&roster, 3_500).is_empty());
        assert_eq!(roster.tenure(BootId::from_bytes([1; 16]), ShardId(0), at(3_500)), Tenure::Gone);
        assert_eq!(roster.hear(beat("n1", 1, 3), at(4_000)), Heard::Arrival);
        assert_eq!(roster.hear(beat("n1", 1, 3), at(4_001)), Heard::Old, "the same beat again");
        assert_eq!(alive(&roster, 4_001), ["n1"]);
    }

    #[test]
    fn silence_does_not_count_while_the_listener_was_deaf_but_the_dead_stay_dead() {
        let mut roster = Roster::new(BootId::from_bytes([9; 16]), 3_000, at(0));
        roster.hear(beat("n1", 1, 1), at(0));
        roster.notice(true, at(3_000));
        roster.hear(beat("n2", 2, 1), at(3_000));
        for now in (3_500..9_000).step_by(500) {
            roster.notice(false, at(now));
        }
        roster.notice(true, at(9_000));
        assert_eq!(alive(&roster, 9_000), ["n2"]);
        assert!(!roster.is_warm(at(9_000)));
        roster.notice(true, at(11_500));
        assert!(alive(&roster, 11_500).is_empty());
    }

    #[test]
    fn a_new_life_ends_the_one_before_and_a_rival_of_a_living_one_is_told_apart() {
        let mut roster = Roster::new(BootId::from_bytes([9; 16]), 3_000, at(0));
        roster.hear(beat("n1", 1, 100), at(0));
        assert_eq!(roster.hear(beat("n1", 2, 1), at(500)), Heard::Rival, "the first still beats");
        assert_eq!(roster.hear(beat("n1", 2, 7), at(3_500)), Heard::Arrival);
        assert_eq!(roster.tenure(BootId::from_bytes([1; 16]), ShardId(0), at(3_500)), Tenure::Gone);
        let mut left = beat("n1", 2, 8);
        left.state = Standing::Left;
        assert_eq!(roster.hear(left, at(3_600)), Heard::News);
        assert!(alive(&roster, 3_600).is_empty(), "it said so itself");
        assert_eq!(roster.hear(beat("n1", 3, 1), at(3_700)), Heard::Arrival, "nothing to wait for");
    }

    #[test]
    fn a_new_life_is_believed_by_one_that_was_deaf_when_the_life_before_ended() {
        let mut roster = Roster::new(BootId::from_bytes([9; 16]), 3_000, at(0));
        roster.hear(beat("n1", 1, 100), at(0));
        roster.notice(false, at(60_000));
        assert_eq!(alive(&roster, 60_000), ["n1"], "nothing says that it is dead");
        assert_eq!(roster.hear(beat("n1", 2, 1), at(60_100)), Heard::Arrival);
        let tenure = |boot| roster.tenure(BootId::from_bytes([boot; 16]), ShardId(0), at(60_200));
        assert_eq!((tenure(1), tenure(2)), (Tenure::Gone, Tenure::Unclaimed(at(60_100))));
    }

    #[test]
    fn an_owner_that_was_never_heard_is_gone_only_after_listening_for_long_enough() {
        let roster = Roster::new(BootId::from_bytes([9; 16]), 3_000, at(0));
        let boot = BootId::from_bytes([1; 16]);
        assert_eq!(roster.tenure(boot, ShardId(0), at(2_999)), Tenure::Unheard);
        assert_eq!(roster.tenure(boot, ShardId(0), at(3_000)), Tenure::Gone);
    }
}
