//! A server to test: started with a folder of its own, stopped with the test.

use std::{path::Path, time::Duration};

use holdfast_api::{
    ServeError, Server,
    settings::{Secret, Settings},
};
use holdfast_persistence::StoreError;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Call, Reply};

/// The admin's token in tests.
pub(crate) const ADMIN: &str = "admin-token-of-the-tests-0123456789";

/// A running shop.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

/// The settings of a test's server in `folder`.
pub(crate) fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.token = Some(Secret::new(ADMIN));
    settings.store.path = folder.join("data");
    settings.store.shards = 4;
    settings.store.journal.segment_bytes = 4 << 20;
    settings.store.journal.reserve_bytes = 1 << 20;
    settings.store.journal.frame_limit_bytes = 128 << 10;
    settings.store.journal.record_limit_bytes = 128 << 10;
    settings.runtime.turn_bytes = 256 << 10;
    settings
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    /// A shop with other settings.
    pub(crate) async fn open_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::open_in(tempfile::tempdir().expect("a folder"), change).await
    }

    /// A shop over what is in `folder`.
    pub(crate) async fn open_in(folder: TempDir, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings(folder.path());
        change(&mut settings);
        // The shards of a server that was just stopped may hold the folder's lock for a moment more.
        for _ in 0..500 {
            match Server::start(settings.clone()).await {
                Ok(server) => return Self { server, folder },
                Err(ServeError::Store(StoreError::Locked { .. })) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("does not start: {error:?}"),
            }
        }
        panic!("the folder stays locked");
    }

    /// Stops it; the folder stays.
    pub(crate) async fn close(self) -> TempDir {
        assert!(self.server.shutdown().await, "everything was finished");
        self.folder
    }

    pub(crate) fn call(&self, method: &'static str, path: &str) -> Call {
        Call::new(self.server.public_addr(), method, &format!("/api/v1{path}"))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call("POST", path)
    }

    /// Puts a product on sale at 19.99 euros.
    pub(crate) async fn stock(&self, sku: &str, units: u64) {
        self.sell(json!({"sku": sku, "units": units})).await;
    }

    /// Puts a product on sale; what is not given is made up.
    pub(crate) async fn sell(&self, product: Value) -> Value {
        let mut whole = json!({"name": "A thing", "price": {"amount_minor": 1999, "currency": "EUR"}});
        for (name, value) in product.as_object().expect("an object") {
            whole[name] = value.clone();
        }
        self.post("/products").bearer(ADMIN).json(&whole).send().await.expect(201)
    }

    /// The units of a SKU, as the admin sees them.
    pub(crate) async fn level(&self, sku: &str) -> Value {
        let product = self.get(&format!("/products/{sku}")).bearer(ADMIN).send().await.expect(200);
        let level = product["stock"].clone();
        let sum =
            ["available", "held", "allocated"].iter().map(|part| level[part].as_u64().expect("a number")).sum::<u64>();
        assert_eq!(level["on_hand"], sum, "on_hand = available + held + allocated: {level}");
        level
    }

    /// Orders `quantity` units under `key`.
    pub(crate) async fn order(&self, sku: &str, quantity: u64, key: &str) -> Reply {
        self.post("/orders").key(key).json(&order_of(sku, quantity)).send().await
    }

    /// Waits until an order stands where it shall.
    pub(crate) async fn wait_for(&self, order: &str, status: &str) -> Value {
        for _ in 0..500 {
            let found = self.get(&format!("/orders/{order}")).bearer(ADMIN).send().await.expect(200);
            if found["status"] == status {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{order} never became {status}");
    }
}

/// The body of an order of one line.
pub(crate) fn order_of(sku: &str, quantity: u64) -> Value {
    json!({"lines": [{"sku": sku, "quantity": quantity}], "payment": {"token": "tok_approve"}})
}

/// A key that no other test uses.
pub(crate) fn key(name: &str) -> String {
    format!("test-key-0123456789-{name}")
}

/// The text of a JSON value.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}
