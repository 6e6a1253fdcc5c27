//! Live availability as server-sent events: how it is, then every change, summed up to one event per interval.
//!
//! A stream costs a permit and ends in one of three ways, each said in a last event: the product is gone, the server
//! shuts down, or the peer stops reading (then the write deadline cuts it).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use holdfast_actors::{CommandError, StockView};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until, timeout},
};
use utoipa::ToSchema;

use super::products::{no_such_product, sku_of};
use crate::edge::{
    App,
    accept::Stage,
    problem::{Kind, Problem},
    query::PathPart,
    reply::Answer,
    view::stock::StockEvent,
};

/// Follow a product's availability
///
/// A stream of `text/event-stream`. Events named `availability` hold a `StockEvent` as JSON; the last one is named `end`
/// and says why: `{"reason": "shutdown"}` or `{"reason": "removed"}`. Comments keep the connection alive in between.
#[utoipa::path(get, path = "/api/v1/stock/{sku}/events", tag = "stock",
    params(("sku" = String, Path, description = "The SKU.")),
    responses((status = 200, description = "The stream.", body = LiveEvent, content_type = "text/event-stream")))]
pub(super) async fn stock_events(State(app): State<App>, PathPart(sku): PathPart) -> Answer {
    let sku = sku_of(&sku)?;
    let permit = Arc::clone(&app.streams).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::new(Kind::TooManyStreams).retry_after_ms(5_000))?;
    let stock = match app.catalog()?.watch_stock(&sku).await {
        Err(CommandError::Rejected(_)) => return Err(no_such_product(&sku)),
        stock => stock?,
    };
    let limits = &app.settings.limits;
    let live = Live {
        stock,
        stage: app.stage.clone(),
        interval: Duration::from_millis(limits.stream_interval_ms),
        keep_alive: Duration::from_millis(limits.stream_keep_alive_ms),
        next_at: Instant::now(),
        is_first: true,
        is_over: false,
        _permit: permit,
    };
    let mut response = Response::new(Body::from_stream(futures_util::stream::unfold(live, Live::next)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// One event of a stream, field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Live::event` writes; it is never built")]
pub(super) struct LiveEvent {
    /// `availability` or `end`.
    event: String,
    /// The stock's version, where the event has one.
    id: Option<String>,
    /// JSON: a `StockEvent`, or why it ends.
    data: String,
}

/// One open stream.
struct Live {
    stock: watch::Receiver<StockView>,
    stage: watch::Receiver<Stage>,
    interval: Duration,
    keep_alive: Duration,
    /// Not before then, the next event.
    next_at: Instant,
    is_first: bool,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// What is written next; `None` after the end was said.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        let written = self.wait().await;
        Some((Ok(written), self))
    }

    async fn wait(&mut self) -> Bytes {
        if std::mem::take(&mut self.is_first) {
            return self.event();
        }
        let change = async {
            sleep_until(self.next_at).await;
            self.stock.changed().await
        };
        let ended = self.stage.wait_for(|stage| *stage != Stage::Open);
        let waited = timeout(self.keep_alive, async {
            tokio::select! {
                biased;
                _ = ended => Err("shutdown"),
                changed = change => changed.map_err(|_| "removed"),
            }
        });
        match waited.await {
            Err(_) => Bytes::from_static(b": keep-alive\n\n"),
            Ok(Ok(())) => self.event(),
            Ok(Err(reason)) => {
                self.is_over = true;
                Bytes::from(format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n"))
            }
        }
    }

    fn event(&mut self) -> Bytes {
        self.next_at = Instant::now() + self.interval;
        let stock = self.stock.borrow_and_update();
        // Serializing a SKU and numbers into memory cannot fail.
        let data = serde_json::to_string(&StockEvent::from(&*stock)).unwrap_or_default();
        Bytes::from(format!("event: availability\nid: {}\ndata: {data}\n\n", stock.version))
    }
}
