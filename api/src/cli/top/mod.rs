//! `top`: a cluster, or a server on its own, as it is right now: rates, latencies, mailboxes, shards, holds, nodes.
//!
//! Read in this order: `scrape` reads one node's metrics; `sample` asks all nodes at one moment; `view` compares two
//! samples; `screen` draws that. Keys: `q` leaves, the arrows scroll the shards.

mod sample;
mod scrape;
mod screen;
mod view;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use ratatui::{
    DefaultTerminal, Terminal,
    backend::TestBackend,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use tokio::runtime::Runtime;

use self::{sample::Sample, view::View};
use super::{
    admin::client::{AdminClient, Reach},
    console,
};

/// How often the keyboard is looked at while the next sample is waited for.
const GLANCE: Duration = Duration::from_millis(100);

/// Where to look, and how.
#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    #[command(flatten)]
    reach: Reach,
    /// The time between two looks, in milliseconds; rates and percentiles are of what happened in between.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    every_ms: u64,
    /// Print one screen as text and leave: for scripts.
    #[arg(long)]
    once: bool,
    /// The width of that screen, in characters.
    #[arg(long, value_name = "COLUMNS", default_value_t = 80, requires = "once")]
    columns: u16,
    /// The height of that screen, in lines.
    #[arg(long, value_name = "LINES", default_value_t = 24, requires = "once")]
    lines: u16,
}

/// What a key asks for.
enum Wish {
    Leave,
    Scroll(i32),
}

/// Runs the command.
pub(crate) fn run(arguments: &TopArguments) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&arguments.reach)?;
    let every = Duration::from_millis(arguments.every_ms);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the operating system gave no event queue")?;
    let first = runtime.block_on(Sample::take(&client))?;
    if arguments.once {
        let second = runtime.block_on(async {
            tokio::time::sleep(every).await;
            Sample::take(&client).await
        })?;
        console::say(as_text(&View::between(&first, &second), arguments.columns, arguments.lines)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(io::stdout().is_terminal(), "standard output is no terminal: `holdfast top --once` prints one screen");
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on")?;
    let shown = show(&mut terminal, &runtime, &client, first, every);
    ratatui::try_restore().context("the terminal cannot be given back")?;
    shown
}

/// Draws a look after another until somebody leaves.
fn show(
    terminal: &mut DefaultTerminal,
    runtime: &Runtime,
    client: &AdminClient,
    first: Sample,
    every: Duration,
) -> anyhow::Result<ExitCode> {
    let (mut before, mut scroll) = (first, 0_usize);
    let mut view = View::between(&before, &before);
    loop {
        terminal.draw(|frame| screen::draw(frame, &view, scroll)).context("the terminal cannot be drawn on")?;
        match wait(every)? {
            Some(Wish::Leave) => return Ok(ExitCode::SUCCESS),
            Some(Wish::Scroll(by)) => {
                let last = view.shards.len().saturating_sub(1);
                scroll = scroll.saturating_add_signed(isize::try_from(by)?).min(last);
            }
            None => match runtime.block_on(Sample::take(client)) {
                Ok(now) => {
                    view = View::between(&before, &now);
                    before = now;
                }
                // The last look stays on the screen, with the reason why there is no newer one.
                Err(error) => view.trouble = Some(error.to_string()),
            },
        }
    }
}

/// Waits until the next look is due, or a key wants something.
fn wait(every: Duration) -> anyhow::Result<Option<Wish>> {
    let mut left = every;
    while !left.is_zero() {
        let glance = left.min(GLANCE);
        if event::poll(glance).context("the keyboard cannot be read")? {
            if let Some(wish) = wish(&event::read().context("the keyboard cannot be read")?) {
                return Ok(Some(wish));
            }
        } else {
            left = left.saturating_sub(glance);
        }
    }
    Ok(None)
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Leave),
            KeyCode::Down | KeyCode::Char('j') => Some(Wish::Scroll(1)),
            KeyCode::Up | KeyCode::Char('k') => Some(Wish::Scroll(-1)),
            KeyCode::PageDown => Some(Wish::Scroll(10)),
            KeyCode::PageUp => Some(Wish::Scroll(-10)),
            _ => None,
        },
        // Drawn anew at once, for the new size.
        Event::Resize(..) => Some(Wish::Scroll(0)),
        _ => None,
    }
}

/// The screen as text, without colors and without spaces at the ends of lines.
fn as_text(view: &View, columns: u16, lines: u16) -> anyhow::Result<String> {
    if columns < screen::NARROWEST || lines < screen::LOWEST {
        bail!("a screen has at least {} columns and {} lines", screen::NARROWEST, screen::LOWEST);
    }
    let mut terminal = Terminal::new(TestBackend::new(columns, lines))?;
    terminal.draw(|frame| screen::draw(frame, view, 0))?;
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(columns));
    let text = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned());
    Ok(text.collect::<Vec<_>>().join("\n"))
}
