//! A crowd that shops at every node in turn: its retries are at another node than before, its carts are filled at several, and
//! what one node acknowledged is looked for at the next.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_api::load::shop::Shop;
use holdfast_core::{ShardId, SkuId};
pub use holdfast_tests::shoppers::Shopping;
use holdfast_tests::{
    books::Books,
    counter::{Ask, Counter as _},
    shoppers,
};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use crate::{doors::Doors, house::ClusterHouse};

/// How many shop at once, unless the test says otherwise.
pub const SHOPPERS: usize = 8;
/// Units of the SKUs that do not sell out.
const PLENTY: u64 = 1_000_000;
/// Units of the one that does.
const FEW: u64 = 60;
/// The one that does.
const SCARCE: &str = "FEW-0";
/// SKUs of each shard.
const SKUS_PER_SHARD: usize = 2;
/// What a shopper does between two things, so that servers and shoppers share two cores.
const BREATH: Duration = Duration::from_millis(5);

/// All shoppers, and what there is for them in each shard.
pub struct Crowd {
    /// Where they shop.
    pub doors: Arc<Doors>,
    skus: BTreeMap<ShardId, Vec<String>>,
    shoppers: shoppers::Crowd<Doors>,
}

impl Crowd {
    /// Shoppers of a house, in which SKUs of every shard are put up. Their choices follow from `seed`.
    ///
    /// # Errors
    /// When nothing can be put up.
    pub async fn gather(house: &ClusterHouse, seed: u64) -> anyhow::Result<Self> {
        let doors = Arc::new(Doors::new((0..house.count()).map(|index| house.shop(index))));
        let shop = house.shop(0);
        let admin = shop.admin_token().context("the operator's token")?;
        let mut shoppers = shoppers::Crowd::new(Arc::clone(&doors), admin, seed);
        shoppers.ask_gateway(house.gateway_book());
        let skus = skus_of_each_shard(house)?;
        let mut at = 0;
        for name in skus.values().flatten() {
            put_up(&doors, &mut at, admin, name, PLENTY).await?;
            shoppers.put_up(name, PLENTY);
        }
        put_up(&doors, &mut at, admin, SCARCE, FEW).await?;
        shoppers.put_up_few(SCARCE, FEW);
        doors.begin_anew();
        Ok(Self { doors, skus, shoppers })
    }

    /// A SKU of a shard that does not sell out.
    ///
    /// # Errors
    /// When there is no such shard.
    pub fn sku(&self, shard: ShardId) -> anyhow::Result<&str> {
        let sku = self.skus.get(&shard).and_then(|names| names.first());
        Ok(sku.context("no such shard")?)
    }

    /// The books as of now.
    pub fn books(&self) -> Books {
        self.shoppers.books()
    }

    /// How many orders were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.shoppers.acknowledged()
    }

    /// Enters an acknowledgment somebody else was given.
    ///
    /// # Errors
    /// When it contradicts an earlier one.
    pub fn enter(&self, body: &Value) -> anyhow::Result<()> {
        self.shoppers.enter(body)
    }

    /// Sends shoppers off.
    pub fn go(&mut self) -> Shopping {
        self.go_with(SHOPPERS)
    }

    /// Sends so many off.
    pub fn go_with(&mut self, shoppers: usize) -> Shopping {
        self.shoppers.send_off(shoppers, BREATH)
    }

    /// Waits until so many more orders were acknowledged, by whatever node.
    ///
    /// # Errors
    /// When they are not within `patience`.
    pub async fn sell(&self, more: usize, patience: Duration) -> anyhow::Result<()> {
        let (before, until) = (self.acknowledged(), self.doors.elapsed() + patience);
        while self.acknowledged() < before + more {
            ensure!(self.doors.elapsed() < until, "no {more} orders within {patience:?}: {}", self.doors.tally());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Names whose shards are known.
fn skus_of_each_shard(house: &ClusterHouse) -> anyhow::Result<BTreeMap<ShardId, Vec<String>>> {
    let shards = house.shards()?;
    let mut skus: BTreeMap<ShardId, Vec<String>> = shards.iter().map(|shard| (shard, Vec::new())).collect();
    for number in 0.. {
        let name = format!("SKU-{number}");
        let shard = shards.shard_of(SkuId::parse(&name).context("a SKU")?.slot());
        let place = skus.entry(shard).or_default();
        if place.len() < SKUS_PER_SHARD {
            place.push(name);
        }
        if skus.values().all(|names| names.len() == SKUS_PER_SHARD) {
            break;
        }
    }
    Ok(skus)
}

/// Puts a SKU up at door `at`, and goes on to the next.
async fn put_up(doors: &Doors, at: &mut usize, admin: &str, name: &str, units: u64) -> anyhow::Result<()> {
    let product = Shop::plain_product(name, units);
    let ask = Ask::new(Method::POST, "/api/v1/products").bearer(admin).json(product);
    // One whose first answer was lost is there.
    doors.ask(at, &ask).await?.expect("a product", &[StatusCode::CREATED, StatusCode::CONFLICT])?;
    *at = at.wrapping_add(1);
    Ok(())
}
