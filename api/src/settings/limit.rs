//! How much a request may bring and how much it may ask for: section `[limits]`.

use holdfast_core::{cart::Cart, order::Order};
use serde::{Deserialize, Serialize};

use super::{SettingsError, bad, within};

/// The limits of the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Open connections of the public listener; the next is answered 503 and closed.
    pub connections: usize,
    /// A request's head, in bytes; at least 8,192.
    pub header_bytes: usize,
    /// Headers of a request, in number.
    pub headers: usize,
    /// A request's body, in bytes.
    pub body_bytes: usize,
    /// Nesting of a JSON body, in levels.
    pub json_depth: usize,
    /// Items of one list or object of a JSON body, in number.
    pub json_items: usize,
    /// Lines of one order, in number.
    pub order_lines: usize,
    /// Items of one page of a listing, in number; the default of `limit` is a fifth of it.
    pub page_items: usize,
    /// Live stock streams open at once, in number; fewer than `connections`, each of which a stream holds.
    pub streams: usize,
    /// The shortest time between two events of one stream, in milliseconds; what happens in between is summed up.
    pub stream_interval_ms: u64,
    /// After so long without an event a stream carries a comment, in milliseconds, to keep proxies from closing it.
    pub stream_keep_alive_ms: u64,
    /// A product's name, in bytes of UTF-8.
    pub product_name_bytes: usize,
    /// A product's description, in bytes of UTF-8.
    pub product_description_bytes: usize,
    /// A product's category path, in bytes of UTF-8.
    pub product_category_bytes: usize,
    /// A product's images, in number; each address has at most 2,048 bytes.
    pub product_images: usize,
    /// A product's variants, in number.
    pub product_variants: usize,
    /// A product's metadata and a variant's options, in entries; a key has at most 64 bytes, a value 1,024.
    pub product_metadata: usize,
    /// The reason of a stock adjustment, in bytes of UTF-8.
    pub reason_bytes: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections: 16_384,
            header_bytes: 16_384,
            headers: 100,
            body_bytes: 65_536,
            json_depth: 32,
            json_items: 1_000,
            order_lines: 100,
            page_items: 100,
            streams: 1_024,
            stream_interval_ms: 100,
            stream_keep_alive_ms: 15_000,
            product_name_bytes: 200,
            product_description_bytes: 10_000,
            product_category_bytes: 128,
            product_images: 16,
            product_variants: 64,
            product_metadata: 64,
            reason_bytes: 200,
        }
    }
}

impl LimitSettings {
    /// Takes fewer connections than were set, where the system allows no more: live streams then get at most half of them,
    /// so that buyers are not kept out by those who only watch.
    pub(crate) fn lower_connections(&mut self, connections: usize) {
        if connections < self.connections {
            self.connections = connections;
            self.streams = self.streams.min(connections / 2);
        }
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("limits.connections", self.connections, 2..=1_000_000)?;
        within("limits.header_bytes", self.header_bytes, 8_192..=1 << 20)?;
        within("limits.headers", self.headers, 16..=1_024)?;
        within("limits.body_bytes", self.body_bytes, 256..=16 << 20)?;
        within("limits.json_depth", self.json_depth, 4..=64)?;
        within("limits.json_items", self.json_items, 1..=1_000_000)?;
        within("limits.order_lines", self.order_lines, 1..=Order::MAX_LINES.min(Cart::MAX_LINES))?;
        within("limits.page_items", self.page_items, 1..=1_000)?;
        within("limits.streams", self.streams, 1..=1_000_000)?;
        if self.streams >= self.connections {
            return Err(bad(
                "limits.streams",
                format!(
                    "must be fewer than limits.connections, or live streams keep buyers out: {} is not fewer than {}",
                    self.streams, self.connections
                ),
            ));
        }
        within("limits.stream_interval_ms", self.stream_interval_ms, 0..=60_000)?;
        within("limits.stream_keep_alive_ms", self.stream_keep_alive_ms, 100..=3_600_000)?;
        within("limits.product_name_bytes", self.product_name_bytes, 1..=10_000)?;
        within("limits.product_description_bytes", self.product_description_bytes, 0..=1 << 20)?;
        within("limits.product_category_bytes", self.product_category_bytes, 0..=10_000)?;
        within("limits.product_images", self.product_images, 0..=1_000)?;
        within("limits.product_variants", self.product_variants, 0..=1_000)?;
        within("limits.product_metadata", self.product_metadata, 0..=1_000)?;
        within("limits.reason_bytes", self.reason_bytes, 1..=10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_streams_leave_connections_to_buyers() {
        let limits = |connections, streams| LimitSettings { connections, streams, ..LimitSettings::default() };
        assert!(limits(1_025, 1_024).check().is_ok());
        for connections in [2, 1_024] {
            let said = limits(connections, 1_024).check().expect_err("refused").to_string();
            assert!(said.contains("limits.streams") && said.contains("limits.connections"), "{said}");
        }
    }

    #[test]
    fn where_fewer_connections_can_be_taken_streams_get_at_most_half() {
        let lowered = |connections| {
            let mut limits = LimitSettings::default();
            limits.lower_connections(connections);
            (limits.connections, limits.streams)
        };
        assert_eq!(lowered(16_384), (16_384, 1_024));
        assert_eq!(lowered(4_000), (4_000, 1_024));
        assert_eq!(lowered(704), (704, 352));
        assert_eq!(lowered(16), (16, 8));
    }
}
