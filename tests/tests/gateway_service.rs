//! The sandbox gateway as a process of its own: it answers as the one in the process does, remembers what it took when it is
//! killed, and a call whose answer was lost is never told as "nothing happened".

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use holdfast_actors::payment::{
    GatewayError, GatewayRequest, PaymentGateway, SandboxGateway, SandboxSettings, VoidOutcome,
};
use holdfast_api::{
    gateway::RemoteGateway,
    load::{
        scratch::ScratchFolder,
        server_process::{Launch, ServerProcess},
        shop::Shop,
        target::Target,
    },
};
use holdfast_core::{
    Currency, Money, OrderId,
    order::{AuthorizationOutcome, GatewayCall, GatewayKey, OrderCommand, PaymentToken, SettlementOutcome},
};
use holdfast_tests::{House, binary, purchase::buy};
use hyper::Method;
use serde_json::Value;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const PRICE: i64 = 4_990;

/// A gateway process, and how it is started again at the same address.
struct Service {
    process: Option<ServerProcess>,
    launch: Launch,
    address: SocketAddr,
    _folder: ScratchFolder,
}

impl Service {
    fn open() -> anyhow::Result<Self> {
        let folder = ScratchFolder::new(None, "gateway")?;
        let mut launch = Launch::gateway(binary::holdfast()?, folder.path());
        let process = launch.start().context("the gateway")?;
        let address = process.ready().public;
        launch.pin(process.ready());
        Ok(Self { process: Some(process), launch, address, _folder: folder })
    }

    fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.process = Some(self.launch.start().context("the gateway after a restart")?);
        Ok(())
    }

    async fn read(&self, path: &str) -> anyhow::Result<Value> {
        let shop = Shop::new(Target::from(self.address), None);
        let answer = shop.call(Method::GET, path, None, &[], None).await?;
        Ok(answer.expect(path, &[hyper::StatusCode::OK])?.body)
    }
}

fn remote(address: SocketAddr) -> anyhow::Result<RemoteGateway> {
    Ok(RemoteGateway::new(&SandboxSettings { url: format!("http://{address}"), ..SandboxSettings::default() })?)
}

fn request(order: u128, token: &str, call: GatewayCall, asked_before: bool) -> anyhow::Result<GatewayRequest> {
    let order = OrderId::from_u128(order);
    Ok(GatewayRequest {
        key: GatewayKey { order, call },
        amount: Money::new(PRICE, Currency::EUR),
        token: PaymentToken::parse(token)?,
        reference: (call != GatewayCall::Authorize).then(|| format!("sbx_{:032x}", order.as_u128())),
        asked_before,
    })
}

/// The outcome of a call in words, so that two gateways can be compared.
async fn ask(gateway: &dyn PaymentGateway, request: &GatewayRequest) -> String {
    match request.key.call {
        GatewayCall::Authorize => format!("{:?}", gateway.authorize(request).await),
        GatewayCall::Capture => format!("{:?}", gateway.capture(request).await),
        GatewayCall::Void => format!("{:?}", gateway.void(request).await),
        GatewayCall::Refund(_) => format!("{:?}", gateway.refund(request).await),
    }
}

