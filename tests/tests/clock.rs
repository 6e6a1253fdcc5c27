//! Somebody sets the machine's clock under the real server: no hold is released early and none is kept too long, until the
//! next start reads the clock again.
//!
//! "Expired tokens are refused" has no case yet: a buyer's token does not expire (ADR 0008).

use std::time::Duration;

use holdfast_tests::{
    House,
    fault::{Call, Layer},
    purchase::{Purchase, buy},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;

/// A server whose holds live for `hold_ttl_ms`, and the layer that owns its clock.
fn house(hold_ttl_ms: &str) -> anyhow::Result<(House, Layer)> {
    let mut layer = None;
    let house = House::launched(&[("RUNTIME__HOLD_TTL_MS", hold_ttl_ms)], |folder, launch| {
        let made = Layer::new(&folder.join("data"), folder)?;
        made.surround(launch, &[]);
        // A millisecond is no shift, but from now on the layer counts who asks.
        made.panel().shift_clock(1)?;
        layer = Some(made);
        Ok(())
    })?;
    let layer = layer.ok_or_else(|| anyhow::anyhow!("no layer"))?;
    layer.assert_active()?;
    assert!(layer.panel().calls(Call::Clock)? > 0, "the server does not read the clock through the layer");
    Ok((house, layer))
}

async fn placed_at(house: &House, order: &Purchase) -> anyhow::Result<String> {
    Ok(order.read(house.shop()).await?["placed_at"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_clock_set_forward_or_back_under_a_running_server_changes_no_hold() -> anyhow::Result<()> {
    let (house, layer) = house("600000")?;
    house.put_up("CLOCK", 10).await?;
    let waiting = buy(house.shop(), &[("CLOCK", 3)], "tok_never").await?;
    for shift_ms in [90 * DAY_MS, -HOUR_MS] {
        layer.panel().shift_clock(shift_ms)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let units = house.shop().units("CLOCK").await?;
        assert_eq!((units.held, units.available), (3, 7), "after {shift_ms} ms");
        assert_eq!(waiting.read(house.shop()).await?["status"], "placed", "after {shift_ms} ms");
    }
    Ok(())
}

#[tokio::test]
async fn a_clock_set_back_keeps_no_hold_too_long() -> anyhow::Result<()> {
    let (house, layer) = house("1500")?;
    house.put_up("BACK", 1).await?;
    let waiting = buy(house.shop(), &[("BACK", 1)], "tok_never").await?;
    layer.panel().shift_clock(-HOUR_MS)?;
    waiting.settled(house.shop(), &["expired"]).await?;
    assert_eq!(house.shop().units("BACK").await?.available, 1);
    Ok(())
}

#[tokio::test]
async fn after_a_restart_with_the_clock_set_back_holds_stand_and_the_books_balance() -> anyhow::Result<()> {
    let (mut house, layer) = house("600000")?;
    house.put_up("AGAIN", 10).await?;
    let waiting = buy(house.shop(), &[("AGAIN", 3)], "tok_never").await?;
    let paid = buy(house.shop(), &[("AGAIN", 1)], "tok_approve").await?;
    paid.settled(house.shop(), &["confirmed"]).await?;

    layer.panel().shift_clock(-HOUR_MS)?;
    house.restart().await?;
    let units = house.shop().units("AGAIN").await?;
    assert!(units.balance(), "{units:?}");
    assert_eq!((units.held, units.allocated, units.available), (3, 1, 6));
    let earlier = buy(house.shop(), &[("AGAIN", 1)], "tok_approve").await?;
    // The layer does shift the clock: the later order says an earlier time.
    assert!(placed_at(&house, &earlier).await? < placed_at(&house, &paid).await?);
    assert_eq!(waiting.read(house.shop()).await?["status"], "placed");
    Ok(())
}

/// What is written down of a hold is an instant; after 90 days on the wall a hold of ten minutes is over, as it would be
/// after 90 days of standing still.
#[tokio::test]
async fn after_a_restart_90_days_later_unpaid_holds_are_over_and_paid_orders_are_not() -> anyhow::Result<()> {
    let (mut house, layer) = house("600000")?;
    house.put_up("LATER", 10).await?;
    let waiting = buy(house.shop(), &[("LATER", 3)], "tok_never").await?;
    let paid = buy(house.shop(), &[("LATER", 1)], "tok_approve").await?;
    paid.settled(house.shop(), &["confirmed"]).await?;
    layer.panel().shift_clock(90 * DAY_MS)?;
    house.restart().await?;
    waiting.settled(house.shop(), &["expired"]).await?;
    assert_eq!(paid.read(house.shop()).await?["status"], "confirmed");
    let units = house.settled_units("LATER").await?;
    assert!(units.balance(), "{units:?}");
    assert_eq!((units.held, units.allocated, units.available), (0, 1, 9));
    Ok(())
}
