//! SIGTERM under load: the server drains within ten seconds, leaves with code 0, and keeps every
//! promise it made.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::{
    demo::{
        audit,
        buyer::{Buyer, Receipts},
    },
    load::{
        crowd::{self, Patience, Plan},
        order::{OrderTemplate, fresh_run},
        pace::Until,
        scratch::ScratchFolder,
        stopwatch::Stopwatch,
        tally::Ledger,
    },
};
use holdfast_tests::{House, binary};
use rustix::process::{Pid, Signal, kill_process};

/// The promise.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sigterm_under_load_drains_within_ten_seconds_and_loses_nothing() -> anyhow::Result<()> {
    let mut house = House::open()?;
    house.put_up("DRAIN", 1_000_000).await?;
    let (receipts, ledger) = (Receipts::new(500), Arc::new(Ledger::default()));
    let plan = Plan {
        address: house.shop().target().address(),
        connections: 32,
        until: Until::Elapsed(Duration::from_secs(3)),
        rate: None,
        patience: Patience::None,
        grace: Duration::from_secs(2),
    };
    let orders = OrderTemplate::new(house.shop().target(), "DRAIN", &fresh_run()?);
    let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(&receipts) };
    let crowd = crowd::run(plan, buyer, Arc::clone(&ledger));
    let stop = async {
        receipts.bell().await;
        let watch = Stopwatch::start();
        let left = house.terminate(LIMIT).await;
        left.map(|status| (status, watch.elapsed()))
    };
    let (_, stopped) = tokio::join!(crowd, stop);
    let (status, took) = stopped?;
    let status = status.ok_or_else(|| anyhow::anyhow!("the server did not leave within {LIMIT:?}"))?;
    assert!(status.success(), "the server left with {status}");

    house.restart().await?;
    let acknowledged = receipts.len() as u64;
    let units = house.settled_units("DRAIN").await?;
    let audit = audit::look_up(house.shop().target(), receipts.all(), 32).await;
    println!("drained in {took:?} under load; {acknowledged} orders acknowledged, {} found again", audit.found);
    assert_eq!((audit.lost, audit.first_loss), (0, None));
    assert!(units.balance() && units.taken() >= acknowledged, "{units:?}");
    Ok(())
}

#[test]
fn sigterm_while_the_server_still_waits_for_others_ends_it_at_once() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "test")?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(binary::holdfast()?);
    command.args(["serve", "--leave-with-parent", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.args([
        "--data",
        "data",
        "--set",
        &format!("nats.url=nats://{nobody}"),
        "--set",
        "nats.start_deadline_ms=600000",
    ]);
    let mut child = command.current_dir(folder.path()).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut log = BufReader::new(child.stderr.take().context("its log")?).lines();
    let began = log.find(|line| line.as_ref().map_or(true, |line| line.contains("listening")));
    anyhow::ensure!(matches!(began, Some(Ok(_))), "{began:?}");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
    kill_process(pid, Signal::TERM)?;
    let (ended, watch) = (mpsc::channel(), Stopwatch::start());
    let waiting = thread::spawn(move || ended.0.send(child.wait()));
    let status = ended.1.recv_timeout(LIMIT).context("it did not leave")??;
    println!("left after {:?}", watch.elapsed());
    assert_eq!(status.code(), Some(0));
    let _ = waiting.join();
    Ok(())
}
