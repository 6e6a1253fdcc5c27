//! One history of the real server: a few clients, one SKU with fewer units than they want, and what goes wrong meanwhile.

use std::{sync::Arc, time::Duration};

use holdfast_api::load::{order::fresh_run, shop::Shop};
use tokio::task::JoinSet;

use super::{
    dice::Dice,
    history::History,
    shopper::{Counter, Manners},
};
use crate::House;

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
    /// All of them, in the order in which a trial takes turns.
    pub const ALL: [Self; 4] = [Self::None, Self::HangUps, Self::Kill, Self::ShortHolds];

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

/// Plays one history on `house` and records it.
///
/// # Errors
/// When the server answers something that no document allows, or does not come back.
pub async fn play(house: &mut House, trouble: Trouble, mut dice: Dice) -> anyhow::Result<History> {
    let units = 2 + dice.below(5);
    let counter = put_up(house.shop(), units, (trouble == Trouble::ShortHolds).then_some(SHORT_HOLD_MS)).await?;
    let kill_at = Duration::from_millis(5 + dice.below(60));
    let clients = quarrel(&counter, trouble.manners(), CLIENTS, &dice);
    let killing = async {
        if trouble == Trouble::Kill {
            tokio::time::sleep(kill_at).await;
            house.restart().await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(clients, killing)?;
    house.settled_units(counter.sku()).await?;
    counter.close().await?;
    Ok(counter.history())
}

/// Puts up a new SKU in a category of its own name, with `units` units.
///
/// # Errors
/// When it is refused.
pub async fn put_up(shop: &Shop, units: u64, hold_ttl_ms: Option<u64>) -> anyhow::Result<Arc<Counter>> {
    let (sku, run) = (format!("Q-{}", fresh_run()?), fresh_run()?);
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
    while let Some(client) = crowd.join_next().await {
        client??;
    }
    Ok(())
}
