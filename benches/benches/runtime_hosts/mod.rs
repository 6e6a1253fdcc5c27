//! The runtimes that carry stock items in the `runtime` suite, each as its documentation would have it.
//!
//! Invariant: every host decides and takes in the same hold on the same entity, and answers its caller.

mod actors;
mod shard;

use std::future::Future;

use dashmap::DashMap;
use holdfast_benches::sample::{carry_out, hold, sku, stock};
use holdfast_core::{SkuId, stock::StockItem};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::{
    actors::{ActixHost, RactorHost},
    shard::ShardHost,
};

/// What waits for one entity before its callers do.
const MAILBOX: usize = 1_024;

/// Something that carries stock items.
pub(crate) trait Host: Send + Sync + 'static {
    /// Starts it with so many, none of which has a hold.
    fn start(entities: u64) -> impl Future<Output = Self>;
    /// Holds a unit of `entity` for order `number`.
    fn hold(&self, entity: u64, number: u64) -> impl Future<Output = ()> + Send;
}

/// Takes a hold on a stock item: the work that every host does.
pub(crate) fn take(stock: &mut StockItem, number: u64) {
    let command = hold(number, stock.sku());
    carry_out(stock, command);
}

/// A map of locked entities; callers do the work.
pub(crate) struct MapHost(DashMap<SkuId, Mutex<StockItem>>);

impl Host for MapHost {
    async fn start(entities: u64) -> Self {
        Self((0..entities).map(sku).map(|sku| (sku.clone(), Mutex::new(stock(&sku, 0)))).collect())
    }

    async fn hold(&self, entity: u64, number: u64) {
        let Some(stock) = self.0.get(&sku(entity)) else { panic!("no such SKU") };
        take(&mut stock.lock(), number);
    }
}

/// A task an entity, fed by a channel.
pub(crate) struct TaskHost(Vec<mpsc::Sender<(u64, oneshot::Sender<()>)>>);

impl Host for TaskHost {
    #[expect(clippy::disallowed_methods, reason = "the tasks end when their channels close, with the host")]
    async fn start(entities: u64) -> Self {
        let begin = |number| {
            let mut stock = stock(&sku(number), 0);
            let (sender, mut inbox) = mpsc::channel::<(u64, oneshot::Sender<()>)>(MAILBOX);
            tokio::spawn(async move {
                while let Some((number, answer)) = inbox.recv().await {
                    take(&mut stock, number);
                    let _ = answer.send(());
                }
            });
            sender
        };
        Self((0..entities).map(begin).collect())
    }

    async fn hold(&self, entity: u64, number: u64) {
        let (answer, answered) = oneshot::channel();
        let inbox = &self.0[usize::try_from(entity).unwrap_or(0)];
        inbox.send((number, answer)).await.unwrap_or_else(|error| panic!("{error}"));
        answered.await.unwrap_or_else(|error| panic!("{error}"));
    }
}
