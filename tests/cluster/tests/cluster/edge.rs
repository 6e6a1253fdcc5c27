//! The HTTP interface at every node, whosever the shard is: a house, and the one shard that its tests look at. What they look
//! for is in `tags` and `live_stock`.

use anyhow::ensure;
use holdfast_cluster_tests::{
    house::{ClusterHouse, HousePlan},
    keeper::Keeper,
    stage::Stage,
};
use holdfast_core::ShardId;

/// The shard that is moved and loses its owner.
pub(crate) const SHARD: ShardId = ShardId(3);

/// A house of three nodes without a crowd, and the path of a product whose shard is [`SHARD`].
pub(crate) async fn house(servers: usize, seed: u64) -> anyhow::Result<(Stage, Keeper, String)> {
    let stage = Stage::empty(HousePlan { servers, ..HousePlan::default() }, seed).await?;
    let (keeper, path) = (Keeper::of(&stage.house), format!("/api/v1/products/{}", stage.crowd.sku(SHARD)?));
    Ok((stage, keeper, path))
}

/// Gives the shard to this node, and waits until it has it.
pub(crate) async fn owned_by(house: &ClusterHouse, owner: usize) -> anyhow::Result<()> {
    if house.settled(&[]).await?.get(&SHARD) != Some(&owner) {
        house.move_shard(owner, SHARD, house.name(owner)).await?;
    }
    ensure!(house.settled(&[]).await?.get(&SHARD) == Some(&owner), "it is not where it was moved to");
    Ok(())
}

/// Adds a unit. The version that made.
pub(crate) async fn raise(keeper: &Keeper, path: &str, at: usize) -> anyhow::Result<u64> {
    let before = keeper.read(at, path, None).await?;
    keeper.change(at, &keeper.adjustment(path, 1).header("if-match", &before.tag)).await?;
    Ok(before.version('s')? + 1)
}
