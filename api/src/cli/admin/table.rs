//! The cluster as tables for people.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use holdfast_cluster::operator::{ClusterStatus, NodeState, RebalancePlan, ShardState, ShardStatus};

/// The nodes, and one line about the whole.
pub(super) fn cluster(status: &ClusterStatus) -> String {
    let mut table = new(["node", "state", "shards", "last beat", "version", "boot", "admin"]);
    for node in &status.nodes {
        let beat = node.last_beat_ms.map_or_else(|| "-".to_owned(), |ago| format!("{ago} ms ago"));
        let boot = node.boot.map_or_else(|| "-".to_owned(), |boot| boot.to_string().chars().take(8).collect());
        table.add_row([
            Cell::new(&node.node),
            Cell::new(node_word(node.state)),
            number(node.shards),
            Cell::new(beat).set_alignment(CellAlignment::Right),
            Cell::new(&node.version),
            Cell::new(boot),
            Cell::new(&node.admin_url),
        ]);
    }
    let planner = status.coordinator.as_deref().unwrap_or("nobody");
    let mut text = format!(
        "{table}\ndeployment {}, asked {}, planned by {planner}, revision {}",
        status.deployment, status.this_node, status.revision
    );
    if let Some(moves) = &status.rebalance {
        let verb = if moves.cancelled { "canceled" } else { "under way" };
        let _ = write!(text, "; {} of {} moves done ({verb}, by {})", moves.done, moves.moves, moves.by);
    }
    if status.isolated {
        text.push_str("\nthis node has no proof of a majority: what it shows may be old");
    }
    text
}

/// The shards, and their sums.
pub(super) fn shards(shards: &[ShardStatus]) -> String {
    let mut table =
        new(["shard", "owner", "state", "epoch", "entities", "req/s", "mailbox", "lag", "memory", "sequence"]);
    for shard in shards {
        table.add_row([
            number(shard.shard.0),
            Cell::new(place(shard)),
            Cell::new(shard_word(shard.state)),
            number(shard.epoch),
            number(shard.entities),
            Cell::new(format!("{:.1}", shard.commands_per_s)).set_alignment(CellAlignment::Right),
            number(shard.mailbox_depth),
            number(shard.lag_records),
            Cell::new(bytes(shard.memory_bytes)).set_alignment(CellAlignment::Right),
            number(shard.sequence),
        ]);
    }
    let entities: u64 = shards.iter().map(|shard| shard.entities).sum();
    let rate: f64 = shards.iter().map(|shard| shard.commands_per_s).sum();
    let memory: u64 = shards.iter().map(|shard| shard.memory_bytes).sum();
    format!("{table}\n{} shards, {entities} entities, {rate:.1} req/s, {}", shards.len(), bytes(memory))
}

/// The moves, and why each.
pub(super) fn plan(plan: &RebalancePlan) -> String {
    if plan.moves.is_empty() {
        return format!("revision {}: every shard is where it shall be", plan.revision);
    }
    let mut table = new(["shard", "from", "to", "why"]);
    for step in &plan.moves {
        let from = step.from.as_deref().unwrap_or("-");
        table.add_row([number(step.shard.0), Cell::new(from), Cell::new(&step.to), Cell::new(&step.why)]);
    }
    let (count, verb) = (plan.moves.len(), if plan.dry_run { "would be" } else { "are" });
    format!("{table}\n{count} shards {verb} moved; revision {}", plan.revision)
}

/// Where a shard is, and where it goes if that is elsewhere.
fn place(shard: &ShardStatus) -> String {
    let owner = shard.owner.as_deref().unwrap_or("-");
    match &shard.desired {
        Some(desired) if Some(desired) != shard.owner.as_ref() => format!("{owner} -> {desired}"),
        _ => owner.to_owned(),
    }
}

/// A node's state, in a word.
pub(crate) fn node_word(state: NodeState) -> &'static str {
    match state {
        NodeState::Alive => "alive",
        NodeState::Draining => "draining",
        NodeState::Drained => "drained",
        NodeState::Dead => "dead",
    }
}

/// A shard's state, in a word.
pub(crate) fn shard_word(state: ShardState) -> &'static str {
    match state {
        ShardState::Owned => "owned",
        ShardState::Moving => "moving",
        ShardState::Unowned => "unowned",
    }
}

/// A size in bytes, to three digits.
pub(crate) fn bytes(count: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| count >= *size) {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        Some((size, unit)) => format!("{:.1} {unit}", count as f64 / *size as f64),
        None => format!("{count} B"),
    }
}

fn new<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(header);
    table
}

fn number(value: impl Into<u64>) -> Cell {
    Cell::new(value.into()).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use holdfast_core::ShardId;

    use super::*;

    #[test]
    fn a_shard_on_its_way_shows_both_ends() {
        let mut shard = ShardStatus {
            shard: ShardId(3),
            owner: Some("n1".to_owned()),
            desired: Some("n1".to_owned()),
            epoch: 7,
            state: ShardState::Owned,
            entities: 10,
            commands_per_s: 1.25,
            mailbox_depth: 0,
            lag_records: 0,
            memory_bytes: 3 << 20,
            sequence: 99,
        };
        assert_eq!(place(&shard), "n1");
        shard.desired = Some("n2".to_owned());
        assert_eq!(place(&shard), "n1 -> n2");
        shard.owner = None;
        assert_eq!(place(&shard), "- -> n2");
        let text = shards(&[shard]);
        assert!(text.contains("3.0 MiB") && text.contains("1 shards, 10 entities, 1.2 req/s"), "{text}");
    }

    #[test]
    fn sizes_have_a_unit_that_fits() {
        assert_eq!((bytes(0), bytes(1_023), bytes(1 << 10)), ("0 B".into(), "1023 B".into(), "1.0 KiB".into()));
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
