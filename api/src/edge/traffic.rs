//! Request counts and durations by route and class of status. A handle is looked up once and kept: recording an answer
//! is one atomic operation, not a search by name.

use std::{sync::OnceLock, time::Duration};

use axum::http::{Method, StatusCode};
use metrics::Histogram;

/// Declares the routes as the metrics tell them apart.
macro_rules! routes {
    ($($name:ident $label:literal)+) => {
        /// A route, without the ids in its path.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Route { $($name,)+ }

        impl Route {
            const COUNT: usize = [$($label,)+].len();

            /// Its label.
            const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }
        }
    };
}

routes! {
    PlaceOrder "POST /orders"
    ReadOrder "GET /orders/{id}"
    ListOrders "GET /orders"
    ChangeOrder "PUT /orders/{id}/status"
    CancelOrder "POST /orders/{id}/cancel"
    RefundOrder "POST /orders/{id}/refunds"
    ReadProduct "GET /products/{sku}"
    ListProducts "GET /products"
    WriteProduct "write /products"
    AdjustStock "POST /products/{sku}/stock-adjustments"
    ReadCart "GET /cart"
    WriteCart "write /cart"
    StockEvents "GET /stock/{sku}/events"
    Health "health"
    Other "other"
}

/// The duration histograms of all routes.
#[derive(Default)]
pub(crate) struct Traffic {
    cells: [[OnceLock<Histogram>; 5]; Route::COUNT],
}

impl Traffic {
    /// The route of a request line. Wrong guesses cost a wrong label, nothing else; only [`Route::PlaceOrder`] is exact,
    /// because the service answers it by this.
    pub(crate) fn classify(method: &Method, path: &str) -> Route {
        let Some(rest) = path.strip_prefix("/api/v1/") else {
            return if matches!(path, "/healthz" | "/readyz" | "/metrics") { Route::Health } else { Route::Other };
        };
        let mut parts = rest.splitn(3, '/');
        let (Some(noun), id, action) = (parts.next(), parts.next(), parts.next()) else { return Route::Other };
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match (noun, id, action) {
            ("orders", None, _) if *method == Method::POST => Route::PlaceOrder,
            ("orders", None, _) => Route::ListOrders,
            ("orders", Some(_), None) => Route::ReadOrder,
            ("orders", Some(_), Some("status")) => Route::ChangeOrder,
            ("orders", Some(_), Some("cancel")) => Route::CancelOrder,
            ("orders", Some(_), Some("refunds")) => Route::RefundOrder,
            ("products", None, _) if reads => Route::ListProducts,
            ("products", Some(_), None) if reads => Route::ReadProduct,
            ("products", Some(_), Some("stock-adjustments")) => Route::AdjustStock,
            ("products", _, None) => Route::WriteProduct,
            ("cart", None, _) if reads => Route::ReadCart,
            ("cart", ..) => Route::WriteCart,
            ("stock", Some(_), Some("events")) => Route::StockEvents,
            _ => Route::Other,
        }
    }

    /// Notes one answer.
    pub(crate) fn record(&self, route: Route, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        let cell = &self.cells[route as usize][class];
        cell.get_or_init(|| {
            let class = ["1xx", "2xx", "3xx", "4xx", "5xx"][class];
            metrics::histogram!("holdfast_http_request_seconds", "route" => route.label(), "status" => class)
        })
        .record(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_label_and_ids_do_not_multiply_them() {
        let label = |method: &Method, path: &str| Traffic::classify(method, path).label();
        assert_eq!(label(&Method::POST, "/api/v1/orders"), "POST /orders");
        assert_eq!(label(&Method::GET, "/api/v1/orders/ord_1"), "GET /orders/{id}");
        assert_eq!(label(&Method::POST, "/api/v1/orders/ord_1/refunds"), "POST /orders/{id}/refunds");
        assert_eq!(label(&Method::DELETE, "/api/v1/products/A"), "write /products");
        assert_eq!(label(&Method::GET, "/api/v1/stock/A/events"), "GET /stock/{sku}/events");
        assert_eq!(label(&Method::PUT, "/api/v1/cart/items/3"), "write /cart");
        assert_eq!(label(&Method::GET, "/wp-login.php"), "other");
    }

    #[test]
    fn only_a_post_to_exactly_this_path_places_an_order() {
        let places = |method: &Method, path: &str| Traffic::classify(method, path) == Route::PlaceOrder;
        assert!(places(&Method::POST, "/api/v1/orders"));
        for path in
            ["/api/v1/orders/", "/api/v1//orders", "/api/v1/order", "/api/v1/orders/x", "/api/v2/orders", "/orders"]
        {
            assert!(!places(&Method::POST, path), "{path}");
        }
        assert!(!places(&Method::GET, "/api/v1/orders"));
        assert!(!places(&Method::PUT, "/api/v1/orders"));
    }
}
