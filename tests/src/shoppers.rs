//! Shoppers under whom things go wrong: orders of one line and of several, carts, retries, cancellations, shipments, and looks
//! at what was acknowledged. Each asks until it is answered, and enters what it was told into the books.
//!
//! Invariant: what a shopper was told holds from then on, wherever it asks: an order that is not found, or stands where it was
//! before an acknowledged step, fails the crowd at once.

use std::{
    collections::BTreeMap,
    path::PathBuf,
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
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    books::Books,
    counter::{Ask, Counter, problem},
    dice::Dice,
    purchase::order_body,
};

/// How many shop at once at one server.
const SHOPPERS: usize = 12;
/// Cards that make the gateway answer late or twice; most pay with one that does not.
const CARDS: [&str; 4] = ["tok_timeout_before", "tok_timeout_after", "tok_twice", "tok_capture_timeout_after"];

/// All shoppers, and the books they keep.
pub struct Crowd<C = Shop> {
    counter: Arc<C>,
    admin: Arc<str>,
    range: Range,
    books: Arc<Mutex<Books>>,
    seeds: Dice,
}

/// What there is to buy.
#[derive(Debug, Clone, Default)]
struct Range {
    skus: Vec<String>,
    /// The one that sells out.
    scarce: Option<String>,
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

struct Shopper<C> {
    counter: Arc<C>,
    admin: Arc<str>,
    range: Range,
    books: Arc<Mutex<Books>>,
    random: Dice,
    stop: Arc<AtomicBool>,
    /// What it does between two things.
    breath: Duration,
    mine: Vec<Mine>,
    at: usize,
}

impl Crowd {
    /// Shoppers of one server, whose choices follow from `seed`.
    pub fn of(shop: &Shop, seed: u64) -> Self {
        Self::new(Arc::new(shop.clone()), shop.admin_token().unwrap_or_default(), seed)
    }

    /// Sends the shoppers off, as many as keep a server busy.
    pub fn go(&mut self) -> Shopping {
        self.send_off(SHOPPERS, Duration::ZERO)
    }
}

impl<C: Counter> Crowd<C> {
    /// Shoppers at `counter`, who have the operator's token for what only an operator may do. Their choices follow from `seed`.
    pub fn new(counter: Arc<C>, admin: &str, seed: u64) -> Self {
        let books = Arc::new(Mutex::new(Books::of_the_patient()));
        Self { counter, admin: admin.into(), range: Range::default(), books, seeds: Dice::new(seed) }
    }

    /// Has them buy this SKU, of which so many units were put up.
    pub fn put_up(&mut self, sku: &str, units: u64) {
        self.range.skus.push(sku.to_owned());
        lock(&self.books).stock.insert(sku.to_owned(), units);
    }

    /// Has them buy this SKU now and then, until it is sold out.
    pub fn put_up_few(&mut self, sku: &str, units: u64) {
        self.range.scarce = Some(sku.to_owned());
        lock(&self.books).stock.insert(sku.to_owned(), units);
    }

    /// Has the gateway's book compared as well.
    pub fn ask_gateway(&mut self, book: PathBuf) {
        lock(&self.books).gateway = Some(book);
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

    /// Sends so many shoppers off, each of whom takes a breath between two things.
    pub fn send_off(&mut self, shoppers: usize, breath: Duration) -> Shopping {
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for at in 0..shoppers {
            let shopper = Shopper {
                counter: Arc::clone(&self.counter),
                admin: Arc::clone(&self.admin),
                range: self.range.clone(),
                books: Arc::clone(&self.books),
                random: Dice::new(self.seeds.roll()),
                stop: Arc::clone(&stop),
                breath,
                mine: Vec::new(),
                at,
            };
            tasks.spawn(shopper.shop());
        }
        Shopping { tasks, stop }
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

impl<C: Counter> Shopper<C> {
    async fn shop(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            match self.random.below(24) {
                0..=1 => self.repeat().await?,
                2..=3 => self.cancel().await?,
                4..=5 => self.ship().await?,
                6..=9 => self.look().await?,
                10..=13 => self.order_several().await?,
                14..=15 => self.order_cart().await?,
                16 => self.order_scarce().await?,
                _ => {
                    let sku = self.any_sku()?;
                    self.order(&[(sku, 1)]).await?;
                }
            }
            self.at = self.at.wrapping_add(1);
            sleep(self.breath).await;
        }
        // What was acknowledged before the fault is acknowledged in the same words after it.
        self.repeat().await?;
        self.look().await
    }

    fn any_sku(&mut self) -> anyhow::Result<String> {
        Ok(self.random.pick(&self.range.skus).context("no SKU")?.clone())
    }

    async fn order_scarce(&mut self) -> anyhow::Result<()> {
        let sku = self.range.scarce.clone().map_or_else(|| self.any_sku(), Ok)?;
        self.order(&[(sku, 2)]).await
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

    /// A cart that is made at one place, filled at others, and ordered at yet another.
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

    /// The same order under the same key, at another place.
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

    /// Looks at one of its orders, at another place.
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
        self.counter.ask(&mut self.at, &ask).await
    }

    fn pick(&mut self) -> Option<usize> {
        usize::try_from(self.random.below(self.mine.len() as u64)).ok().filter(|at| *at < self.mine.len())
    }
}
