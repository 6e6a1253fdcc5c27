//! The merchant: fills the shelves, ships, delivers, and gives money back. Every command is repeated until it is answered.

use holdfast_actors::{CommandError, Commerce};
use holdfast_core::{
    Currency, EntityId, Money, OrderId, SkuId,
    order::{Order, OrderStatus},
    product::ProductDetails,
    stock::SalePolicy,
};

use crate::{outside::Outside, violation::Promise};

/// A SKU of the shop.
#[derive(Debug, Clone)]
pub(crate) struct Article {
    pub(crate) sku: SkuId,
    pub(crate) price_minor: i64,
    pub(crate) units: u64,
    pub(crate) policy: SalePolicy,
}

impl Article {
    fn details(&self) -> ProductDetails {
        ProductDetails {
            name: String::from("Article"),
            description: String::new(),
            price: Money::new(self.price_minor, Currency::EUR),
            category: String::from("goods"),
            images: Vec::new(),
            variants: Vec::new(),
            metadata: std::collections::BTreeMap::new(),
        }
    }
}

/// Puts an article on the shelf, and now and then some more units.
pub(crate) async fn stock(outside: Outside, article: Article, restocks: u64) {
    loop {
        let Article { sku, policy, units, .. } = article.clone();
        let details = article.details();
        let answer = outside
            .ask(10_000, |commerce| async move { commerce.create_product(sku, details, policy, units).await })
            .await;
        match answer {
            Some(Ok(product)) => {
                outside.book.acknowledge(EntityId::Product(article.sku.clone()), product.version);
                outside.book.acknowledge(EntityId::Stock(article.sku.clone()), product.stock.version);
                break;
            }
            Some(Err(CommandError::Rejected(_))) => break,
            Some(Err(_)) | None => outside.pause(100, 3_000).await,
        }
    }
    for _ in 0..restocks {
        outside.pause(60_000, 3_600_000).await;
        let (sku, delta) = (article.sku.clone(), outside.dice.millis(0, 8) - 2);
        let reason = String::from("count");
        let adjusted =
            outside.ask(10_000, |commerce| async move { commerce.adjust_stock(sku, delta, reason, None).await }).await;
        if let Some(Ok(stock)) = adjusted {
            outside.book.acknowledge(EntityId::Stock(article.sku.clone()), stock.version);
        }
    }
}

/// Sees to an order: ships it, delivers it, and gives some of its money back.
pub(crate) async fn see_to(outside: Outside, order: OrderId) {
    if outside.dice.permille(150) {
        return;
    }
    outside.pause(5_000, 1_200_000).await;
    let shipped = command(&outside, order, Action::Ship).await;
    let Some(shipped) = shipped else { return };
    outside.count(|figures| figures.shipments += 1);
    if outside.dice.permille(600) {
        outside.pause(1_000, 600_000).await;
        command(&outside, order, Action::Deliver).await;
    }
    if outside.dice.permille(350) {
        outside.pause(1_000, 900_000).await;
        let total = shipped.placement().map_or(0, |placement| placement.total.minor());
        let refunds = outside.dice.between(1, 3);
        for _ in 0..refunds {
            let request = u128::from(outside.dice.next());
            let part = outside.dice.millis(1, total.max(1).unsigned_abs());
            let amount = (!outside.dice.permille(300)).then(|| Money::new(part, Currency::EUR));
            refund(&outside, order, request, amount).await;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Ship,
    Deliver,
}

impl Action {
    async fn ask(self, commerce: Commerce, order: OrderId) -> Result<Order, CommandError> {
        match self {
            Self::Ship => commerce.ship_order(order, None).await,
            Self::Deliver => commerce.deliver_order(order, None).await,
        }
    }
}

/// Asks until there is an answer; what is not yet possible is asked for again a few times.
async fn command(outside: &Outside, order: OrderId, action: Action) -> Option<Order> {
    for _ in 0..8 {
        match outside.ask(10_000, |commerce| async move { action.ask(commerce, order).await }).await {
            Some(Ok(order)) => {
                outside.saw_order(&order);
                return Some(order);
            }
            Some(Err(CommandError::Rejected(_))) => outside.pause(10_000, 120_000).await,
            Some(Err(_)) | None => outside.pause(100, 5_000).await,
        }
    }
    None
}

async fn refund(outside: &Outside, order: OrderId, request: u128, amount: Option<Money>) {
    let mut granted: Option<Order> = None;
    for _ in 0..6 {
        let answer =
            outside.ask(10_000, |commerce| async move { commerce.refund_order(order, request, amount).await }).await;
        match answer {
            Some(Ok(order)) => {
                outside.saw_order(&order);
                let same = order.refunds().iter().filter(|refund| refund.request == request).count();
                if same != 1 {
                    let what = format!("{}: one request made {same} refunds", order.id());
                    outside.violation(Promise::Money, what);
                }
                let again = granted.is_none() && outside.dice.permille(200);
                granted = Some(order);
                if !again {
                    break;
                }
            }
            Some(Err(CommandError::Rejected(_))) => {
                if granted.is_some() {
                    outside.violation(Promise::Money, format!("{order}: a repeated refund was refused"));
                }
                break;
            }
            Some(Err(_)) | None => outside.pause(100, 5_000).await,
        }
    }
    if granted.is_some_and(|order| order.status() != OrderStatus::Canceled) {
        outside.count(|figures| figures.refunds += 1);
    }
}
