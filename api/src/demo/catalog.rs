//! The demo's catalog: a file of products as `POST /api/v1/products` takes them, and which of them goes on sale.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The catalog that comes with the program.
const BUILT_IN: &str = include_str!("../../../config/demo-catalog.json");

/// Products, and the one that goes on sale.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// The SKU of the flash sale: one of the products.
    pub flash_sale: String,
    /// The products, each as it is posted.
    pub products: Vec<Map<String, Value>>,
}

/// A catalog that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file cannot be read.
    #[error("cannot read the catalog {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not a catalog.
    #[error("{path} is not a catalog")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// The product of the flash sale is not in it.
    #[error("{path} puts {sku:?} on sale but does not list it")]
    NoFlashSale {
        /// The file.
        path: PathBuf,
        /// The SKU.
        sku: String,
    },
}

impl Catalog {
    /// Reads the catalog in `path`, or the one that comes with the program.
    ///
    /// # Errors
    /// [`CatalogError`] naming the file.
    pub fn load(path: Option<&Path>) -> Result<Self, CatalogError> {
        let name = path.unwrap_or(Path::new("config/demo-catalog.json")).to_path_buf();
        let text = match path {
            Some(path) => {
                fs::read_to_string(path).map_err(|source| CatalogError::Read { path: name.clone(), source })?
            }
            None => BUILT_IN.to_owned(),
        };
        let catalog: Self =
            serde_json::from_str(&text).map_err(|source| CatalogError::Parse { path: name.clone(), source })?;
        if catalog.products.iter().all(|product| product.get("sku") != Some(&json!(catalog.flash_sale))) {
            return Err(CatalogError::NoFlashSale { path: name, sku: catalog.flash_sale });
        }
        Ok(catalog)
    }

    /// The products as they are to be posted, the one of the sale with `units` units and opening at `opens_at`.
    pub fn for_sale(&self, units: u64, opens_at: &str) -> Vec<Value> {
        let with_sale = |product: &Map<String, Value>| {
            let mut product = product.clone();
            if product.get("sku") == Some(&json!(self.flash_sale)) {
                product.insert("units".to_owned(), json!(units));
                product.insert("sale".to_owned(), json!({ "opens_at": opens_at, "per_order_limit": 1 }));
            }
            Value::Object(product)
        };
        self.products.iter().map(with_sale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_that_comes_with_the_program_can_be_sold_from() {
        let catalog = Catalog::load(None).unwrap();
        let products = catalog.for_sale(5_000, "2030-01-01T00:00:00Z");
        assert!(products.len() >= 30, "{} products", products.len());
        let on_sale: Vec<_> = products.iter().filter(|product| product.get("sale").is_some()).collect();
        assert_eq!(on_sale.len(), 1);
        assert_eq!(on_sale[0]["units"], 5_000);
    }

    #[test]
    fn a_missing_file_names_itself() {
        let error = Catalog::load(Some(Path::new("/nowhere/catalog.json"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/catalog.json"), "{error}");
    }
}
