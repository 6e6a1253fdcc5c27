//! The screen: a title, the rates and latencies, where the units are, the nodes, and as many shards as fit.
//!
//! Invariant: everything that matters fits into 80 columns and 24 lines.

use std::time::Duration;

use holdfast_cluster::operator::{ShardState, ShardStatus};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::view::{NodeRow, View};
use crate::cli::admin::{bytes, shard_word};

/// The smallest screen something sensible fits on.
pub(super) const NARROWEST: u16 = 60;
pub(super) const LOWEST: u16 = 12;

/// Draws what is seen, the shards from the `scroll`-th on.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, scroll: usize) {
    // Beside everything else there is always room for a few shards.
    let most_nodes = frame.area().height.saturating_sub(LOWEST).max(1);
    let nodes = u16::try_from(view.nodes.len()).unwrap_or(u16::MAX).min(most_nodes);
    let parts = [Constraint::Length(1), Constraint::Length(5), Constraint::Length(nodes + 1), Constraint::Min(3)];
    let [title, rates, node_rows, shard_rows] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(head(view)), title);
    frame.render_widget(Paragraph::new(figures(view)), rates);
    frame.render_widget(node_table(view), node_rows);
    draw_shards(frame, shard_rows, &view.shards, scroll);
}

fn head(view: &View) -> Line<'static> {
    let what = match &view.cluster {
        None => "a server on its own".to_owned(),
        Some(cluster) => {
            let moves = cluster.rebalance.as_ref();
            let moves = moves.map(|moves| format!(", moving {}/{}", moves.done, moves.moves)).unwrap_or_default();
            let isolated = if cluster.isolated { ", ISOLATED" } else { "" };
            format!("{}, revision {}{moves}{isolated}", cluster.deployment, cluster.revision)
        }
    };
    let mut spans = vec![Span::styled("holdfast top", bold()), Span::raw(format!("  {what}"))];
    match &view.trouble {
        Some(trouble) => spans.push(Span::styled(format!("  {trouble}"), Style::new().fg(Color::Red))),
        None => spans.push(Span::styled("  q leaves", dim())),
    }
    Line::from(spans)
}

fn figures(view: &View) -> Vec<Line<'static>> {
    let class = |class: &str| view.answers_per_s.get(class).copied().unwrap_or_default();
    let unit = |state: &str| rounded(view.units.get(state).copied().unwrap_or_default());
    vec![
        Line::from(format!(
            "answers  {:>9}/s   2xx {}   4xx {}   5xx {}",
            rounded(view.all_answers_per_s()),
            rounded(class("2xx")),
            rounded(class("4xx")),
            rounded(class("5xx"))
        )),
        Line::from(format!(
            "orders   {:>9}/s   refused {}/s   batches {}/s   {} orders in all",
            rounded(view.placed_per_s),
            rounded(view.rejected_per_s),
            rounded(view.batches_per_s),
            rounded(view.orders)
        )),
        Line::from(format!(
            "latency  placing p50 {}  p99 {}   all p50 {}  p99 {}",
            millis(view.placing.quantile_ms(0.5)),
            millis(view.placing.quantile_ms(0.99)),
            millis(view.all.quantile_ms(0.5)),
            millis(view.all.quantile_ms(0.99))
        )),
        Line::from(format!(
            "units    held {}   allocated {}   available {}   fulfilled {}   lapsed {}/s",
            unit("held"),
            unit("allocated"),
            unit("available"),
            unit("fulfilled"),
            rounded(view.lapsed_per_s)
        )),
        Line::default(),
    ]
}

fn node_table(view: &View) -> Table<'static> {
    let row = |node: &NodeRow| {
        let style = match node.state {
            "alive" | "alone" => Style::new(),
            "silent" | "dead" => Style::new().fg(Color::Red),
            _ => Style::new().fg(Color::Yellow),
        };
        let figures = [node.shards.to_string(), rounded(node.answers_per_s), millis(node.p99_ms)];
        let cells = [node.name.clone(), node.state.to_owned()].into_iter().chain(figures);
        Row::new(cells.chain([rounded(node.connections)]).map(Cell::from)).style(style)
    };
    let widths = [22, 9, 7, 10, 11, 12].map(Constraint::Length);
    let header = ["node", "state", "shards", "answers/s", "p99", "connections"];
    Table::new(view.nodes.iter().map(row), widths).header(Row::new(header).style(bold()))
}

fn draw_shards(frame: &mut Frame<'_>, area: Rect, shards: &[ShardStatus], scroll: usize) {
    let lines = usize::from(area.height.saturating_sub(1));
    // The last line says how many do not fit, if any do not.
    let fits = shards.len() <= lines;
    let shown = if fits { lines } else { lines.saturating_sub(1) };
    let from = if fits { 0 } else { scroll.min(shards.len().saturating_sub(shown)) };
    let mut rows: Vec<Row<'static>> = shards.iter().skip(from).take(shown).map(shard_row).collect();
    if !fits {
        let rest = shards.len().saturating_sub(from).saturating_sub(shown);
        rows.push(Row::new([Cell::from(format!("+{}", rest + from)), Cell::from("more: arrows")]).style(dim()));
    }
    let widths = [5, 16, 8, 7, 10, 10, 8, 8].map(Constraint::Length);
    let header = ["shard", "owner", "state", "epoch", "entities", "req/s", "mailbox", "memory"];
    frame.render_widget(Table::new(rows, widths).header(Row::new(header).style(bold())), area);
}

fn shard_row(shard: &ShardStatus) -> Row<'static> {
    let owner = shard.owner.as_deref().unwrap_or("-");
    let place = match &shard.desired {
        Some(desired) if Some(desired) != shard.owner.as_ref() => format!("{owner}>{desired}"),
        _ => owner.to_owned(),
    };
    let style = match shard.state {
        ShardState::Owned => Style::new(),
        ShardState::Moving => Style::new().fg(Color::Yellow),
        ShardState::Unowned => Style::new().fg(Color::Red),
    };
    let cells = [
        shard.shard.0.to_string(),
        place,
        shard_word(shard.state).to_owned(),
        shard.epoch.to_string(),
        shard.entities.to_string(),
        rounded(shard.commands_per_s),
        shard.mailbox_depth.to_string(),
        bytes(shard.memory_bytes),
    ];
    Row::new(cells.map(Cell::from)).style(style)
}

/// A number without digits nobody reads.
fn rounded(value: f64) -> String {
    if value > 0.0 && value < 10.0 && value.fract() > 0.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A time in milliseconds.
fn millis(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(beyond) if beyond.is_infinite() => format!(">{:?}", Duration::from_secs(10)),
        Some(millis) if millis < 10.0 => format!("{millis:.2} ms"),
        Some(millis) => format!("{millis:.0} ms"),
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
