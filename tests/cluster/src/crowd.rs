//! A crowd that shops at every node in turn: orders of one line and of several that live in different shards, carts, retries at
//! another node than before, cancellations, shipments, and looks at what was acknowledged. Everything acknowledged is in the
//! books.
//!
//! Invariant: what a shopper was told holds at every node from then on: an order that is not found, or stands where it was
//! before an acknowledged step, fails the crowd at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use holdfast_api::load::{
    order::{ORDERS, fresh_run},
    shop::{Answer, Shop},
};
use holdfast_core::{ShardId, SkuId};
use holdfast_tests::{books::Books, dice::Dice, purchase::order_body};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    doors::{Ask, Doors, problem},
    house::ClusterHouse,
};

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
/// Cards that make the gateway answer late or twice; most pay with one that does not.
const CARDS: [&str; 4] = ["tok_timeout_before", "tok_timeout_after", "tok_twice", "tok_capture_timeout_after"];

/// All shoppers, and the books they keep.
pub struct Crowd {
    /// Where they shop.
    pub doors: Arc<Doors>,
    skus: Arc<BTreeMap<ShardId, Vec<String>>>,
    books: Arc<Mutex<Books>>,
    seeds: Dice,
    admin: Arc<str>,
}

/// Shoppers under way.
pub struct Shopping {
    tasks: JoinSet<anyhow::Result<()>>,
    stop: Arc<AtomicBool>,
}

/// An order a shopper was told of.
#[derive(Clone)]
struct Mine {
    id: String,
    token: String,
    key: String,
    body: Value,
    /// Where it stands for good, once that was acknowledged.
    ended: Option<&'static [&'static str]>,
}

struct Shopper {
    doors: Arc<Doors>,
    skus: Arc<BTreeMap<ShardId, Vec<String>>>,
    books: Arc<Mutex<Books>>,
    random: Dice,
    stop: Arc<AtomicBool>,
    admin: Arc<str>,
    mine: Vec<Mine>,
    at: usize,
}

impl Crowd {
    /// Shoppers of a house, in which SKUs of every shard are put up. Their choices follow from `seed`.
    ///
    /// # Errors
    /// When nothing can be put up.
    pub async fn gather(house: &ClusterHouse, seed: u64) -> anyhow::Result<Self> {
        let doors = Doors::new((0..house.count()).map(|index| house.shop(index)));
        let shop = house.shop(0);
        let admin = Arc::from(shop.admin_token().context("the operator's token")?);
        let mut books = Books::default();
        books.gateway = Some(house.gateway_book());
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
        let plenty = skus.values().flatten().map(|name| (name.as_str(), PLENTY));
        let mut at = 0;
        for (name, units) in plenty.chain([(SCARCE, FEW)]) {
            let product = Shop::plain_product(name, units);
            let ask = Ask::new(Method::POST, "/api/v1/products").bearer(&admin).json(product);
            let answer = doors.ask(&mut at, &ask).await?;
            // One whose first answer was lost is there.
            answer.expect("a product", &[StatusCode::CREATED, StatusCode::CONFLICT])?;
            books.stock.insert(name.to_owned(), units);
            at += 1;
        }
        let crowd = Self {
            doors: Arc::new(doors),
            skus: Arc::new(skus),
            books: Arc::new(Mutex::new(books)),
            seeds: Dice::new(seed),
            admin,
        };
        crowd.doors.begin_anew();
        Ok(crowd)
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
        lock(&self.books).clone()
    }

    /// How many orders were acknowledged.
    pub fn acknowledged(&self) -> usize {
        lock(&self.books).acknowledged.len()
    }

    /// Enters an acknowledgment somebody else was given.
    ///
    /// # Errors
    /// When it contradicts an earlier one.
    pub fn enter(&self, body: &Value) -> anyhow::Result<()> {
        lock(&self.books).acknowledge(body)
    }

    /// Sends shoppers off.
    pub fn go(&mut self) -> Shopping {
        self.go_with(SHOPPERS)
    }

