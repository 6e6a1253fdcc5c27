//! Holdfast's outside: settings, telemetry, the HTTP edge, and the composition root that puts a server together.
//!
//! Read in this order: [`settings`] is what an operator can set; [`serve`] starts and stops a server; [`edge`] is what
//! happens between a socket and the shop.
//!
//! Invariant: nothing here decides about stock, money or orders. That is core's, reached through the actors' facade.
#![forbid(unsafe_code)]

mod beside;
pub mod demo;
mod descriptors;
pub mod edge;
pub mod gateway;
pub mod load;
mod membership;
pub mod serve;
pub mod settings;
mod storage;
pub mod telemetry;
pub mod workers;

pub use descriptors::TooFewDescriptors;
pub use serve::{ServeError, Server};
pub use settings::{Settings, SettingsError, Sources};
pub use telemetry::{Telemetry, TelemetryError, init_logging};
