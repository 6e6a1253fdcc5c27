//! Tags hold at every node, whosever the shard is: a version has one, what has changed is nowhere "not modified" once that was
//! acknowledged, and a change meant for one version is made to no other. Before a shard is moved, after it, and after its owner
//! died.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use holdfast_api::load::order::{ORDERS, fresh_run};
use holdfast_cluster_tests::{
    keeper::{Keeper, Shown, tag_of, version},
    live::Live,
    stage::{LOOK_EVERY, Stage, wait_until},
};
use holdfast_tests::{purchase::order_body, wire::Call};
use serde_json::json;
use tokio::time::sleep;

use crate::edge::{SHARD, house, owned_by, raise};

/// Moves under changes, in number.
const MOVES: usize = 4;
/// Reads that wait at a node that stands still for the moment it goes on.
const WAITING_READS: usize = 8;
/// How long it takes to ask them.
const ASKED_WITHIN: Duration = Duration::from_millis(500);

/// Buys at a node, and waits until nobody but us will move the order. Its path and how it stands.
async fn bought(keeper: &Keeper, product: &str, at: usize) -> anyhow::Result<(String, Shown)> {
    let sku = product.rsplit('/').next().unwrap_or_default();
    let order = order_body(&[(sku, 1)], "tok_approve");
    let placed = Call::new("POST", ORDERS).header("idempotency-key", &fresh_run()?).json(&order);
    let mut at = keeper.here_or_next(at);
    let placed = loop {
        // The same order, wherever it is asked for.
        if let Some(placed) = keeper.attempt(at, &placed).await?.filter(|answer| answer.status == 201) {
            break placed;
        }
        at = keeper.here_or_next(at + 1);
        sleep(LOOK_EVERY).await;
    };
    let path = format!("{ORDERS}/{}", placed.text("/id").context("an order without an id")?);
    loop {
        if let Some(shown) = keeper.look(at, &path, None).await?.filter(|shown| shown.body["status"] == "confirmed") {
            return Ok((path, shown));
        }
        at = keeper.here_or_next(at + 1);
        sleep(LOOK_EVERY).await;
    }
}

fn shipment(keeper: &Keeper, order: &str, tag: &str) -> Call {
    keeper.call("PUT", &format!("{order}/status")).header("if-match", tag).json(&json!({ "status": "shipped" }))
}

/// A tag from any node is the tag at all of them; a change at any node ends it at all of them.
async fn one_tag_of_a_product(keeper: &Keeper, path: &str, nodes: &[usize]) -> anyhow::Result<()> {
    for &writer in nodes {
        for part in ['s', 'p'] {
            let before = keeper.read(writer, path, None).await?;
            for &at in nodes {
                ensure!(keeper.read(at, path, None).await?.tag == before.tag, "another tag at node {at}");
                ensure!(keeper.read(at, path, Some(&before.tag)).await?.is_known, "node {at} does not know it");
            }
            let change = if part == 's' { keeper.adjustment(path, 1) } else { details(keeper, path, &before.tag) };
            let change = change.header("if-match", &before.tag);
            keeper.change(writer, &change).await?;
            let made = before.version(part)? + 1;
            keeper.nowhere_older(path, &before.tag, part, made).await?;
            for &at in nodes {
                let refused = keeper.ask(at, &change).await?;
                ensure!(refused.status == 412, "a change of an old version at node {at}: {refused:?}");
                let now = keeper.read(at, path, Some(&before.tag)).await?;
                ensure!(!now.is_known && now.version(part)? == made, "{} at node {at}, made was {made}", now.tag);
            }
        }
    }
    Ok(())
}

/// What is said about a product, otherwise than when it had this tag.
fn details(keeper: &Keeper, path: &str, tag: &str) -> Call {
    let name = format!("Changed from {}", tag.trim_matches('"'));
    keeper.call("PUT", path).json(&json!({ "name": name, "price": { "amount_minor": 4_900, "currency": "EUR" } }))
}

async fn one_tag_of_an_order(keeper: &Keeper, product: &str, nodes: &[usize]) -> anyhow::Result<()> {
    let (path, before) = bought(keeper, product, nodes[0]).await?;
    for &at in nodes {
        ensure!(keeper.read(at, &path, Some(&before.tag)).await?.is_known, "node {at} does not know it");
        let refused = keeper.ask(at, &shipment(keeper, &path, "\"o1\"")).await?;
        ensure!(refused.status == 412, "a change of an old version at node {at}: {refused:?}");
    }
    let last = *nodes.last().context("a node")?;
    keeper.change(last, &shipment(keeper, &path, &before.tag)).await?;
    keeper.nowhere_older(&path, &before.tag, 'o', before.version('o')? + 1).await?;
    Ok(())
}

