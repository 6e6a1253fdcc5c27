//! A disk that fills up (fault matrix, row 7): writes are answered 503, reads live on, and selling goes on when there is
//! room again. The disk is a small tmpfs in a mount namespace of the server's own, so nothing outside it is touched.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
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
        server_process::{Launch, ServerProcess},
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

/// Mounts the disk where the server's data will be, lays the ballast, and becomes the server.
const WRAPPER: &str = r#"#!/bin/sh
set -eu
mount -t tmpfs -o size=DISK none "DIR/disk"
head -c BALLAST /dev/zero > "DIR/disk/ballast"
exec "BIN" "$@"
"#;

#[tokio::test]
async fn a_full_disk_refuses_writes_serves_reads_and_sells_again_when_there_is_room() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "disk-full")?;
    let (server, shop) = start(folder.path())?;
    // The server's own view of its folder: its mounts are not ours.
    let disk = PathBuf::from(format!("/proc/{}/root", server.ready().pid)).join(folder.path().strip_prefix("/")?);
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

    fs::remove_file(disk.join("disk/ballast")).context("cannot make room on the small disk")?;
    let again = sell_again(&shop).await?;
    receipts.extend([first, again].map(|purchase| Receipt { id: purchase.id, buyer_token: purchase.token }));
    let audit = audit::look_up(shop.target(), receipts, 32).await;
    println!("disk full: {} orders, then {} answers 503, reads alive; selling again with room", tally.sold, tally.shed);
    assert_eq!((audit.lost, audit.first_loss), (0, None));
    Ok(())
}

/// A server whose data folder is the small disk, filled but for a few MiB.
fn start(folder: &Path) -> anyhow::Result<(ServerProcess, Shop)> {
    fs::create_dir_all(folder.join("disk"))?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a Unicode path");
    let script = WRAPPER
        .replace("DISK", DISK)
        .replace("BALLAST", &BALLAST_BYTES.to_string())
        .replace("BIN", &text(&binary::holdfast()?)?)
        .replace("DIR", &text(folder)?);
    let wrapper = folder.join("on-a-small-disk");
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let token = format!("{}{}", fresh_run()?, fresh_run()?);
    let mut launch = Launch::shop("/usr/bin/env".into(), folder, &token)
        .with_setting("STORE__JOURNAL__SEGMENT_BYTES", "1048576")
        .with_setting("STORE__JOURNAL__RESERVE_BYTES", "262144")
        .with_setting("STORE__JOURNAL__FRAME_LIMIT_BYTES", "131072")
        .with_setting("STORE__JOURNAL__RECORD_LIMIT_BYTES", "73728")
        .with_setting("RUNTIME__TURN_BYTES", "65536")
        .with_setting("STORE__JOURNAL__SPACE_RETRY_MS", "100");
    // A user namespace as well, so that it works without being root.
    let mut command = ["unshare", "-Urm"].map(Into::into).to_vec();
    command.push(wrapper.into_os_string());
    command.extend(["serve".into(), "--data".into(), folder.join("disk/data").into()]);
    launch.command = command;
    let server = launch.start().context("a server on a small disk (needs `unshare -Urm`, util-linux)")?;
    let shop = Shop::new(server.target(), Some(token));
    Ok((server, shop))
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
