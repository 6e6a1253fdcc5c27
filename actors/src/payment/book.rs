//! The sandbox gateway's book: every call it was made, in a file, so that it remembers across restarts of this process what
//! a real gateway would.
//!
//! The sandbox does the same for the same calls, so the book is its calls, one a line, in the order they were decided per
//! order; reading it is making them again. Invariant: a call is in the book before it is answered, and one that cannot be
//! entered did not happen. A line that was not finished was never answered and does not count, nor does the next call
//! continue it.
//!
//! ```text
//! ord_0123... authorize|capture|void|refund:N  amount currency  asked_before  token  reference|-
//! ```

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Write},
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
pub(super) struct Book(Mutex<Pages<File>>);

/// What a book is written on: only ever at its end.
trait Paper: Write {
    /// Takes off everything after the first `bytes`.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;
}

/// The calls of a book, and where the last of them ends.
#[derive(Debug)]
struct Pages<P> {
    paper: P,
    /// The length of all whole lines, in bytes.
    whole: u64,
    /// Whether a part of a line may stand after them.
    is_torn: bool,
}

impl Book {
    /// Opens the book at `path`, making it if it is not there, and gives the calls in it.
    ///
    /// # Errors
    /// When the file cannot be read or written, is no book, or another gateway has it: two would not know what the other did.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<GatewayRequest>)> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).append(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another gateway has this book open")
            }
            TryLockError::Error(error) => error,
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut pages = Pages { paper: file, whole: whole as u64, is_torn: true };
        pages.mend()?;
        let not_a_book = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not a call: {line:?}"));
        let calls = text[..whole].lines().map(|line| read(line).ok_or_else(|| not_a_book(line)));
        Ok((Self(Mutex::new(pages)), calls.collect::<io::Result<_>>()?))
    }

    /// Enters a call.
    ///
    /// # Errors
    /// When the file cannot be written: the call is not in the book.
    pub(super) fn enter(&self, request: &GatewayRequest) -> io::Result<()> {
        self.0.lock().enter(&write(request))
    }
}

impl Paper for File {
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}

impl<P: Paper> Pages<P> {
    /// Writes a line, all of it or nothing.
    fn enter(&mut self, line: &str) -> io::Result<()> {
        self.mend()?;
        self.is_torn = true;
        if let Err(error) = self.paper.write_all(line.as_bytes()) {
            if let Err(stays) = self.mend() {
                tracing::error!(error = %stays, "a part of a line stays in the sandbox gateway's book for now");
            }
            return Err(error);
        }
        self.whole = self.whole.saturating_add(line.len() as u64);
        self.is_torn = false;
        Ok(())
    }

    /// Takes off the part of a line that was not finished.
    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.paper.cut(self.whole)?;
            self.is_torn = false;
        }
        Ok(())
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
    let token = PaymentToken::read_back(words.next()?).ok()?;
    let reference = words.next().filter(|reference| *reference != "-").map(str::to_owned);
    Some(GatewayRequest { key: GatewayKey { order, call }, amount, token, reference, asked_before })
}

#[cfg(test)]
mod tests {
    use holdfast_core::OrderId;

    use super::*;
    use crate::payment::{GatewayError, ledger::Ledger};

    /// Paper with room for so many bytes, that can be cut unless it is `stuck`.
    #[derive(Default)]
    struct Scrap {
        text: Vec<u8>,
        room: usize,
        stuck: bool,
    }

    impl Write for Scrap {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.room - self.text.len());
            self.text.extend_from_slice(&bytes[..fits]);
            if fits == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper for Scrap {
        fn cut(&mut self, bytes: u64) -> io::Result<()> {
            if self.stuck {
                return Err(io::ErrorKind::Other.into());
            }
            self.text.truncate(usize::try_from(bytes).unwrap());
            Ok(())
        }
    }

    #[test]
    fn a_line_that_does_not_fit_leaves_nothing_for_the_next_to_continue() {
        let mut pages = Pages { paper: Scrap { room: 8, ..Scrap::default() }, whole: 0, is_torn: false };
        pages.enter("one\n").unwrap();
        assert!(pages.enter("two and more\n").is_err());
        assert_eq!(pages.paper.text, b"one\n");
        pages.paper.stuck = true;
        assert!(pages.enter("two and more\n").is_err());
        assert_eq!(pages.paper.text, b"one\ntwo ", "it could not be taken off");
        assert!(pages.enter("six\n").is_err(), "nothing is written after it");
        pages.paper.stuck = false;
        pages.enter("six\n").unwrap();
        assert_eq!(pages.paper.text, b"one\nsix\n");
    }

    #[test]
    fn a_call_that_cannot_be_entered_did_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("book");
        std::fs::write(&path, "").unwrap();
        let mut ledger = Ledger::new(1);
        let read_only = Pages { paper: File::open(&path).unwrap(), whole: 0, is_torn: false };
        ledger.keep(Book(Mutex::new(read_only)));
        let order = OrderId::from_u128(7);
        let request = GatewayRequest {
            key: GatewayKey { order, call: GatewayCall::Authorize },
            amount: Money::new(2_500, Currency::EUR),
            token: PaymentToken::parse("tok_approve").unwrap(),
            reference: None,
            asked_before: false,
        };
        let decided = ledger.open(&request, |_| ());
        assert!(matches!(decided, Err(GatewayError::Unavailable { .. })), "{decided:?}");
        assert_eq!(ledger.order(order), None);
        ledger.keep(Book::open(&path).unwrap().0);
        assert_eq!(ledger.open(&request, |_| ()), Ok(Some(())), "and it took nobody's place");
        ledger.keep(Book(Mutex::new(Pages { paper: File::open(&path).unwrap(), whole: 0, is_torn: false })));
        assert!(ledger.find(&request, |_| ()).is_err());
        assert_eq!(ledger.order(order).unwrap().calls, 1);
    }

    #[test]
    fn a_token_in_the_book_is_read_back_whatever_is_a_card_number_today() {
        let line = format!("{} void 2500 EUR false 4111.1111.1111.1111 -", OrderId::from_u128(7));
        assert_eq!(read(&line).unwrap().token.as_str(), "4111.1111.1111.1111");
    }
}
