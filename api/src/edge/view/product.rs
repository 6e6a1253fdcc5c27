//! Products on the wire.

use std::collections::BTreeMap;

use holdfast_actors::ProductView;
use holdfast_core::{
    SkuId,
    product::{ProductDetails, Variant},
    stock::SalePolicy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    findings::Findings,
    money::MoneyBody,
    stock::{Availability, LevelBody, PolicyBody},
};
use crate::{
    edge::{body::distinct_map, problem::Problem},
    settings::LimitSettings,
};

/// The longest image address, in bytes.
const MAX_IMAGE_BYTES: usize = 2_048;
/// The longest key of metadata and options, in bytes.
const MAX_KEY_BYTES: usize = 64;
/// The longest value of metadata and options, in bytes.
const MAX_VALUE_BYTES: usize = 1_024;

/// A product to put into the catalog.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProduct {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "TEE-BLACK-M")]
    pub(crate) sku: SkuId,
    /// Shown as the title.
    #[schema(min_length = 1, example = "Tour T-shirt, black, M")]
    name: String,
    /// Shown below it.
    #[serde(default)]
    description: String,
    /// Price of one unit; never negative.
    price: MoneyBody,
    /// A path such as `apparel/shirts`.
    #[serde(default)]
    category: String,
    /// Addresses of images: `https://...`, or a path beginning with `/`.
    #[serde(default)]
    images: Vec<String>,
    /// Other SKUs of the same article.
    #[serde(default)]
    variants: Vec<VariantBody>,
    /// The merchant's own keys and values.
    #[serde(default, deserialize_with = "distinct_map")]
    metadata: BTreeMap<String, String>,
    /// Units in the house at first.
    #[serde(default)]
    pub(crate) units: u64,
    /// When and how much may be sold; without it always and as much as there is.
    pub(crate) sale: Option<PolicyBody>,
}

/// What is said about a product from now on, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductChange {
    /// Shown as the title.
    #[schema(min_length = 1)]
    name: String,
    /// Shown below it.
    #[serde(default)]
    description: String,
    /// Price of one unit; never negative. Orders placed before keep theirs.
    price: MoneyBody,
    /// A path such as `apparel/shirts`.
    #[serde(default)]
    category: String,
    /// Addresses of images: `https://...`, or a path beginning with `/`.
    #[serde(default)]
    images: Vec<String>,
    /// Other SKUs of the same article.
    #[serde(default)]
    variants: Vec<VariantBody>,
    /// The merchant's own keys and values.
    #[serde(default, deserialize_with = "distinct_map")]
    metadata: BTreeMap<String, String>,
    /// When and how much may be sold; unchanged without it.
    pub(crate) sale: Option<PolicyBody>,
}

/// A SKU of the same article and what sets it apart.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Variant)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariantBody {
    /// The variant's own SKU: a product with stock of its own.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$")]
    sku: SkuId,
    /// Shown to tell it apart.
    #[schema(min_length = 1)]
    name: String,
    /// Option to value.
    #[serde(default, deserialize_with = "distinct_map")]
    options: BTreeMap<String, String>,
}

impl NewProduct {
    /// The product's details and sale policy, checked.
    pub(crate) fn into_details(self, limits: &LimitSettings) -> Result<(ProductDetails, SalePolicy), Problem> {
        let sale = self.sale.map(SalePolicy::from).unwrap_or_default();
        let Self { name, description, price, category, images, variants, metadata, .. } = self;
        let change = ProductChange { name, description, price, category, images, variants, metadata, sale: None };
        Ok((change.into_details(limits)?, sale))
    }
}

impl ProductChange {
    /// The details, checked.
    pub(crate) fn into_details(self, limits: &LimitSettings) -> Result<ProductDetails, Problem> {
        self.check(limits)?;
        let variant = |body: VariantBody| Variant { sku: body.sku, name: body.name, options: body.options };
        Ok(ProductDetails {
            name: self.name,
            description: self.description,
            price: self.price.into(),
            category: self.category,
            images: self.images,
            variants: self.variants.into_iter().map(variant).collect(),
            metadata: self.metadata,
        })
    }

