//! The short run of every fuzz target, on any machine: its whole corpus, then mutations from a fixed seed. The long run is
//! `cargo xtask fuzz`.

#![expect(clippy::print_stdout, reason = "how much was tried is the test's figure")]

use std::ops::ControlFlow;

use holdfast_fuzz::{Target, campaign};

/// Tries `rounds` mutations.
fn hold(target: Target, rounds: u64) -> anyhow::Result<()> {
    let mut go_on = |round| if round < rounds { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let tried = campaign::run(target, 0x401d_fa57, &mut go_on)?;
    println!("{}: {tried} inputs", target.name());
    assert!(tried > rounds, "the corpus was tried too");
    Ok(())
}

#[test]
fn no_bytes_make_the_frame_decoder_panic_or_accept_what_was_never_written() -> anyhow::Result<()> {
    hold(Target::Frame, 60_000)
}

#[test]
fn no_bytes_make_the_record_decoders_panic_reserve_too_much_or_misread() -> anyhow::Result<()> {
    hold(Target::Record, 60_000)
}

#[test]
fn no_bytes_make_the_survey_of_a_segment_panic_or_miscount() -> anyhow::Result<()> {
    hold(Target::Segment, 8_000)
}

#[test]
fn no_bytes_make_the_snapshot_decoder_panic_reserve_too_much_or_misread() -> anyhow::Result<()> {
    hold(Target::Snapshot, 30_000)
}

#[test]
fn no_body_makes_its_reader_panic_reserve_too_much_or_misread() -> anyhow::Result<()> {
    hold(Target::Body, 50_000)
}

#[test]
fn no_request_is_answered_with_a_fault_or_with_anything_but_a_problem() -> anyhow::Result<()> {
    hold(Target::Request, 25_000)
}

#[test]
fn no_settings_panic_or_are_read_otherwise_than_they_are_shown() -> anyhow::Result<()> {
    hold(Target::Settings, 4_000)
}
