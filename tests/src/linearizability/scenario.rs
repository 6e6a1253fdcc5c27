//! One history of the real server: a few clients, one SKU with fewer units than they want, and what goes wrong meanwhile.

use std::{sync::Arc, time::Duration};

use holdfast_api::load::{order::fresh_run, shop::Shop};
use tokio::task::JoinSet;

use super::{counter::Counter, history::History, pair::Pair, shopper::Manners};
use crate::{House, dice::Dice};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing but declined payments.
    None,
    /// Clients hang up before they are answered, and come back with the same key.
    HangUps,
    /// `kill -9` and a restart in the middle.
    Kill,
    /// Holds whose payment never comes lapse after [`SHORT_HOLD_MS`]. Needs a house with such holds.
    ShortHolds,
}

/// How long a hold lives in a house of [`Trouble::ShortHolds`], in milliseconds.
pub const SHORT_HOLD_MS: u64 = 300;

/// How many clients quarrel.
const CLIENTS: u64 = 6;
/// How many moves each makes.
const MOVES: usize = 8;

impl Trouble {
    fn manners(self) -> Manners {
        let calm = Manners { moves: MOVES, pause_us: 3_000, hang_ups: 0, declines: 20, unpaid: 0 };
        match self {
            Self::None => calm,
            Self::HangUps => Manners { hang_ups: 25, ..calm },
            Self::Kill => Manners { pause_us: 12_000, ..calm },
            Self::ShortHolds => Manners { pause_us: 120_000, unpaid: 50, declines: 10, ..calm },
        }
    }
}

/// Plays one history of one SKU on `house` and records it.
///
/// # Errors
/// When the server answers something that no document allows, or does not come back.
pub async fn play(house: &mut House, trouble: Trouble, mut dice: Dice) -> anyhow::Result<History> {
    let units = 2 + dice.below(5);
    let counter = put_up(house.shop(), units, (trouble == Trouble::ShortHolds).then_some(SHORT_HOLD_MS)).await?;
    let kill_at = Duration::from_millis(5 + dice.below(60));
    let clients = quarrel(&counter, trouble.manners(), CLIENTS, &dice);
    tokio::try_join!(clients, kill(house, trouble, kill_at))?;
    house.settled_units(counter.sku()).await?;
    counter.close().await?;
    Ok(counter.history())
}

/// Plays one history of two SKUs that orders have lines of in either order. Returns each SKU's.
///
/// # Errors
/// As [`play`].
pub async fn play_pair(house: &mut House, trouble: Trouble, mut dice: Dice) -> anyhow::Result<[History; 2]> {
    let one = put_up(house.shop(), 2 + dice.below(5), None).await?;
    let other = put_up(house.shop(), 2 + dice.below(5), None).await?;
    let pairs = [Arc::new(Pair::new(&one, &other)), Arc::new(Pair::new(&other, &one))];
    let kill_at = Duration::from_millis(5 + dice.below(60));
    let manners = trouble.manners();
    let mut crowd = JoinSet::new();
    for (client, pair) in (0..CLIENTS).zip(pairs.iter().cycle()) {
        let (pair, dice) = (Arc::clone(pair), dice.part(client));
        crowd.spawn(async move { pair.shop(manners, dice).await });
    }
    tokio::try_join!(everyone(crowd), kill(house, trouble, kill_at))?;
    for counter in [&one, &other] {
        counter.close().await?;
    }
    Ok([one.history(), other.history()])
}

async fn kill(house: &mut House, trouble: Trouble, at: Duration) -> anyhow::Result<()> {
    if trouble == Trouble::Kill {
        tokio::time::sleep(at).await;
        house.restart().await?;
    }
    Ok(())
}

/// Puts up a new SKU in a category of its own name, with `units` units.
///
/// # Errors
/// When it is refused.
pub async fn put_up(shop: &Shop, units: u64, hold_ttl_ms: Option<u64>) -> anyhow::Result<Arc<Counter>> {
    let run = fresh_run()?;
    // In letters: digits by chance look like a card number, which no category may.
    let letters =
        fresh_run()?.chars().filter_map(|digit| char::from_digit(10 + digit.to_digit(16)?, 36)).collect::<String>();
    let sku = format!("Q-{letters}");
    let mut product = Shop::plain_product(&sku, units);
    if let Some(category) = product.get_mut("category") {
        *category = sku.as_str().into();
    }
    shop.put_up(&product).await?;
    Ok(Arc::new(Counter::new(shop, &sku, &run, units, hold_ttl_ms)))
}

/// Lets `clients` clients make their moves at one counter.
///
/// # Errors
/// As [`Counter::shop`], the first one's.
pub async fn quarrel(counter: &Arc<Counter>, manners: Manners, clients: u64, dice: &Dice) -> anyhow::Result<()> {
    let mut crowd = JoinSet::new();
    for client in 0..clients {
        let (counter, dice) = (Arc::clone(counter), dice.part(client));
        crowd.spawn(async move { counter.shop(manners, dice).await });
    }
    everyone(crowd).await
}

async fn everyone(mut crowd: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(client) = crowd.join_next().await {
        client??;
    }
    Ok(())
}
