//! The catalog entry of a SKU.

use holdfast_core::{
    Entity,
    product::{Product, ProductCommand, ProductDetails, ProductEvent, ProductRejection},
};

use crate::given::{at, eur, sku, tell};

fn details(name: &str, price: i64) -> ProductDetails {
    ProductDetails {
        name: name.into(),
        description: String::new(),
        price: eur(price),
        category: "light".into(),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
    }
}

fn listed() -> Product {
    let mut product = Product::new(sku("LAMP"));
    tell(&mut product, ProductCommand::Create(details("Lamp", 1_000)), at(0)).unwrap();
    product
}

#[test]
fn a_product_that_does_not_exist_refuses_all_but_its_creation() {
    let product = Product::new(sku("LAMP"));
    let update = ProductCommand::Update { details: details("Lamp", 1), expected_version: None };
    assert_eq!(product.decide(update, at(0)), Err(ProductRejection::NotFound));
    let remove = ProductCommand::Remove { expected_version: None };
    assert_eq!(product.decide(remove, at(0)), Err(ProductRejection::NotFound));
    assert_eq!((product.details(), product.version(), product.next_deadline()), (None, 0, None));
}

#[test]
fn a_product_is_created_once() {
    let again = listed().decide(ProductCommand::Create(details("Lamp", 1_000)), at(1));
    assert_eq!(again, Err(ProductRejection::AlreadyExists));
}

#[test]
fn a_removed_product_can_come_back() {
    let mut product = listed();
    assert_eq!(
        tell(&mut product, ProductCommand::Remove { expected_version: Some(1) }, at(1)).unwrap(),
        [ProductEvent::Removed]
    );
    assert_eq!(product.details(), None);
    tell(&mut product, ProductCommand::Create(details("Lamp", 900)), at(2)).unwrap();
    assert_eq!(product.details().map(|details| details.price), Some(eur(900)));
    assert_eq!(product.version(), 3);
}

#[test]
fn an_update_of_what_somebody_else_changed_is_refused() {
    let update = ProductCommand::Update { details: details("Lamp", 1), expected_version: Some(7) };
    assert_eq!(listed().decide(update, at(1)), Err(ProductRejection::StaleVersion { expected: 7, actual: 1 }));
}

#[test]
fn an_update_that_changes_nothing_is_no_fact() {
    let update = ProductCommand::Update { details: details("Lamp", 1_000), expected_version: None };
    assert_eq!(listed().decide(update, at(1)), Ok(Vec::new()));
}

#[test]
fn a_price_is_never_negative() {
    let product = Product::new(sku("LAMP"));
    let negative = Err(ProductRejection::NegativePrice);
    assert_eq!(product.decide(ProductCommand::Create(details("Lamp", -1)), at(0)), negative);
    let update = ProductCommand::Update { details: details("Lamp", -1), expected_version: None };
    assert_eq!(listed().decide(update, at(0)), negative);
    assert!(product.decide(ProductCommand::Create(details("Free lamp", 0)), at(0)).is_ok());
}
