//! The HTTP edge without a socket: a checkout's request read to its end, and its answer made.

use std::{hint::black_box, sync::Arc};

use anyhow::{Context as _, ensure};
use axum::{
    body::Bytes,
    http::{Request, StatusCode, header},
};
use holdfast_api::{
    Settings,
    edge::probe::{Edge, answer_placed},
    load::order::{IDEMPOTENCY_KEY, ORDERS, OrderTemplate},
};
use holdfast_core::order::{Order, OrderCommand};
use tokio::runtime::Builder;

use crate::{
    entities::{carry_out, order_id, placement, sku},
    path::Work,
};

/// [`crate::path::Path::HttpRead`]: the shop behind it is not there, so it is answered 503 once it is read.
pub(crate) fn read() -> anyhow::Result<Work> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let edge = Edge::new(Settings::default())?;
    let body = Bytes::from(OrderTemplate::body(sku()?.as_str()).to_string());
    let mut number = 0_u64;
    let mut request = move || {
        number += 1;
        let request = Request::post(ORDERS)
            .header(header::HOST, "127.0.0.1:8080")
            .header(header::CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, format!("0123456789abcdef-{number:010}"));
        request.body(body.clone()).unwrap_or_default()
    };
    let answer = runtime.block_on(edge.answer(request()));
    ensure!(answer.status() == StatusCode::SERVICE_UNAVAILABLE, "not read to its end: {}", answer.status());
    Ok(Work::new(500, move || drop(black_box(runtime.block_on(edge.answer(request()))))))
}

/// [`crate::path::Path::HttpAnswer`].
pub(crate) fn answer() -> anyhow::Result<Work> {
    let sku = sku()?;
    let mut order = Order::new(order_id(7, &sku));
    carry_out(&mut order, OrderCommand::Place(Arc::new(placement(&sku)?)));
    let token = "buyer_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    answer_placed(&order, token).context("an order that was placed has an answer")?;
    Ok(Work::new(1_000, move || drop(black_box(answer_placed(&order, token)))))
}
