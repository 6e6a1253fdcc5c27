//! A disk that fills up: writes are answered 503, reads live on, selling goes on when there is room again, and what was
//! acknowledged in all of it is on the disk. The disk is a small tmpfs in a mount namespace of its own, so nothing outside it is
//! touched.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::{
    demo::{
        audit,
        buyer::{Buyer, Receipt, Receipts},
    },
    load::{
        crowd::{self, Patience, Plan},
        order::{OrderTemplate, fresh_run},
        pace::Until,
        scratch::ScratchFolder,
        server_process::Launch,
        shop::Shop,
        tally::{Ledger, Tally},
    },
};
use holdfast_tests::{
    binary,
    purchase::{Purchase, buy, order_body, post_order},
};
use hyper::StatusCode;

/// Room on the small disk: the ballast, the snapshots, and a few segments of 1 MiB.
const DISK: &str = "24m";
/// Orders that need far more room than there is.
const ORDERS: u64 = 25_000;
/// The ballast that is thrown out when the disk is full, in bytes.
const BALLAST_BYTES: usize = 16 << 20;

/// Mounts the disk, lays the ballast, says so, and stays.
const HOLDER: &str = r#"set -eu
mount -t tmpfs -o size="$2" none "$1"
head -c "$3" /dev/zero > "$1/ballast"
echo mounted
exec cat
"#;

/// The small disk. It outlives the server, as disks do: the namespace that it is mounted in has a process of its own, which goes
/// with the test, or with the pipe to it.
struct SmallDisk {
    holder: Child,
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `place`.
    fn mount(place: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(place)?;
        let mut holder = Command::new("unshare");
        // A user namespace as well, so that it works without being root.
        holder.args(["-Urm", "sh", "-c", HOLDER, "holder"]).arg(place).args([DISK, &BALLAST_BYTES.to_string()]);
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut disk = Self { holder: holder.context("needs `unshare` (util-linux)")?, place: place.to_owned() };
        let mut said = String::new();
        BufReader::new(disk.holder.stdout.as_mut().context("its output")?).read_line(&mut said)?;
        anyhow::ensure!(said == "mounted\n", "a small disk cannot be mounted: `unshare -Urm` is not allowed here");
        Ok(disk)
    }

    /// Throws the ballast out.
    fn make_room(&self) -> anyhow::Result<()> {
        // Seen by way of whoever has it mounted: those mounts are not ours.
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let ballast = root.join(self.place.strip_prefix("/")?).join("ballast");
        fs::remove_file(ballast).context("cannot make room on the small disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing can be done about a process that does not go.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_sells_again_when_there_is_room() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "disk-full")?;
    let disk = SmallDisk::mount(&folder.path().join("disk"))?;
    let token = format!("{}{}", fresh_run()?, fresh_run()?);
    let mut launch = launch_on(&disk, folder.path(), &token)?;
    let server = launch.start().context("a server on a small disk (needs `nsenter`, util-linux)")?;
    launch.pin(server.ready());
    let shop = Shop::new(server.target(), Some(token));
    shop.put_up(&Shop::plain_product("LAST", 1_000_000)).await?;
    let first = buy(&shop, &[("LAST", 1)], "tok_approve").await?;

    let (mut receipts, tally) = sell_until_refused(&shop).await?;
    assert_eq!(tally.failed, 0, "{:?}", tally.first_failure);
    assert!(tally.shed > 0, "the disk did not fill up: {} sold", tally.sold);
    let refused = post_order(&shop, &fresh_run()?, &order_body(&[("LAST", 1)], "tok_approve")).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
    first.read(&shop).await.context("a read on a full disk")?;
    let units = shop.units("LAST").await.context("the stock on a full disk")?;
    assert!(units.balance() && units.taken() == tally.sold + 1, "{} sold, {units:?}", tally.sold);

    disk.make_room()?;
    let again = sell_again(&shop).await?;
    receipts.extend([first, again].map(|purchase| Receipt { id: purchase.id, buyer_token: purchase.token }));
    let audit = audit::look_up(shop.target(), receipts.clone(), 32).await;
    println!("disk full: {} orders, then {} answers 503, reads alive; selling again with room", tally.sold, tally.shed);
    assert_eq!((audit.lost, audit.first_loss), (0, None));

    // All of that was the memory of one process. What is on the disk, only another one can tell.
    server.kill();
    let _server = launch.start().context("after a kill on a disk that was full")?;
    let audit = audit::look_up(shop.target(), receipts, 32).await;
    assert_eq!((audit.lost, audit.first_loss), (0, None), "from the disk");
    let units = shop.units("LAST").await?;
    assert!(units.balance() && units.taken() == tally.sold + 2, "from the disk: {} sold, {units:?}", tally.sold + 2);
    Ok(())
}

/// A server whose data folder is on the small disk.
fn launch_on(disk: &SmallDisk, folder: &Path, token: &str) -> anyhow::Result<Launch> {
    let mut launch = Launch::shop("/usr/bin/env".into(), folder, token)
        .with_setting("STORE__JOURNAL__SEGMENT_BYTES", "1048576")
        .with_setting("STORE__JOURNAL__RESERVE_BYTES", "262144")
        .with_setting("STORE__JOURNAL__FRAME_LIMIT_BYTES", "131072")
        .with_setting("STORE__JOURNAL__RECORD_LIMIT_BYTES", "73728")
        .with_setting("RUNTIME__TURN_BYTES", "65536")
        .with_setting("STORE__JOURNAL__SPACE_RETRY_MS", "100");
    let holder = disk.holder.id().to_string();
    let mut command = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", &holder, "--"].map(Into::into).to_vec();
    command.push(binary::holdfast()?.into_os_string());
    command.extend(["serve".into(), "--data".into(), disk.place.join("data").into()]);
    launch.command = command;
    Ok(launch)
}

/// Sends a crowd that buys far more than the disk has room for. Its receipts, and what else it was answered.
async fn sell_until_refused(shop: &Shop) -> anyhow::Result<(Vec<Receipt>, Tally)> {
    let (receipts, ledger) = (Receipts::new(usize::MAX), Arc::new(Ledger::default()));
    let plan = Plan {
        address: shop.target().address(),
        connections: 32,
        until: Until::Requests(ORDERS),
        rate: None,
        patience: Patience::None,
        grace: Duration::ZERO,
    };
    let orders = OrderTemplate::new(shop.target(), "LAST", &fresh_run()?);
    let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(&receipts) };
    crowd::run(plan, buyer, Arc::clone(&ledger)).await;
    Ok((receipts.all(), ledger.tally()))
}

/// Tries for up to ten seconds.
async fn sell_again(shop: &Shop) -> anyhow::Result<Purchase> {
    let mut last = None;
    for _ in 0..100 {
        match buy(shop, &[("LAST", 1)], "tok_approve").await {
            Ok(purchase) => return Ok(purchase),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(last.context("never tried")?.context("no order ten seconds after room was made"))
}
