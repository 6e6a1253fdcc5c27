//! What the operators' listener asks of the cluster, and how a refusal by it is answered.
//!
//! Why a trait: the listener is up before the node has joined, and on a server of its own there is no cluster at all.

use async_trait::async_trait;
use holdfast_cluster::{
    Cluster,
    operator::{Change, ClusterStatus, OperatorError, RebalancePlan, ShardStatus},
};
use holdfast_core::ShardId;

use crate::edge::{
    App,
    problem::{Kind, Problem},
};

/// The operators' side of a cluster, as [`holdfast_cluster::operator`] documents it.
#[async_trait]
pub(crate) trait Operations: Send + Sync + 'static {
    fn status(&self) -> ClusterStatus;
    fn shards(&self) -> Vec<ShardStatus>;
    async fn move_shard(&self, shard: ShardId, to: &str, by: &str) -> Result<Change, OperatorError>;
    async fn rebalance(&self, dry_run: bool, by: &str) -> Result<RebalancePlan, OperatorError>;
    async fn cancel_rebalance(&self, by: &str) -> Result<Change, OperatorError>;
    async fn drain(&self, node: &str, by: &str) -> Result<Change, OperatorError>;
    async fn undrain(&self, node: &str, by: &str) -> Result<Change, OperatorError>;
}

#[async_trait]
impl Operations for Cluster {
    fn status(&self) -> ClusterStatus {
        Self::status(self)
    }

    fn shards(&self) -> Vec<ShardStatus> {
        Self::shards(self)
    }

    async fn move_shard(&self, shard: ShardId, to: &str, by: &str) -> Result<Change, OperatorError> {
        Self::move_shard(self, shard, to, by).await
    }

    async fn rebalance(&self, dry_run: bool, by: &str) -> Result<RebalancePlan, OperatorError> {
        Self::rebalance(self, dry_run, by).await
    }

    async fn cancel_rebalance(&self, by: &str) -> Result<Change, OperatorError> {
        Self::cancel_rebalance(self, by).await
    }

    async fn drain(&self, node: &str, by: &str) -> Result<Change, OperatorError> {
        Self::drain(self, node, by).await
    }

    async fn undrain(&self, node: &str, by: &str) -> Result<Change, OperatorError> {
        Self::undrain(self, node, by).await
    }
}

/// The cluster, or why there is none to ask.
pub(super) fn cluster(app: &App) -> Result<&dyn Operations, Problem> {
    match app.cluster() {
        Some(cluster) => Ok(cluster.as_ref()),
        None if app.settings.cluster.is_on() => {
            Err(Problem::new(Kind::Unavailable).detail("the node has not joined its cluster yet"))
        }
        None => Err(Problem::new(Kind::ClusterNotConfigured)),
    }
}

impl From<OperatorError> for Problem {
    fn from(error: OperatorError) -> Self {
        let said = error.to_string();
        match error {
            OperatorError::UnknownNode(_) | OperatorError::UnknownShard { .. } => {
                Self::new(Kind::NotFound).detail(said)
            }
            OperatorError::NodeNotAlive(_) => Self::new(Kind::NodeNotAlive).detail(said),
            OperatorError::NobodyLeft => Self::new(Kind::NoNodeLeft),
            OperatorError::Conflict => Self::new(Kind::PlanChanged).detail(said),
            OperatorError::NoQuorum(_) => Self::new(Kind::Unavailable).detail(said),
            OperatorError::Unknown(_) => Self::new(Kind::OutcomeUnknown).detail(said),
            OperatorError::NothingToDo(why) => Self::new(Kind::NothingToDo).detail(why),
            OperatorError::NewerPlan { .. } => Self::new(Kind::Conflict).detail(said),
            OperatorError::Author { .. } => Self::new(Kind::InvalidHeader).field("X-Operator", said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_refuses_is_told_apart_by_its_type() {
        let problem = |error: OperatorError| {
            let problem = Problem::from(error);
            (problem.kind().slug(), problem.kind().status().as_u16())
        };
        let node = || "n9".to_owned();
        assert_eq!(problem(OperatorError::UnknownNode(node())), ("not-found", 404));
        assert_eq!(problem(OperatorError::UnknownShard { shard: ShardId(16), last: 15 }), ("not-found", 404));
        assert_eq!(problem(OperatorError::NodeNotAlive(node())), ("node-not-alive", 409));
        assert_eq!(problem(OperatorError::NobodyLeft), ("no-node-left", 409));
        assert_eq!(problem(OperatorError::Conflict), ("plan-changed", 409));
        assert_eq!(problem(OperatorError::NothingToDo("drained".to_owned())), ("nothing-to-do", 409));
        assert_eq!(problem(OperatorError::NoQuorum("away".to_owned())), ("unavailable", 503));
        assert_eq!(problem(OperatorError::Unknown("away".to_owned())), ("outcome-unknown", 503));
    }
}