#[tokio::test]
async fn the_service_answers_every_test_token_as_the_gateway_in_the_process_does() -> anyhow::Result<()> {
    let service = Service::open()?;
    let (away, here) = (remote(service.address)?, SandboxGateway::new(&SandboxSettings::default()));
    let tokens = [
        "tok_approve",
        "tok_decline",
        "tok_insufficient_funds",
        "tok_timeout_before",
        "tok_timeout_after",
        "tok_twice",
        "tok_stored_error",
        "tok_capture_timeout_after",
        "tok_capture_decline",
        "tok_refund_decline",
        "tok_nobody_knows",
    ];
    let (authorize, capture, refund) = (GatewayCall::Authorize, GatewayCall::Capture, GatewayCall::Refund(0));
    // First, again, again after a look; then the money; then a void that comes too late, or in time.
    let calls = [
        (authorize, false),
        (authorize, false),
        (authorize, true),
        (capture, false),
        (capture, true),
        (refund, false),
        (refund, true),
        (GatewayCall::Refund(1), false),
        (GatewayCall::Void, false),
        (GatewayCall::Void, true),
    ];
    let mut timed_out = 0;
    for (order, token) in (1_u128..).zip(tokens) {
        for (call, asked_before) in calls {
            let request = request(order, token, call, asked_before)?;
            let (told, expected) = (ask(&away, &request).await, ask(&here, &request).await);
            assert_eq!(told, expected, "{token}, {call:?}");
            timed_out += usize::from(expected.contains("TimedOut"));
        }
        let (told, ledger) = (
            service.read(&format!("/v1/orders/{}", OrderId::from_u128(order))).await?,
            here.ledger().order(OrderId::from_u128(order)).context("the order is in the ledger")?,
        );
        assert_eq!(told["captured"], ledger.captured, "{token}: {told}");
        assert_eq!((&told["calls"], &told["repeats"]), (&ledger.calls.into(), &ledger.repeats.into()), "{token}");
    }
    assert!(timed_out >= 4, "only {timed_out} answers were lost");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_comes_twice_is_delivered_twice_and_a_void_ends_the_wait_for_one_that_never_comes()
-> anyhow::Result<()> {
    let service = Service::open()?;
    let copies: Arc<Mutex<Vec<(OrderId, OrderCommand)>>> = Arc::default();
    let kept = Arc::clone(&copies);
    let keep = move |order, command| kept.lock().map_or((), |mut copies| copies.push((order, command)));
    let gateway = remote(service.address)?.with_duplicates(Box::new(keep));
    let twice = request(1, "tok_twice", GatewayCall::Authorize, false)?;
    let outcome = gateway.authorize(&twice).await?;
    gateway.authorize(&request(2, "tok_approve", GatewayCall::Authorize, false)?).await?;
    let expected = vec![(twice.key.order, OrderCommand::RecordAuthorization(outcome))];
    assert_eq!(copies.lock().map(|copies| copies.clone()).unwrap_or_default(), expected);

    let (never, void) =
        (request(3, "tok_never", GatewayCall::Authorize, false)?, request(3, "tok_never", GatewayCall::Void, false)?);
    let waiting = gateway.authorize(&never);
    let voided = async {
        while service.read(&format!("/v1/orders/{}", never.key.order)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gateway.void(&void).await
    };
    let (declined, voided) = tokio::join!(waiting, voided);
    assert_eq!(voided, Ok(VoidOutcome::Voided));
    assert_eq!(declined, Ok(AuthorizationOutcome::Declined { reason: "voided".to_owned() }));
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_is_killed_is_unavailable_and_remembers_what_it_took_when_it_is_back() -> anyhow::Result<()> {
    let mut service = Service::open()?;
    let gateway = remote(service.address)?;
    gateway.authorize(&request(1, "tok_approve", GatewayCall::Authorize, false)?).await?;
    let capture = request(1, "tok_approve", GatewayCall::Capture, false)?;
    assert_eq!(gateway.capture(&capture).await, Ok(SettlementOutcome::Done));
    service.kill();
    // A connection of before may still be in the pool: a call that goes into it is not known to have done nothing.
    let first = gateway.capture(&capture).await;
    assert!(first.is_err(), "{first:?}");
    let refused = gateway.capture(&capture).await;
    assert!(matches!(refused, Err(GatewayError::Unavailable { .. })), "{refused:?}");
    service.restart()?;
    let asked_before = GatewayRequest { asked_before: true, ..capture };
    assert_eq!(gateway.capture(&asked_before).await, Ok(SettlementOutcome::Done));
    let order = service.read(&format!("/v1/orders/{}", asked_before.key.order)).await?;
    assert_eq!((&order["captures"], &order["captured"]), (&1.into(), &PRICE.into()), "{order}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_arrived_and_whose_answer_was_lost_is_an_unknown_outcome() -> anyhow::Result<()> {
    let service = Service::open()?;
    let direct = remote(service.address)?;
    direct.authorize(&request(1, "tok_approve", GatewayCall::Authorize, false)?).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let through = remote(listener.local_addr()?)?;
    let target = service.address;
    let capture = request(1, "tok_approve", GatewayCall::Capture, false)?;
    // Takes the call there, waits for the answer, and cuts the line before any of it comes back.
    let thief = async {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(target).await?;
        let ((mut from_client, _), (mut from_server, mut to_server)) = (client.split(), server.split());
        let mut answer = [0; 4_096];
        let count = tokio::select! {
            ended = tokio::io::copy(&mut from_client, &mut to_server) => bail!("the client left first: {ended:?}"),
            count = from_server.read(&mut answer) => count?,
        };
        ensure!(count > 0, "the gateway did not answer");
        Ok(())
    };
    let (told, stolen) = tokio::join!(through.capture(&capture), thief);
    stolen?;
    assert_eq!(told, Err(GatewayError::TimedOut), "a capture that happened was told as nothing");
    assert_eq!(direct.capture(&capture).await, Ok(SettlementOutcome::Done));
    let order = service.read(&format!("/v1/orders/{}", capture.key.order)).await?;
    assert_eq!((&order["captures"], &order["repeats"]), (&1.into(), &1.into()), "{order}");
    Ok(())
}

type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn what_is_no_call_is_turned_away_by_name_and_changes_nothing() -> anyhow::Result<()> {
    let service = Service::open()?;
    let shop = Shop::new(Target::from(service.address), None);
    let key = format!("{}:capture", OrderId::from_u128(1));
    let body = serde_json::json!({ "amount_minor": 1, "currency": "EUR", "token": "tok", "asked_before": false });
    let wrong = serde_json::json!({ "amount_minor": 1, "currency": "EURO", "token": "tok", "asked_before": false });
    let calls: [(&str, Headers<'_>, &Value, &str); 5] = [
        ("/v1/capture", &[], &body, "idempotency-key-missing"),
        ("/v1/capture", &[("idempotency-key", "capture")], &body, "idempotency-key-malformed"),
        ("/v1/void", &[("idempotency-key", &key)], &body, "invalid-header"),
        ("/v1/capture", &[("idempotency-key", &key)], &wrong, "invalid-request"),
        ("/v1/capture", &[("idempotency-key", &key)], &Value::Null, "invalid-request"),
    ];
    for (path, headers, body, problem) in calls {
        let answer = shop.call(Method::POST, path, None, headers, Some(body)).await?;
        let kind = answer.body["type"].as_str().unwrap_or_default();
        assert!(kind.ends_with(problem), "{path} {headers:?}: {}", answer.body);
    }
    assert_eq!(service.read("/v1/totals").await?["orders"], 0);
    Ok(())
}

#[test]
fn a_second_gateway_does_not_get_the_same_book() -> anyhow::Result<()> {
    let service = Service::open()?;
    let folder = ScratchFolder::new(None, "gateway-2")?;
    let book = service.launch.folder.join("gateway.book");
    let mut second = Launch::gateway(binary::holdfast()?, folder.path());
    second.command = vec!["gateway".into(), "--book".into(), book.into()];
    let refused = second.start().map(|_| ()).err().context("two gateways have one book")?;
    ensure!(refused.to_string().contains("another gateway"), "{refused}");
    Ok(())
}

/// Sells to a hundred buyers while the gateway and the shop are killed, and compares the books.
#[tokio::test]
async fn nobody_is_charged_twice_when_the_gateway_and_the_shop_are_killed_in_the_middle_of_a_sale() -> anyhow::Result<()>
{
    let mut service = Service::open()?;
    let url = format!("http://{}", service.address);
    let settings = [
        ("PAYMENTS__SANDBOX__URL", url.as_str()),
        ("RUNTIME__CAPTURE", "on_confirmation"),
        ("PAYMENTS__RETRY_MAX_MS", "500"),
        ("PAYMENTS__ATTEMPT_TIMEOUT_MS", "2000"),
    ];
    let mut house = House::with_settings(&settings)?;
    house.put_up("RARE", 200).await?;
    let tokens = ["tok_approve", "tok_timeout_after", "tok_stored_error", "tok_twice", "tok_capture_timeout_after"];
    let mut orders = Vec::new();
    for round in 0..2 {
        let mut buyers = JoinSet::new();
        for buyer in 0..50_usize {
            let (shop, token) = (house.shop().clone(), tokens[buyer % tokens.len()]);
            buyers.spawn(async move { buy(&shop, &[("RARE", 1)], token).await });
        }
        // In the middle: some are paid, some are on their way, some have not been asked for.
        while service.read("/v1/totals").await?["calls"].as_u64() < Some(10 * (round + 1)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        service.kill();
        orders.extend(buyers.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?);
        house.restart().await?;
        service.restart()?;
    }
    for order in &orders {
        paid(&house, order).await?;
    }
    let totals = service.read("/v1/totals").await?;
    assert_eq!((&totals["orders"], totals["violations"].as_array().map(Vec::len)), (&100.into(), Some(0)), "{totals}");
    let euros = &totals["money"]["EUR"];
    assert_eq!(euros["captured"], euros["authorized"], "{totals}");
    for order in &orders {
        let books = service.read(&format!("/v1/orders/{}", order.id)).await?;
        assert_eq!((&books["authorizations"], &books["captures"]), (&1.into(), &1.into()), "{} {books}", order.id);
    }
    assert!(service_book_lines(&service.launch.folder)? >= 200, "fewer calls than two per order");
    Ok(())
}

fn service_book_lines(folder: &Path) -> anyhow::Result<usize> {
    Ok(std::fs::read_to_string(folder.join("gateway.book"))?.lines().count())
}

/// Waits until the order's money has moved.
async fn paid(house: &House, order: &holdfast_tests::purchase::Purchase) -> anyhow::Result<()> {
    let mut seen = Value::Null;
    for _ in 0..1_200 {
        seen = order.read(house.shop()).await?;
        if seen["payment"]["status"] == "captured" {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("not paid after a minute: {seen}")
}
