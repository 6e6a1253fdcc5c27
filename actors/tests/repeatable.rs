//! Which requests may be asked again where the first answer was lost, variant by variant.
#![expect(clippy::expect_used, reason = "a helper of tests: what fails there fails the test")]

use std::{collections::BTreeMap, sync::Arc};

use holdfast_actors::message::{NewProduct, Place, Request};
use holdfast_core::{
    BuyerId, CartId, Currency, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    cart::CartCommand,
    order::{
        AuthorizationOutcome, CancelReason, CapturePolicy, OrderCommand, PaymentToken, Placement, SettlementOutcome,
    },
    product::{ProductCommand, ProductDetails},
    stock::{SalePolicy, StockCommand},
};

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn sku() -> SkuId {
    SkuId::parse("HP-1").expect("a SKU")
}

fn units() -> Quantity {
    Quantity::new(2).expect("a quantity")
}

fn order() -> OrderId {
    OrderId::from_u128(7)
}

fn hold() -> HoldId {
    HoldId { order: order(), line: 1 }
}

fn details() -> ProductDetails {
    ProductDetails {
        name: String::from("Headphones"),
        description: String::new(),
        price: Money::new(4_900, Currency::EUR),
        category: String::new(),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: BTreeMap::new(),
    }
}

fn stock(command: StockCommand) -> Request {
    Request::Stock { sku: sku(), command }
}

fn cart(command: CartCommand) -> Request {
    Request::Cart { cart: CartId::from_u128(9), command }
}

fn to_order(command: OrderCommand) -> Request {
    Request::Order { order: order(), command }
}

#[track_caller]
fn assert_all(requests: impl IntoIterator<Item = Request>, expected: bool) {
    for request in requests {
        assert_eq!(request.is_repeatable(), expected, "{request:?}");
    }
}

#[test]
fn reads_may_be_asked_again() {
    let cart = CartId::from_u128(9);
    assert_all([Request::ReadCart(cart), Request::ReadOrder(order()), Request::ReadProduct(sku())], true);
}

#[test]
fn an_order_and_its_holds_come_to_be_once_under_their_id() {
    let payment_token = PaymentToken::parse("tok_approve").expect("a token");
    let place = Place {
        order: order(),
        buyer: BuyerId::from_u128(1),
        customer: None,
        lines: Vec::new(),
        payment_token,
        fingerprint: 1,
        deadline: AT,
    };
    let line = Request::HoldLine { hold: hold(), sku: sku(), quantity: units(), customer: None };
    assert_all([Request::Place(Box::new(place)), line], true);
    let held = StockCommand::Hold { hold: hold(), quantity: units(), expires_at: AT, customer: None };
    let by_hold = [
        held,
        StockCommand::Release { hold: hold() },
        StockCommand::Allocate { hold: hold() },
        StockCommand::Fulfill { hold: hold() },
        StockCommand::Lapse,
    ];
    assert_all(by_hold.map(stock), true);
}

#[test]
fn what_counts_units_or_sets_a_policy_may_not() {
    let changes = [
        StockCommand::Receive { quantity: units(), expected_version: None },
        StockCommand::Adjust { delta: 5, reason: String::from("count"), expected_version: None },
        StockCommand::SetPolicy(SalePolicy::default()),
    ];
    assert_all(changes.map(stock), false);
}

#[test]
fn the_catalog_is_not_changed_twice() {
    let new = NewProduct { sku: sku(), details: details(), policy: SalePolicy::default(), units: 1 };
    let update =
        Request::UpdateProduct { sku: sku(), details: Box::new(details()), policy: None, expected_version: None };
    let remove = Box::new(ProductCommand::Remove { expected_version: None });
    let remove = Request::Product { sku: sku(), command: remove };
    assert_all([Request::CreateProduct(Box::new(new)), update, remove], false);
}

#[test]
fn lines_of_a_cart_are_not_changed_twice() {
    let (expires_at, expected_version) = (AT, None);
    let changes = [
        CartCommand::Create { currency: Currency::EUR, expires_at },
        CartCommand::AddItem { sku: sku(), quantity: units(), expires_at, expected_version },
        CartCommand::ChangeQuantity { item: 0, quantity: units(), expires_at, expected_version },
        CartCommand::RemoveItem { item: 0, expires_at, expected_version },
        CartCommand::Reopen { into: CartId::from_u128(8) },
        CartCommand::AbandonCheckout { order: order() },
    ];
    assert_all(changes.map(cart), false);
}

#[test]
fn what_happens_to_a_cart_once_may_be_asked_again() {
    let other = CartId::from_u128(8);
    let steps = [
        CartCommand::TakeIn { from: other, lines: Vec::new(), expires_at: AT },
        CartCommand::MergeInto { into: other },
        CartCommand::BeginCheckout { order: order(), deadline: AT, expected_version: Some(1) },
        CartCommand::CompleteCheckout { order: order() },
        CartCommand::Expire,
    ];
    assert_all(steps.map(cart), true);
}

#[test]
fn a_step_of_an_order_may_be_asked_again_unless_it_names_the_version_it_changes() {
    let reason = CancelReason::Buyer;
    let named = |expected_version| {
        [
            OrderCommand::Cancel { reason, expected_version },
            OrderCommand::Ship { expected_version },
            OrderCommand::Deliver { expected_version },
        ]
    };
    assert_all(named(None).map(to_order), true);
    assert_all(named(Some(3)).map(to_order), false);
    let placement = Placement {
        placed_at: AT,
        buyer: BuyerId::from_u128(1),
        customer: None,
        lines: Vec::new(),
        total: Money::zero(Currency::EUR),
        payment_token: PaymentToken::parse("tok_approve").expect("a token"),
        capture: CapturePolicy::default(),
        expires_at: AT,
        fingerprint: 1,
    };
    let answers = [
        OrderCommand::Place(Arc::new(placement)),
        OrderCommand::RecordAuthorization(AuthorizationOutcome::Approved { reference: String::from("a") }),
        OrderCommand::LineAllocated { line: 0 },
        OrderCommand::LineLost { line: 0 },
        OrderCommand::LineReleased { line: 0 },
        OrderCommand::LineFulfilled { line: 0 },
        OrderCommand::RecordCapture(SettlementOutcome::Done),
        OrderCommand::RecordVoid,
        OrderCommand::RecordRefund { refund: 0, outcome: SettlementOutcome::Done },
        OrderCommand::Expire,
        OrderCommand::Refund { request: 5, amount: None },
    ];
    assert_all(answers.map(to_order), true);
}
