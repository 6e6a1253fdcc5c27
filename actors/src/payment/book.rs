//! The sandbox gateway's book: every call it was made, in a file, so that it remembers across restarts of this process what
//! a real gateway would.
//!
//! The sandbox does the same for the same calls, so the book is its calls, one a line, in the order they were decided per
//! order; reading it is making them again. Invariant: a call is in the book before it is answered. A line that was not
//! finished was never answered and does not count.
//!
//! ```text
//! ord_0123... authorize|capture|void|refund:N  amount currency  asked_before  token  reference|-
//! ```

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use holdfast_core::{
    Currency, Money,
    order::{GatewayCall, GatewayKey, PaymentToken},
};
use parking_lot::Mutex;

use super::port::GatewayRequest;

/// An open book.
#[derive(Debug)]
pub(super) struct Book(Mutex<File>);

impl Book {
    /// Opens the book at `path`, making it if it is not there, and gives the calls in it.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is no book.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<GatewayRequest>)> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).append(true).open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        let not_a_book = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not a call: {line:?}"));
        let calls = text[..whole].lines().map(|line| read(line).ok_or_else(|| not_a_book(line)));
        Ok((Self(Mutex::new(file)), calls.collect::<io::Result<_>>()?))
    }

    /// Enters a call.
    pub(super) fn enter(&self, request: &GatewayRequest) {
        if let Err(error) = self.0.lock().write_all(write(request).as_bytes()) {
            tracing::error!(%error, "the sandbox gateway's book cannot be written: it will forget this call");
        }
    }
}

fn write(request: &GatewayRequest) -> String {
    let GatewayRequest { key, amount, token, reference, asked_before } = request;
    let call = match key.call {
        GatewayCall::Authorize => "authorize".to_owned(),
        GatewayCall::Capture => "capture".to_owned(),
        GatewayCall::Void => "void".to_owned(),
        GatewayCall::Refund(number) => format!("refund:{number}"),
    };
    let (order, minor, currency) = (key.order, amount.minor(), amount.currency());
    let reference = reference.as_deref().unwrap_or("-");
    format!("{order} {call} {minor} {} {asked_before} {} {reference}\n", currency.code(), token.as_str())
}

fn read(line: &str) -> Option<GatewayRequest> {
    let mut words = line.splitn(7, ' ');
    let order = words.next()?.parse().ok()?;
    let call = match words.next()? {
        "authorize" => GatewayCall::Authorize,
        "capture" => GatewayCall::Capture,
        "void" => GatewayCall::Void,
        refund => GatewayCall::Refund(refund.strip_prefix("refund:")?.parse().ok()?),
    };
    let amount = Money::new(words.next()?.parse().ok()?, Currency::parse(words.next()?).ok()?);
    let asked_before = words.next()?.parse().ok()?;
    let token = PaymentToken::parse(words.next()?).ok()?;
    let reference = words.next().filter(|reference| *reference != "-").map(str::to_owned);
    Some(GatewayRequest { key: GatewayKey { order, call }, amount, token, reference, asked_before })
}
