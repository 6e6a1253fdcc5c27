//! The database fails over to a streaming standby in the middle of a sale: nothing is lost or doubled, also when the
//! standby had not heard of everything that was projected into the server that died.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use holdfast_servers::{Postgres, PostgresOptions};
use holdfast_tests::{
    House,
    database::{self, caught_up, compare, projected},
    shoppers::Crowd,
};

/// A shop whose URL names a server and its standby.
struct Scene {
    primary: Arc<Postgres>,
    standby: Arc<Postgres>,
    house: House,
    crowd: Crowd,
}

impl Scene {
    async fn set(seed: u64) -> anyhow::Result<Self> {
        let primary = Arc::new(Postgres::with(&PostgresOptions::default().followed())?);
        let standby = Arc::new(primary.standby()?);
        let [first, second] = [&primary, &standby].map(|server| format!("127.0.0.1:{}", server.port()));
        // The standby first: it takes no writes yet, and is passed over.
        let url = primary.url().replace(&first, &format!("{second},{first}"));
        let house = database::house(&primary, &[("POSTGRES__URL", &url)])?;
        let mut crowd = Crowd::of(house.shop(), seed);
        for sku in ["CRASH-A", "CRASH-B", "CRASH-C", "CRASH-FEW"] {
            house.put_up(sku, 100_000).await?;
            crowd.put_up(sku, 100_000);
        }
        caught_up(&primary, &house).await?;
        Ok(Self { primary, standby, house, crowd })
    }

    async fn shop_for(&mut self, duration: Duration) -> anyhow::Result<()> {
        let shopping = self.crowd.go();
        tokio::time::sleep(duration).await;
        shopping.end().await
    }

    /// The primary dies and the standby takes its place, while people buy.
    async fn fail_over(&mut self) -> anyhow::Result<()> {
        let shopping = self.crowd.go();
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| {
            let primary = Arc::get_mut(&mut self.primary).ok_or_else(|| anyhow::anyhow!("the primary is in use"))?;
            primary.kill()
        })?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| self.standby.promote())?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        shopping.end().await
    }

    /// Everything is in the tables of the new primary, once, and everything buyers were told is true.
    async fn check(&self) -> anyhow::Result<String> {
        let took = caught_up(&self.standby, &self.house).await?;
        let compared = compare(&self.standby, &self.house).await?;
        let found = self.crowd.books().check(self.house.shop()).await?;
        ensure!(found.found == found.acknowledged, "{found:?}");
        Ok(format!("the standby had everything after {took:?}: {compared:?}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_takes_over_and_nothing_is_lost_or_doubled() -> anyhow::Result<()> {
    let mut scene = Scene::set(41).await?;
    scene.fail_over().await?;
    println!("{}", scene.check().await?);
    scene.shop_for(Duration::from_millis(300)).await?;
    println!("{}", scene.check().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_was_behind_is_projected_into_again_from_where_it_was() -> anyhow::Result<()> {
    let mut scene = Scene::set(42).await?;
    scene.standby.stop_following()?;
    let heard = projected(&scene.standby)?;
    scene.shop_for(Duration::from_millis(700)).await?;
    caught_up(&scene.primary, &scene.house).await?;
    let (had, left) = (projected(&scene.primary)?, projected(&scene.standby)?);
    ensure!(left == heard && had > heard, "the standby has {left} of {had} records, and had {heard} before");
    scene.fail_over().await?;
    println!("the primary had {had} records when it died, the standby {left}");
    println!("{}", scene.check().await?);
    scene.shop_for(Duration::from_millis(300)).await?;
    println!("{}", scene.check().await?);
    Ok(())
}
