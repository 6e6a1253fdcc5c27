//! Live stock at every node, whosever the shard is: who follows a SKU misses nothing and is shown nothing that never was, and an end
//! that a node can announce is announced. Through moves, the owner's death and the owner's stop.

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use holdfast_cluster_tests::{
    keeper::Keeper,
    live::{End, Live},
    stage::{PATIENCE, Stage},
};
use serde_json::json;

use crate::edge::{SHARD, house, owned_by, raise};

/// Products that are followed as soon as they are there, in number.
const NEW_PRODUCTS: usize = 8;

/// Whoever was told of a product can follow it at any node at once.
async fn new_products_are_followed(keeper: &Keeper) -> anyhow::Result<()> {
    for number in 0..NEW_PRODUCTS {
        let sku = format!("NEW-{number}");
        let product =
            json!({ "sku": sku, "name": "New", "price": { "amount_minor": 1, "currency": "EUR" }, "units": 7 });
        let made = keeper.ask(number, &keeper.call("POST", "/api/v1/products").json(&product)).await?;
        if made.status == 409 {
            continue; // Whoever was not told at once that it is made asked again.
        }
        ensure!(made.status == 201, "refused: {made:?}");
        let version = made.number("/stock/version").context("a version")?;
        for live in try_join_all((0..3).map(|at| Live::open(keeper.address(at), &sku, None))).await? {
            live.until(version).await?;
        }
    }
    Ok(())
}

/// A product whose stock is followed.
struct Followed {
    stage: Stage,
    keeper: Keeper,
    path: String,
    lives: Vec<Live>,
    /// Streams that ended.
    over: Vec<Live>,
}

impl Followed {
    async fn open(&mut self, at: usize, last: Option<u64>) -> anyhow::Result<()> {
        self.lives.push(Live::open(self.keeper.address(at), self.stage.crowd.sku(SHARD)?, last).await?);
        Ok(())
    }

    /// Changes the stock at a node, and waits until that is seen everywhere.
    async fn raised(&self, at: usize) -> anyhow::Result<()> {
        let version = raise(&self.keeper, &self.path, at).await?;
        try_join_all(self.lives.iter().map(|live| live.until(version))).await.map(drop)
    }

    async fn moves(&self) -> anyhow::Result<()> {
        for owner in [2, 0, 1] {
            self.stage.house.move_shard(0, SHARD, self.stage.house.name(owner)).await?;
            for at in [0, 1, 2] {
                raise(&self.keeper, &self.path, at).await?;
            }
            owned_by(&self.stage.house, owner).await?;
            self.raised(owner).await?;
        }
        Ok(())
    }

    /// Whose stream was at the owner follows another node, and the dead one when it is back.
    async fn owner_dies(&mut self) -> anyhow::Result<()> {
        let lost = self.lives.remove(1);
        self.stage.house.kill(1)?;
        ensure!(lost.ended().await? == End::Broken, "a killed node cannot say that it ends");
        self.open(2, lost.last()).await?;
        self.raised(0).await?;
        self.stage.house.start(1)?;
        self.open(1, lost.last()).await?;
        self.over.push(lost);
        self.raised(1).await
    }

    async fn owner_stops(&mut self) -> anyhow::Result<()> {
        owned_by(&self.stage.house, 0).await?;
        let stopped = self.lives.remove(0);
        let left = self.stage.house.terminate(0, PATIENCE)?.context("it does not leave")?;
        let end = stopped.ended().await?;
        ensure!(left.success() && end == End::Said("shutdown".to_owned()), "left with {left}, ended by {end:?}");
        self.open(1, stopped.last()).await?;
        self.over.push(stopped);
        self.raised(2).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_stock_is_followed_at_any_node_through_moves_deaths_and_stops() -> anyhow::Result<()> {
    let (stage, keeper, path) = house(1, 34).await?;
    new_products_are_followed(&keeper).await?;
    owned_by(&stage.house, 1).await?;
    let first = keeper.read(1, &path, None).await?;
    let (base, units) = (first.version('s')?, first.body["stock"]["available"].as_u64().context("units")?);
    let mut followed = Followed { stage, keeper, path, lives: Vec::new(), over: Vec::new() };
    for at in [0, 1, 2] {
        followed.open(at, None).await?;
        followed.lives[at].until(base).await?;
    }
    for at in [0, 1, 2, 0, 1, 2] {
        followed.raised(at).await?;
    }
    for live in &followed.lives {
        let versions: Vec<_> = live.levels().iter().map(|level| level.version).collect();
        ensure!(versions == (base..=base + 6).collect::<Vec<_>>(), "not every change was shown: {versions:?}");
    }
    followed.moves().await.context("through moves")?;
    followed.owner_dies().await.context("through the owner's death")?;
    followed.owner_stops().await.context("through the owner's end")?;
    for level in followed.lives.iter().chain(&followed.over).flat_map(Live::levels) {
        ensure!(level.available == units + level.version - base, "{level:?} never was");
    }
    let removed = followed.keeper.ask(1, &followed.keeper.call("DELETE", &followed.path)).await?;
    ensure!([204, 404].contains(&removed.status), "refused: {removed:?}");
    for live in &followed.lives {
        ensure!(live.ended().await? == End::Said("removed".to_owned()), "it ended for another reason");
    }
    Ok(())
}
