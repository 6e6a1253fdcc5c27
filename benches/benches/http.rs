//! How many checkouts a second does the whole server take over HTTP on loopback, by connections, with the clients in the same
//! process?

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_api::{
    Server, Settings,
    load::{connection::Connection, order::OrderTemplate, shop::Shop, target::Target},
    settings::Secret,
};
use tokio::{runtime::Runtime, task::JoinSet};

const CONNECTIONS: [u64; 3] = [1, 8, 64];
const ADMIN: &str = "admin-token-of-the-http-suite-0123456789";
const SKU: &str = "HOT-1";

fn settings(dir: &std::path::Path) -> Settings {
    let mut settings = Settings::default();
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.token = Some(Secret::new(ADMIN));
    settings.store.path = dir.to_path_buf();
    settings
}

/// Sends orders over one connection for as long as there are some left.
async fn order(orders: OrderTemplate, target: Target, left: Arc<AtomicU64>, keys: Arc<AtomicU64>) {
    let mut connection = Connection::open(target.address()).await.unwrap_or_else(|error| panic!("{error}"));
    let mut body = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let request = orders.request(keys.fetch_add(1, Ordering::Relaxed));
        let status = connection.send(request, &mut body).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(black_box(status).is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn http(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let server = runtime.block_on(Server::start(settings(dir.path()))).unwrap_or_else(|error| panic!("{error}"));
    let target = Target::from(server.public_addr());
    let shop = Shop::new(target.clone(), Some(ADMIN.to_owned()));
    let put_up = runtime.block_on(shop.put_up(&Shop::plain_product(SKU, 1_000_000_000)));
    put_up.unwrap_or_else(|error| panic!("{error}"));
    let orders = OrderTemplate::new(&target, SKU, "0123456789abcdef");
    let keys = Arc::new(AtomicU64::new(0));
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(6));
    for connections in CONNECTIONS {
        group.bench_function(BenchmarkId::new("checkout", connections), |bencher| {
            bencher.to_async(&runtime).iter_custom(|iterations| {
                let (orders, target, keys) = (orders.clone(), target.clone(), Arc::clone(&keys));
                async move {
                    let left = Arc::new(AtomicU64::new(iterations));
                    let began = Instant::now();
                    let mut all = JoinSet::new();
                    for _ in 0..connections {
                        all.spawn(order(orders.clone(), target.clone(), Arc::clone(&left), Arc::clone(&keys)));
                    }
                    all.join_all().await;
                    began.elapsed()
                }
            });
        });
    }
    group.finish();
    runtime.block_on(server.shutdown());
}

criterion_group!(benches, http);
criterion_main!(benches);