    fn check(&self, limits: &LimitSettings) -> Result<(), Problem> {
        let mut findings = Findings::default();
        findings.required_text("/name", &self.name, limits.product_name_bytes);
        findings.text("/description", &self.description, limits.product_description_bytes);
        findings.text("/category", &self.category, limits.product_category_bytes);
        if !self.category.is_empty() && self.category.split('/').any(|part| part.trim().is_empty()) {
            findings.note("/category", "a path of names with one '/' between them, as in apparel/shirts");
        }
        findings.count("/images", self.images.len(), limits.product_images);
        for (index, image) in self.images.iter().enumerate() {
            let field = format!("/images/{index}");
            let is_address = image.starts_with("https://") || (image.starts_with('/') && !image.starts_with("//"));
            if !is_address || image.chars().any(|c| c.is_whitespace() || c.is_control()) {
                findings.note(field.as_str(), "an https address, or a path beginning with '/'");
            }
            if findings.length(&field, image, MAX_IMAGE_BYTES) {
                findings.no_card_number(&field, image);
            }
        }
        findings.count("/variants", self.variants.len(), limits.product_variants);
        for (index, variant) in self.variants.iter().enumerate() {
            let field = format!("/variants/{index}");
            findings.required_text(&format!("{field}/name"), &variant.name, limits.product_name_bytes);
            check_map(&mut findings, &format!("{field}/options"), &variant.options, limits.product_metadata);
        }
        check_map(&mut findings, "/metadata", &self.metadata, limits.product_metadata);
        findings.done()
    }
}

fn check_map(findings: &mut Findings, field: &str, map: &BTreeMap<String, String>, max: usize) {
    findings.count(field, map.len(), max);
    for (key, value) in map.iter().take(max) {
        findings.required_text(field, key, MAX_KEY_BYTES);
        let shown: String = key.chars().take(MAX_KEY_BYTES).collect();
        let pointer = format!("{field}/{}", shown.replace('~', "~0").replace('/', "~1"));
        findings.text(&pointer, value, MAX_VALUE_BYTES);
    }
}

/// A product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub(crate) struct ProductBody<'a> {
    /// The SKU.
    #[schema(value_type = String, example = "TEE-BLACK-M")]
    sku: &'a SkuId,
    /// Its title.
    name: &'a str,
    /// What is said about it.
    description: &'a str,
    /// Price of one unit.
    price: MoneyBody,
    /// Its category path.
    category: &'a str,
    /// Addresses of images.
    images: &'a [String],
    /// Other SKUs of the same article.
    #[schema(value_type = Vec<VariantBody>)]
    variants: Vec<VariantView<'a>>,
    /// The merchant's own keys and values.
    metadata: &'a BTreeMap<String, String>,
    /// What can be bought now.
    availability: Availability,
    /// When and how much may be sold.
    sale: PolicyBody,
    /// The version of what is said about it.
    version: u64,
    /// Where all its units are; only for the admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    stock: Option<LevelBody>,
}

#[derive(Debug, Serialize)]
struct VariantView<'a> {
    sku: &'a SkuId,
    name: &'a str,
    options: &'a BTreeMap<String, String>,
}

impl<'a> ProductBody<'a> {
    /// The product as a buyer or the admin sees it.
    pub(crate) fn new(product: &'a ProductView, for_admin: bool) -> Self {
        let details = &*product.details;
        let variant = |of: &'a Variant| VariantView { sku: &of.sku, name: &of.name, options: &of.options };
        Self {
            sku: &product.sku,
            name: &details.name,
            description: &details.description,
            price: details.price.into(),
            category: &details.category,
            images: &details.images,
            variants: details.variants.iter().map(variant).collect(),
            metadata: &details.metadata,
            availability: Availability::from(&product.stock),
            sale: product.stock.policy.into(),
            version: product.version,
            stock: for_admin.then(|| LevelBody::from(&product.stock)),
        }
    }
}

/// The tag of a product: what is said about it and its stock, each with its version.
pub(crate) fn tag(product: &ProductView) -> String {
    format!("p{}-s{}", product.version, product.stock.version)
}

/// A page of products, in the order of their SKUs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductPage<'a> {
    /// The products.
    pub(crate) items: Vec<ProductBody<'a>>,
    /// Pass it on as `cursor` for the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}