    /// Sends so many off.
    pub fn go_with(&mut self, shoppers: usize) -> Shopping {
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for at in 0..shoppers {
            let shopper = Shopper {
                doors: Arc::clone(&self.doors),
                skus: Arc::clone(&self.skus),
                books: Arc::clone(&self.books),
                random: Dice::new(self.seeds.roll()),
                stop: Arc::clone(&stop),
                admin: Arc::clone(&self.admin),
                mine: Vec::new(),
                at,
            };
            tasks.spawn(shopper.shop());
        }
        Shopping { tasks, stop }
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

impl Shopping {
    /// Has everybody finish what they are at.
    ///
    /// # Errors
    /// The first answer that makes no sense.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Fails if a shopper has.
    ///
    /// # Errors
    /// The first answer that makes no sense.
    pub fn check(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            ended??;
        }
        Ok(())
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shopper {
    async fn shop(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            match self.random.below(24) {
                0..=1 => self.repeat().await?,
                2..=3 => self.cancel().await?,
                4..=5 => self.ship().await?,
                6..=9 => self.look().await?,
                10..=13 => self.order_several().await?,
                14..=15 => self.order_cart().await?,
                16 => self.order(&[(SCARCE.to_owned(), 2)]).await?,
                _ => {
                    let sku = self.any_sku()?;
                    self.order(&[(sku, 1)]).await?;
                }
            }
            self.at = self.at.wrapping_add(1);
            sleep(BREATH).await;
        }
        // What was acknowledged before the fault is acknowledged in the same words after it.
        self.repeat().await?;
        self.look().await
    }

    fn any_sku(&mut self) -> anyhow::Result<String> {
        let shards: Vec<_> = self.skus.values().cloned().collect();
        let names = self.random.pick(&shards).context("no shard")?;
        Ok(self.random.pick(names).context("no SKU")?.clone())
    }

    async fn order_several(&mut self) -> anyhow::Result<()> {
        let mut lines: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..3 {
            lines.insert(self.any_sku()?, 1 + u32::try_from(self.random.below(2))?);
        }
        self.order(&lines.into_iter().collect::<Vec<_>>()).await
    }

    async fn order(&mut self, lines: &[(String, u32)]) -> anyhow::Result<()> {
        let lines: Vec<_> = lines.iter().map(|(sku, quantity)| (sku.as_str(), *quantity)).collect();
        let body = order_body(&lines, self.card());
        self.buy(body).await
    }

    /// A cart that is made at one node, filled at others, and ordered at yet another.
    async fn order_cart(&mut self) -> anyhow::Result<()> {
        let cart = self.ask(Ask::new(Method::POST, "/api/v1/cart")).await?.expect("a cart", &[StatusCode::CREATED])?;
        let token = cart.body["token"].as_str().context("a cart without a token")?.to_owned();
        for _ in 0..2 {
            let item = json!({ "sku": self.any_sku()?, "quantity": 1 });
            let ask = Ask::new(Method::POST, "/api/v1/cart/items").header("x-cart-token", &token).json(item);
            self.at = self.at.wrapping_add(1);
            self.ask(ask).await?.expect("a cart's item", &[StatusCode::OK])?;
        }
        self.at = self.at.wrapping_add(1);
        let paid_by = self.card();
        self.buy(json!({ "cart": token, "payment": { "token": paid_by } })).await
    }

    fn card(&mut self) -> &'static str {
        let at = usize::try_from(self.random.below(10)).unwrap_or_default();
        CARDS.get(at).copied().unwrap_or("tok_approve")
    }

    async fn buy(&mut self, body: Value) -> anyhow::Result<()> {
        let key = fresh_run()?;
        if let Some(placed) = self.place(&key, &body).await? {
            let text = |field: &str| placed[field].as_str().map(str::to_owned).context("an order without id or token");
            self.mine.push(Mine { id: text("id")?, token: text("buyer_token")?, key, body, ended: None });
        }
        Ok(())
    }

    /// The same order under the same key, at another node.
    async fn repeat(&mut self) -> anyhow::Result<()> {
        let Some(Mine { id, key, body, .. }) = self.pick().map(|at| self.mine[at].clone()) else { return Ok(()) };
        self.at = self.at.wrapping_add(1);
        match self.place(&key, &body).await? {
            Some(again) if again["id"].as_str() == Some(&id) => Ok(()),
            again => bail!("the retry of {id} was answered {again:?}"),
        }
    }

    /// Posts until there is an answer that means something. The order, or none if it is sold out.
    async fn place(&mut self, key: &str, body: &Value) -> anyhow::Result<Option<Value>> {
        let ask = Ask::new(Method::POST, ORDERS).header("idempotency-key", key).json(body.clone());
        let answer = self.ask(ask).await?;
        if answer.status == StatusCode::CONFLICT && problem(&answer) == "insufficient-stock" {
            return Ok(None);
        }
        let placed = answer.expect("an order", &[StatusCode::CREATED])?.body;
        lock(&self.books).acknowledge(&placed)?;
        Ok(Some(placed))
    }

    async fn cancel(&mut self) -> anyhow::Result<()> {
        let Some(at) = self.pick() else { return Ok(()) };
        let ask = Ask::new(Method::POST, format!("{ORDERS}/{}/cancel", self.mine[at].id));
        self.end_order(at, ask, &["canceled", "refunded"]).await
    }

    async fn ship(&mut self) -> anyhow::Result<()> {
        let Some(at) = self.pick() else { return Ok(()) };
        let ask = Ask::new(Method::PUT, format!("{ORDERS}/{}/status", self.mine[at].id));
        self.end_order(at, ask.json(json!({ "status": "shipped" })), &["shipped", "delivered"]).await
    }

    /// Moves an order that nobody else moves, so whatever is acknowledged holds for good.
    async fn end_order(&mut self, at: usize, ask: Ask, statuses: &'static [&'static str]) -> anyhow::Result<()> {
        if self.mine[at].ended.is_some() {
            return Ok(());
        }
        let answer = self.ask(ask.bearer(&self.admin.clone())).await?;
        if answer.expect("an order's step", &[StatusCode::OK, StatusCode::CONFLICT])?.status == StatusCode::OK {
            self.mine[at].ended = Some(statuses);
            lock(&self.books).moved(&self.mine[at].id, statuses);
        }
        Ok(())
    }

    /// Looks at one of its orders, at another node.
    async fn look(&mut self) -> anyhow::Result<()> {
        let Some(Mine { id, token, ended, .. }) = self.pick().map(|at| self.mine[at].clone()) else { return Ok(()) };
        self.at = self.at.wrapping_add(1);
        let answer = self.ask(Ask::new(Method::GET, format!("{ORDERS}/{id}")).bearer(&token)).await?;
        let order = answer.expect("an acknowledged order", &[StatusCode::OK])?.body;
        let status = order["status"].as_str().unwrap_or_default();
        ensure!(ended.is_none_or(|ended| ended.contains(&status)), "acknowledged as {ended:?}, read as {order}");
        Ok(())
    }

    async fn ask(&mut self, ask: Ask) -> anyhow::Result<Answer> {
        self.doors.ask(&mut self.at, &ask).await
    }

    fn pick(&mut self) -> Option<usize> {
        usize::try_from(self.random.below(self.mine.len() as u64)).ok().filter(|at| *at < self.mine.len())
    }
}
