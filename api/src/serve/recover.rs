//! Bringing the node back, and into its cluster.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use holdfast_actors::{Clock, Commerce, Lease, Node, NodeParts};
use holdfast_cluster::LocalRouter;
use holdfast_persistence::{Store, StoreId};
use tokio::{task::JoinSet, time::Instant};

use super::ServeError;
use crate::{
    edge::App,
    gateway,
    membership::{Membership, Prepared},
};

/// How often a recovery says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Brings the shards back, saying how far it is.
pub(super) async fn open_node(app: &App, store: Store, prepared: Option<&Prepared>) -> Result<Arc<Node>, ServeError> {
    let settings = &app.settings;
    let secret = store.secret;
    // A gateway may answer on its own, as a real one does by webhook: the answer goes to the order like any other.
    let commerce: Arc<OnceLock<Commerce>> = Arc::default();
    let listener = Arc::clone(&commerce);
    let on_duplicate = Box::new(move |order, answer| {
        if let Some(commerce) = listener.get() {
            commerce.record_payment(order, answer);
        }
    });
    let sandbox = settings.payments.sandbox.clone();
    // It reads its book, every call there ever was: health is answered meanwhile.
    let opening = tokio::task::spawn_blocking(move || gateway::open(&sandbox, on_duplicate));
    let gateway = opening.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(ServeError::Gateway)?;
    let parts = NodeParts {
        settings: settings.runtime.clone(),
        payments: settings.payments.clone(),
        store,
        gateway,
        clock: prepared.map_or_else(Clock::system, |prepared| prepared.clock.clone()),
        lease: prepared.map_or_else(Lease::perpetual, |prepared| prepared.lease.clone()),
        probe: None,
    };
    let node = Node::open(parts, |shards, mailboxes| match prepared {
        Some(prepared) => prepared.router(settings, mailboxes),
        None => Arc::new(LocalRouter::new(shards, mailboxes)),
    })?;
    let _ = commerce.set(node.commerce().clone());
    let node = Arc::new(node);
    app.open(Arc::clone(&node), secret);
    let began = Instant::now();
    let summary = {
        let mut recovering = std::pin::pin!(node.recover());
        loop {
            tokio::select! {
                recovered = &mut recovering => break recovered?,
                () = tokio::time::sleep(PROGRESS) => {
                    let so_far = node.recovery_progress();
                    let (records, bytes, of_bytes) = (so_far.records, so_far.bytes, so_far.total_bytes);
                    tracing::info!(snapshots = so_far.snapshots, records, bytes, of_bytes, "recovering");
                }
            }
        }
    };
    let took_ms = began.elapsed().as_millis();
    tracing::info!(snapshots = summary.snapshots, records = summary.records, took_ms, "recovered");
    Ok(node)
}

/// Joins the other nodes, and waits until every shard has an owner among them.
pub(super) async fn join(
    app: &App,
    prepared: Prepared,
    node: &Arc<Node>,
    keys: (StoreId, [u8; 32]),
    tasks: &mut JoinSet<()>,
) -> Result<Membership, ServeError> {
    let membership = prepared.join(&app.settings, node, keys).await?;
    app.join(membership.operations());
    let (failing, failed) = (Arc::clone(node), membership.failed());
    tasks.spawn(async move { failing.give_up(&failed.await) });
    tokio::select! {
        () = membership.wait_ready() => Ok(membership),
        reason = node.failed() => Err(ServeError::Failed(reason)),
    }
}
