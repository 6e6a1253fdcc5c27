//! Reads of a single product: from the durable views where they are the whole truth, otherwise from the shard's owner.
//!
//! Invariant: what is told here is at least as new as anything that anybody was told before the read began. Listings promise
//! less: they show what this node has heard, which for a shard of another node may be a moment behind.

use holdfast_core::{SkuId, product::ProductRejection};

use crate::{
    error::CommandError,
    message::{Reply, Request},
    router::{Router, ask},
    view::{ProductView, Views},
};

/// The product of a SKU with its stock.
///
/// # Errors
/// Rejected when it is not in the catalog; otherwise the shard's owner could not be asked.
pub(crate) async fn product(router: &dyn Router, views: &Views, sku: &SkuId) -> Result<ProductView, CommandError> {
    let not_found = || CommandError::product(sku.clone(), ProductRejection::NotFound);
    let shard = router.shards().shard_of(sku.slot());
    if router.shows(shard) {
        let seen = views.product(sku);
        // Looked at again: what was read after the shard went to another node may be old.
        if router.shows(shard) {
            return seen.ok_or_else(not_found);
        }
    }
    match ask(router, sku.slot(), Request::ReadProduct(sku.clone()), None).await? {
        Reply::Product(product) => Ok(*product),
        _ => Err(not_found()),
    }
}
