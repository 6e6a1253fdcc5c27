//! The catalog entry of one SKU: what a buyer reads and the price an order freezes. Units live in [`crate::stock`].
//!
//! Invariant: a listed price is never negative, because an order adds it up and a gateway charges it.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{entity::Entity, id::SkuId, money::Money, time::Timestamp};

/// What the merchant says about a SKU. Sizes are bounded at the edge (named settings) and again by the record limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductDetails {
    /// Shown as the title.
    pub name: String,
    /// Shown below it; may be empty.
    pub description: String,
    /// Price of one unit; never negative.
    pub price: Money,
    /// A category path such as `audio/headphones`; may be empty.
    pub category: String,
    /// Image addresses, in order.
    pub images: Vec<String>,
    /// Other SKUs of the same article (sizes, colors). Each is a product with stock of its own.
    pub variants: Vec<Variant>,
    /// The merchant's own keys and values.
    pub metadata: BTreeMap<String, String>,
}

/// A SKU of the same article and what sets it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The variant's own SKU.
    pub sku: SkuId,
    /// Shown to tell it apart, for example `M / black`.
    pub name: String,
    /// Option to value, for example `size` to `M`.
    pub options: BTreeMap<String, String>,
}

/// What may be asked of a product. `expected_version` is the version of an `If-Match`, refused when stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProductCommand {
    /// Put it into the catalog (again, if it was removed).
    Create(ProductDetails),
    /// Replace what is said about it.
    Update {
        /// The new details, whole.
        details: ProductDetails,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Take it out of the catalog: it can no longer be bought; orders keep their frozen lines.
    Remove {
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
}

/// What has happened to a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProductEvent {
    /// It came into the catalog.
    Created(ProductDetails),
    /// Its details were replaced.
    Updated(ProductDetails),
    /// It left the catalog.
    Removed,
}

/// Why a product refused a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ProductRejection {
    /// The SKU is not in the catalog.
    #[error("the SKU is not in the catalog")]
    NotFound,
    /// The SKU is in the catalog already.
    #[error("the SKU is in the catalog already")]
    AlreadyExists,
    /// The price is negative.
    #[error("a price cannot be negative")]
    NegativePrice,
    /// The caller saw another version.
    #[error("the product is at version {actual}, not {expected}")]
    StaleVersion {
        /// What the caller saw.
        expected: u64,
        /// What is current.
        actual: u64,
    },
}

/// The catalog entry of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    sku: SkuId,
    version: u64,
    /// Boxed, so that a place for any entity is not as large as the largest of them.
    details: Option<Box<ProductDetails>>,
}

impl Product {
    /// The catalog entry of `sku` before anything has happened to it: it does not exist yet.
    pub const fn new(sku: SkuId) -> Self {
        Self { sku, version: 0, details: None }
    }

    /// Which SKU it is about.
    pub const fn sku(&self) -> &SkuId {
        &self.sku
    }

    /// What the merchant says about it; `None` while it is not in the catalog.
    pub fn details(&self) -> Option<&ProductDetails> {
        self.details.as_deref()
    }

    fn check_listed(&self, expected_version: Option<u64>) -> Result<&ProductDetails, ProductRejection> {
        let details = self.details().ok_or(ProductRejection::NotFound)?;
        match expected_version {
            Some(expected) if expected != self.version => {
                Err(ProductRejection::StaleVersion { expected, actual: self.version })
            }
            _ => Ok(details),
        }
    }
}

impl Entity for Product {
    type Command = ProductCommand;
    type Event = ProductEvent;
    type Rejection = ProductRejection;

    fn decide(&self, command: ProductCommand, _now: Timestamp) -> Result<Vec<ProductEvent>, ProductRejection> {
        match command {
            ProductCommand::Create(_) if self.details.is_some() => Err(ProductRejection::AlreadyExists),
            ProductCommand::Create(details) => Ok(vec![ProductEvent::Created(with_valid_price(details)?)]),
            ProductCommand::Update { details, expected_version } => {
                let current = self.check_listed(expected_version)?;
                if *current == details {
                    return Ok(Vec::new());
                }
                Ok(vec![ProductEvent::Updated(with_valid_price(details)?)])
            }
            ProductCommand::Remove { expected_version } => {
                self.check_listed(expected_version)?;
                Ok(vec![ProductEvent::Removed])
            }
        }
    }

    fn apply(&mut self, event: &ProductEvent) {
        self.version = self.version.saturating_add(1);
        self.details = match event {
            ProductEvent::Created(details) | ProductEvent::Updated(details) => Some(Box::new(details.clone())),
            ProductEvent::Removed => None,
        };
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }
}

fn with_valid_price(details: ProductDetails) -> Result<ProductDetails, ProductRejection> {
    if details.price.is_negative() { Err(ProductRejection::NegativePrice) } else { Ok(details) }
}