/// A cart is shown with prices and stock that change without it, so it is never "not modified"; changes are meant for a version.
async fn one_tag_of_a_cart(keeper: &Keeper, product: &str, nodes: &[usize]) -> anyhow::Result<()> {
    let made = keeper.ask(nodes[0], &Call::new("POST", "/api/v1/cart").json(&json!({}))).await?;
    let token = made.text("/token").context("a cart without a token")?;
    let item = json!({ "sku": product.rsplit('/').next(), "quantity": 1 });
    let mut tag = tag_of(&made)?;
    for &writer in nodes {
        let add = Call::new("POST", "/api/v1/cart/items").header("x-cart-token", token).header("if-match", &tag);
        let add = add.json(&item);
        keeper.change(writer, &add).await?;
        let read = Call::new("GET", "/api/v1/cart").header("x-cart-token", token);
        let added = tag_of(&keeper.ask(writer, &read).await?)?;
        ensure!(version(&added, 'c')? == version(&tag, 'c')? + 1, "{added} after {tag}");
        for &at in nodes {
            let refused = keeper.ask(at, &add).await?;
            ensure!(refused.status == 412, "a change of an old version at node {at}: {refused:?}");
            let shown = keeper.ask(at, &read.clone().header("if-none-match", &added)).await?;
            ensure!(shown.status == 200 && tag_of(&shown)? == added, "{added} at node {at}: {shown:?}");
        }
        tag = added;
    }
    Ok(())
}

