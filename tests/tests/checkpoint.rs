//! `kill -9` in a snapshot and in the step that moves its watermark: old or new, never neither.
//!
//! With one shard the snapshot store's flushes take turns, snapshots and watermark, and each writes sled's log once: so the
//! second write of that log is the one that moves the first watermark. That it is, is what these tests show as well.

use std::time::Duration;

use anyhow::Context as _;
use holdfast_api::load::{order::fresh_run, shop::Shop, target::Target};
use holdfast_tests::{
    House,
    books::Books,
    fault::{Layer, Rule, RuleCall},
    purchase::{order_body, post_order},
};
use hyper::{Method, StatusCode};

const LOG: &str = "snapshots/metadata/log_*";
const SETTINGS: [(&str, &str); 2] = [("STORE__SHARDS", "1"), ("RUNTIME__CHECKPOINT_RECORDS", "20")];

/// What the operators' listener shows of the one shard.
async fn figure(house: &House, name: &str) -> anyhow::Result<u64> {
    let admin = house.server()?.ready().admin.context("the operators' listener")?;
    let operators = Shop::new(Target::from(admin), house.shop().admin_token().map(str::to_owned));
    let answer = operators.admin_call(Method::GET, "/admin/v1/shards", None).await?;
    answer.body["shards"][0][name].as_u64().with_context(|| answer.body.to_string())
}

/// Has the server killed at this rule while it sells, and starts it again. What its watermark was then.
async fn watermark_after(rule: Rule) -> anyhow::Result<u64> {
    let mut house = House::with_settings(&SETTINGS)?;
    let layer = Layer::new(&house.data(), house.folder())?;
    layer.panel().arm()?;
    layer.surround(house.launch_mut(), &[rule]);
    house.restart().await?;
    let mut books = Books::default();
    house.put_up("MARK", 1_000).await?;
    books.stock.insert("MARK".to_owned(), 1_000);
    for _ in 0..400 {
        match post_order(house.shop(), &fresh_run()?, &order_body(&[("MARK", 1)], "tok_approve")).await {
            Ok(answer) if answer.status == StatusCode::CREATED => books.acknowledge(&answer.body)?,
            // The connection broke: the server is gone.
            _ => break,
        }
    }
    house.left(Duration::from_secs(20)).await?.context("no checkpoint came")?;
    assert_eq!(layer.panel().fired(0)?, 1);
    Layer::take_off(house.launch_mut());
    // No further checkpoint: what is shown is what was found.
    house.launch_mut().environment.push(("HOLDFAST__RUNTIME__CHECKPOINT_RECORDS".into(), "1000000".into()));
    house.restart().await?;
    let watermark = figure(&house, "snapshot_watermark").await?;
    books.check(house.shop()).await?;
    Ok(watermark)
}

#[tokio::test]
async fn a_kill_before_the_watermark_moves_leaves_the_old_one_and_loses_nothing() -> anyhow::Result<()> {
    assert_eq!(watermark_after(Rule::kill_before(RuleCall::Write, LOG).nth(1)).await?, 0, "in the snapshots");
    assert_eq!(watermark_after(Rule::kill_before(RuleCall::Write, LOG).nth(2)).await?, 0, "before the watermark");
    assert_eq!(watermark_after(Rule::tear(LOG).nth(2)).await?, 0, "half of the watermark");
    Ok(())
}

#[tokio::test]
async fn a_kill_after_the_watermark_moved_leaves_the_new_one_and_loses_nothing() -> anyhow::Result<()> {
    assert!(watermark_after(Rule::kill_after(RuleCall::Sync, LOG).nth(2)).await? > 0);
    Ok(())
}

/// The end of a drain was announced before its last snapshots were on their way, and mostly they never left.
#[tokio::test]
async fn a_drain_leaves_a_checkpoint_of_everything() -> anyhow::Result<()> {
    let mut house = House::with_settings(&[("STORE__SHARDS", "1")])?;
    for round in 0..6 {
        house.put_up(&format!("DRAIN-{round}"), 10).await?;
        let status = house.terminate(Duration::from_secs(20)).await?.context("the server did not leave")?;
        assert!(status.success(), "{status}");
        house.restart().await?;
        let (covered, all) = (figure(&house, "snapshot_watermark").await?, figure(&house, "journal_sequence").await?);
        assert!(all > 0);
        assert_eq!(covered, all, "round {round}");
    }
    Ok(())
}
