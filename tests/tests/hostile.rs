//! Clients that mean harm, against the real server: whatever they send is refused, whatever they do not read is not kept
//! for them, and it costs no memory.

use std::{fs, time::Duration};

use anyhow::Context as _;
use holdfast_api::load::server_process::{Launch, ServerProcess};
use holdfast_tests::{
    House,
    purchase::buy,
    strain::{
        harm,
        load::{Load, put_on},
        resident::{forget_peak, grown_mib, peaked_mib, resident_bytes},
        unread,
    },
};
use tokio::task::JoinSet;

/// What harmful requests may take at once, in MiB: a part of the 100 MB that the largest of them has.
const PEAK_MIB: u64 = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_that_means_harm_is_refused_without_a_fault_and_costs_no_memory() -> anyhow::Result<()> {
    let house = House::open()?;
    house.put_up("A", 10).await?;
    let (pid, address) = (house.server()?.pid(), house.shop().target().address());
    let (mut least_grown_mib, mut peak_mib, mut slowest, mut refusals) = (u64::MAX, 0, (Duration::ZERO, ""), 0);
    // The first round warms the allocator: what every round grows by is a leak.
    for _ in 0..3 {
        let before = forget_peak(pid)?;
        for harm in harm::everything(house.shop().admin_token().unwrap_or_default())? {
            let refusal = harm.inflict(address).await?;
            let is_refused = refusal.status.is_some_and(|status| (400..500).contains(&status));
            assert!(is_refused && !refusal.problem.is_empty(), "{}: {refusal:?}", harm.name);
            slowest = slowest.max((refusal.took, harm.name));
            refusals += 1;
        }
        least_grown_mib = least_grown_mib.min(grown_mib(pid, before)?);
        peak_mib = peak_mib.max(peaked_mib(pid, before)?);
    }
    println!(
        "{refusals} refusals, the slowest {:?} ({}); resident memory +{least_grown_mib} MiB, at its peak +{peak_mib} MiB",
        slowest.0, slowest.1
    );
    assert!(least_grown_mib <= 10, "resident memory grew by {least_grown_mib} MiB in every round");
    assert!(peak_mib <= PEAK_MIB, "resident memory rose by {peak_mib} MiB: a body was kept before it was refused");
    let log = fs::read_to_string(house.server()?.log())?;
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    assert_eq!(house.shop().units("A").await?.available, 10);
    buy(house.shop(), &[("A", 1)], "tok_approve").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_cut_and_nothing_is_kept_for_them() -> anyhow::Result<()> {
    const CLIENTS: usize = 10;
    let house = House::with_settings(&[("DEADLINES__WRITE_MS", "500")])?;
    let (pid, address) = (house.server()?.pid(), house.shop().target().address());
    house.put_up("A", 10).await?;
    let before = resident_bytes(pid)?;
    let mut crowd = JoinSet::new();
    for _ in 0..CLIENTS {
        crowd.spawn(unread::ask_without_end(address, Duration::from_mins(1)));
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let meanwhile_mib = grown_mib(pid, before)?;
    buy(house.shop(), &[("A", 1)], "tok_approve").await?;
    let (mut slowest, mut sent) = (Duration::ZERO, 0);
    for client in crowd.join_all().await {
        let client = client?;
        let cut_after = client.cut_after.ok_or_else(|| anyhow::anyhow!("a client that never reads was never cut"))?;
        (slowest, sent) = (slowest.max(cut_after), sent + client.sent);
    }
    println!(
        "{CLIENTS} cut, the last after {slowest:?}; {sent} bytes of requests taken; resident memory meanwhile +{meanwhile_mib} MiB"
    );
    // What one of them gets rid of lies in the system's own buffers: the server stops reading while it cannot write.
    assert!(sent < CLIENTS << 24, "{sent} bytes were read from clients that read nothing");
    assert!(meanwhile_mib < 64, "resident memory grew by {meanwhile_mib} MiB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_streams_that_nobody_reads_hold_up_neither_the_sale_nor_the_end() -> anyhow::Result<()> {
    const STREAMS: usize = 200;
    let settings = [("DEADLINES__WRITE_MS", "500"), ("LIMITS__STREAM_INTERVAL_MS", "0")];
    let mut house = House::with_settings(&settings)?;
    let (pid, address) = (house.server()?.pid(), house.shop().target().address());
    house.put_up("LIVE", 1_000_000).await?;
    let before = resident_bytes(pid)?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(unread::follow(address, "LIVE").await?);
    }
    let load = Load { connections: 8, duration: Duration::from_secs(3), rate: None };
    let sale = put_on(house.shop(), "LIVE", load).await?;
    let grown_mib = grown_mib(pid, before)?;
    assert!(sale.unclean.is_empty() && sale.sold > 0, "{sale:?}");
    let status = house.terminate(Duration::from_secs(10)).await?;
    println!(
        "{} sold beside {STREAMS} unread streams; resident memory +{grown_mib} MiB; left with {status:?}",
        sale.sold
    );
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert!(grown_mib < 128, "resident memory grew by {grown_mib} MiB");
    for stream in streams {
        assert!(unread::is_closed(stream, Duration::from_secs(10)).await, "a stream outlived the server");
    }
    Ok(())
}

/// The server with at most `descriptors` file descriptors.
fn with_descriptors(launch: &Launch, descriptors: usize) -> anyhow::Result<ServerProcess> {
    let mut launch = launch.clone();
    let program = std::mem::replace(&mut launch.program, "/bin/sh".into());
    let script = format!("ulimit -Sn {descriptors} && ulimit -Hn {descriptors} && exec \"$0\" \"$@\"");
    let shell = ["-c".into(), script.into(), program.into()];
    launch.command = shell.into_iter().chain(launch.command).collect();
    Ok(launch.start()?)
}

/// Whoever opens connections, to either listener, until the system has no more descriptors to give must not keep the journal
/// from its files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_the_journal_the_descriptors_it_needs() -> anyhow::Result<()> {
    const DESCRIPTORS: usize = 400;
    const CLIENTS: usize = 320;
    let mut house = House::open()?;
    house.put_up("FILES", 1_000_000).await?;
    house.kill();
    let server = with_descriptors(house.launch(), DESCRIPTORS)?;
    let operators = server.ready().admin.context("there is no operators' listener")?;
    let mut connections = Vec::new();
    for address in [server.target().address(), operators] {
        for _ in 0..CLIENTS {
            connections.push(unread::connect(address).await?);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count();
    println!("{open} of {DESCRIPTORS} descriptors are open while {CLIENTS} clients are connected to each listener");
    assert!(
        open + 100 < DESCRIPTORS,
        "{open} of {DESCRIPTORS} descriptors are open: clients took those of the journal"
    );
    drop(connections);
    tokio::time::sleep(Duration::from_millis(300)).await;
    buy(house.shop(), &[("FILES", 1)], "tok_approve").await?;
    Ok(())
}

/// A server that could not even leave the journal its descriptors must not begin to sell.
#[test]
fn a_server_with_too_few_descriptors_says_so_instead_of_starting() -> anyhow::Result<()> {
    let mut house = House::open()?;
    house.kill();
    let said = with_descriptors(house.launch(), 200).err().context("it started")?.to_string();
    assert!(said.contains("allows this process 200 file descriptors, and it needs at least 336"), "{said}");
    Ok(())
}
