//! An actor an entity, in two frameworks.

use actix::{Actor as _, Addr, Arbiter, Context, Handler, Message, System};
use holdfast_benches::sample::{sku, stock};
use holdfast_core::stock::StockItem;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::oneshot;

use super::{Host, take};

/// A ractor actor an entity.
pub(crate) struct RactorHost(Vec<ActorRef<HoldOne>>);

/// What a ractor actor is asked.
pub(crate) struct HoldOne(u64, RpcReplyPort<()>);

struct RactorStock;

impl Actor for RactorStock {
    type Msg = HoldOne;
    type State = StockItem;
    type Arguments = StockItem;

    async fn pre_start(&self, _: ActorRef<HoldOne>, stock: StockItem) -> Result<StockItem, ActorProcessingErr> {
        Ok(stock)
    }

    async fn handle(
        &self,
        _: ActorRef<HoldOne>,
        HoldOne(number, answer): HoldOne,
        stock: &mut StockItem,
    ) -> Result<(), ActorProcessingErr> {
        take(stock, number);
        Ok(answer.send(())?)
    }
}

impl Host for RactorHost {
    async fn start(entities: u64) -> Self {
        let mut actors = Vec::new();
        for number in 0..entities {
            let started = Actor::spawn(None, RactorStock, stock(&sku(number), 0)).await;
            actors.push(started.unwrap_or_else(|error| panic!("{error}")).0);
        }
        Self(actors)
    }

    async fn hold(&self, entity: u64, number: u64) {
        let actor = &self.0[usize::try_from(entity).unwrap_or(0)];
        let answered = actor.call(|port| HoldOne(number, port), None).await;
        let answered = answered.unwrap_or_else(|error| panic!("{error}"));
        assert!(answered.is_success(), "the actor did not answer");
    }
}

/// An actix actor an entity, on one event loop a processor.
pub(crate) struct ActixHost(Vec<Addr<ActixStock>>);

/// The actor.
pub(crate) struct ActixStock(StockItem);

/// What an actix actor is asked.
pub(crate) struct Take(u64);

impl Message for Take {
    type Result = ();
}

impl actix::Actor for ActixStock {
    type Context = Context<Self>;
}

impl Handler<Take> for ActixStock {
    type Result = ();

    fn handle(&mut self, Take(number): Take, _: &mut Context<Self>) {
        take(&mut self.0, number);
    }
}

impl Host for ActixHost {
    async fn start(entities: u64) -> Self {
        let (sender, started) = oneshot::channel();
        // Its system has a thread of its own for as long as the process lives.
        std::thread::spawn(move || {
            let system = System::new();
            let begin = async move {
                let loops = std::thread::available_parallelism().map_or(1, usize::from);
                let arbiters: Vec<Arbiter> = (0..loops).map(|_| Arbiter::new()).collect();
                let actors = (0..entities).map(|number| {
                    let arbiter = &arbiters[usize::try_from(number).unwrap_or(0) % loops];
                    ActixStock::start_in_arbiter(&arbiter.handle(), move |_| ActixStock(stock(&sku(number), 0)))
                });
                let _ = sender.send(actors.collect());
            };
            system.block_on(begin);
            system.run()
        });
        let host = Self(started.await.unwrap_or_else(|error| panic!("{error}")));
        // Answered by the last, so that all have begun.
        host.hold(entities - 1, 0).await;
        host
    }

    async fn hold(&self, entity: u64, number: u64) {
        let actor = &self.0[usize::try_from(entity).unwrap_or(0)];
        actor.send(Take(number)).await.unwrap_or_else(|error| panic!("{error}"));
    }
}
