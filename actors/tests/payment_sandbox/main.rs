//! The sandbox gateway, seen through the port: what each test token does, and what its ledger makes of the calls.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::unnecessary_wraps, reason = "expected answers look like the answers they are compared with")]

mod ledger;
mod tokens;

use holdfast_actors::payment::{
    GatewayError, GatewayRequest, OrderLedger, PaymentGateway as _, SandboxGateway, SandboxSettings, VoidOutcome,
};
use holdfast_core::{
    Currency, Money, OrderId,
    order::{AuthorizationOutcome, GatewayCall, GatewayKey, PaymentToken, SettlementOutcome},
};

const ORDER: OrderId = OrderId::from_u128(0xabc0_0001);
const PRICE: i64 = 4_990;

fn gateway() -> SandboxGateway {
    SandboxGateway::new(&SandboxSettings { late_ms: 20, ..SandboxSettings::default() })
}

fn request(token: &str, call: GatewayCall) -> GatewayRequest {
    GatewayRequest {
        key: GatewayKey { order: ORDER, call },
        amount: Money::new(PRICE, Currency::EUR),
        token: PaymentToken::parse(token).unwrap(),
        reference: (call != GatewayCall::Authorize).then(reference),
        asked_before: false,
    }
}

fn reference() -> String {
    format!("sbx_{:032x}", ORDER.as_u128())
}

fn approved() -> Result<AuthorizationOutcome, GatewayError> {
    Ok(AuthorizationOutcome::Approved { reference: reference() })
}

fn declined(reason: &str) -> Result<AuthorizationOutcome, GatewayError> {
    Ok(AuthorizationOutcome::Declined { reason: reason.to_owned() })
}

fn failed(reason: &str) -> Result<SettlementOutcome, GatewayError> {
    Ok(SettlementOutcome::Failed { reason: reason.to_owned() })
}

fn books(gateway: &SandboxGateway) -> OrderLedger {
    gateway.ledger().order(ORDER).unwrap()
}

async fn authorize(gateway: &SandboxGateway, token: &str) -> Result<AuthorizationOutcome, GatewayError> {
    gateway.authorize(&request(token, GatewayCall::Authorize)).await
}

async fn capture(gateway: &SandboxGateway, token: &str) -> Result<SettlementOutcome, GatewayError> {
    gateway.capture(&request(token, GatewayCall::Capture)).await
}

async fn refund(gateway: &SandboxGateway, token: &str, number: u16) -> Result<SettlementOutcome, GatewayError> {
    gateway.refund(&request(token, GatewayCall::Refund(number))).await
}

async fn void(gateway: &SandboxGateway, token: &str) -> Result<VoidOutcome, GatewayError> {
    gateway.void(&request(token, GatewayCall::Void)).await
}