async fn one_tag(keeper: &Keeper, product: &str, nodes: &[usize]) -> anyhow::Result<()> {
    one_tag_of_a_product(keeper, product, nodes).await?;
    one_tag_of_an_order(keeper, product, nodes).await?;
    one_tag_of_a_cart(keeper, product, nodes).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_has_one_tag_at_every_node_whosever_its_shard_is() -> anyhow::Result<()> {
    let (mut stage, keeper, path) = house(1, 31).await?;
    for owner in [1, 2, 0] {
        owned_by(&stage.house, owner).await?;
        one_tag(&keeper, &path, &[0, 1, 2]).await.with_context(|| format!("owned by {}", stage.house.name(owner)))?;
    }
    let before = keeper.read(0, &path, None).await?;
    stage.house.kill(0)?;
    for at in [1, 2] {
        ensure!(keeper.read(at, &path, Some(&before.tag)).await?.is_known, "after the owner's death, at node {at}");
    }
    one_tag(&keeper, &path, &[1, 2]).await.context("after the owner's death")?;
    stage.house.start(0)?;
    one_tag(&keeper, &path, &[0, 1, 2]).await.context("with the dead one back")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_stood_still_takes_nothing_for_unchanged_that_has_changed_meanwhile() -> anyhow::Result<()> {
    let (stage, keeper, path) = house(1, 32).await?;
    owned_by(&stage.house, 2).await?;
    let sku = stage.crowd.sku(SHARD)?;
    let live = Live::open(keeper.address(2), sku, None).await?;
    let before = keeper.read(2, &path, None).await?;
    live.until(before.version('s')?).await?;
    stage.house.pause(2)?;
    keeper.change(0, &keeper.adjustment(&path, 1).header("if-match", &before.tag)).await?;
    // The questions are in its sockets when it goes on.
    let looks = try_join_all((0..WAITING_READS).map(|_| keeper.look(2, &path, Some(&before.tag))));
    let going_on = async {
        sleep(ASKED_WITHIN).await;
        stage.house.resume(2)
    };
    let (looks, ()) = tokio::try_join!(looks, going_on)?;
    let is_stale = looks.iter().flatten().any(|shown| shown.is_known);
    ensure!(!is_stale, "what has changed is \"not modified\"");
    let now = keeper.read(2, &path, Some(&before.tag)).await?;
    ensure!(now.version('s')? == before.version('s')? + 1, "{} after {}", now.tag, before.tag);
    live.until(now.version('s')?).await?;
    live.until(raise(&keeper, &path, 2).await?).await
}

/// How far a task is, and whether it is to stop.
#[derive(Default)]
struct Track {
    rounds: AtomicU64,
    stop: AtomicBool,
}

impl Track {
    fn goes_on(&self) -> bool {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
    }

    /// Waits until each has begun so many rounds more.
    async fn all_more(tracks: &[Self], more: u64) -> anyhow::Result<()> {
        for track in tracks {
            let until = track.rounds.load(Ordering::Relaxed) + more;
            wait_until("another round", || track.rounds.load(Ordering::Relaxed) >= until).await?;
        }
        Ok(())
    }
}

/// What became of changes, each of which was meant for one version.
#[derive(Debug, Default)]
struct Changes {
    /// What the acknowledged ones made.
    made: BTreeSet<u64>,
    /// Of so many it was not told.
    unknown: u64,
}

/// Adds a unit to what it has just read, again and again, and looks at every node for each that was acknowledged.
async fn add_units(keeper: &Keeper, path: &str, mut at: usize, track: &Track) -> anyhow::Result<Changes> {
    let mut changes = Changes::default();
    while track.goes_on() {
        at = keeper.here_or_next(at + 1);
        let Some(before) = keeper.look(at, path, None).await? else { continue };
        let change = keeper.adjustment(path, 1).header("if-match", &before.tag);
        match keeper.attempt(keeper.here_or_next(at + 1), &change).await? {
            Some(answer) if answer.status == 200 => {
                let made = version(&tag_of(&answer)?, 's')?;
                ensure!(made == before.version('s')? + 1, "meant for {}, made {answer:?}", before.tag);
                changes.made.insert(made);
                keeper.nowhere_older(path, &before.tag, 's', made).await?;
            }
            Some(answer) => ensure!(answer.status == 412, "refused: {answer:?}"),
            None => changes.unknown += 1,
        }
    }
    Ok(changes)
}

/// Buys and ships, again and again, and looks at every node for each shipment that was acknowledged. How many were.
async fn ship_orders(keeper: &Keeper, path: &str, mut at: usize, track: &Track) -> anyhow::Result<u64> {
    let mut shipped = 0;
    while track.goes_on() {
        at = keeper.here_or_next(at + 1);
        let (order, before) = bought(keeper, path, at).await?;
        let shipment = shipment(keeper, &order, &before.tag);
        let Some(answer) = keeper.attempt(keeper.here_or_next(at + 1), &shipment).await? else { continue };
        ensure!(answer.status == 200, "refused: {answer:?}");
        keeper.nowhere_older(&order, &before.tag, 'o', version(&tag_of(&answer)?, 'o')?).await?;
        shipped += 1;
    }
    Ok(shipped)
}

/// Moves the shard around, then kills its owner and starts it again, while the tasks go on.
async fn moved_and_killed(stage: &mut Stage, keeper: &Keeper, tracks: &[Track]) -> anyhow::Result<()> {
    for turn in 1..=MOVES {
        owned_by(&stage.house, turn % 3).await?;
        Track::all_more(tracks, 2).await?;
    }
    let victim = MOVES % 3;
    keeper.avoid(victim);
    stage.house.kill(victim)?;
    Track::all_more(tracks, 3).await?;
    stage.house.start(victim)?;
    keeper.avoid_nobody();
    Track::all_more(tracks, 6).await?;
    for track in tracks {
        track.stop.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// All units there ever were.
fn units(shown: &Shown) -> u64 {
    ["on_hand", "fulfilled"].iter().filter_map(|field| shown.body["stock"][*field].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_changed_is_nowhere_not_modified_while_its_shard_is_moved_and_its_owner_dies() -> anyhow::Result<()> {
    let (mut stage, keeper, path) = house(3, 33).await?;
    owned_by(&stage.house, 0).await?;
    let first = keeper.read(0, &path, None).await?;
    let tracks = [Track::default(), Track::default(), Track::default()];
    let ((), one, other, shipped) = tokio::try_join!(
        moved_and_killed(&mut stage, &keeper, &tracks),
        add_units(&keeper, &path, 0, &tracks[0]),
        add_units(&keeper, &path, 1, &tracks[1]),
        ship_orders(&keeper, &path, 2, &tracks[2]),
    )?;
    let (acknowledged, unknown) = (one.made.len() + other.made.len(), one.unknown + other.unknown);
    println!("{acknowledged} changes, {unknown} unknown, {shipped} shipments; {:?}", keeper.answers());
    ensure!(one.made.is_disjoint(&other.made), "two changes that were meant for one version were made");
    let added = units(&keeper.read(0, &path, None).await?) - units(&first);
    let (least, most) = (acknowledged as u64, acknowledged as u64 + unknown);
    ensure!((least..=most).contains(&added), "{added} units came of {acknowledged} changes and {unknown} unknown ones");
    let seen = |(shown, known): &(u64, u64)| *shown > 0 && *known > 0;
    ensure!(shipped > 0 && keeper.answers().values().all(seen), "nothing was seen: {:?}", keeper.answers());
    Ok(())
}
