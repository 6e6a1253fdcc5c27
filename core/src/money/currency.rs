//! The currencies of ISO 4217 and their decimal places.
//!
//! Invariant: a [`Currency`] is always one that is active and has a minor unit, wherever it was read from: amounts of it
//! can be counted in whole minor units. Precious metals, testing codes and units of account have none and do not exist here.

use core::{fmt, str};

use serde::{Deserialize, Serialize};

use super::MoneyError;

/// One code and a space: the codes of a table, in order.
const STRIDE: usize = 4;

/// ISO 4217, list one, as amended to January 2026: Bulgaria's lev gave way to the euro.
const TWO_DECIMALS: &[u8] =
    b"AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF \
    CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL \
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR \
    PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP \
    TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ";
const NO_DECIMALS: &[u8] = b"BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF ";
const THREE_DECIMALS: &[u8] = b"BHD IQD JOD KWD LYD OMR TND ";
const FOUR_DECIMALS: &[u8] = b"CLF UYW ";

/// By decimal places, the most common first.
const TABLES: [(u8, &[u8]); 4] = [(2, TWO_DECIMALS), (0, NO_DECIMALS), (3, THREE_DECIMALS), (4, FOUR_DECIMALS)];

/// A currency of ISO 4217 with its number of decimal places. Only codes in the list of active currencies exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "[u8; 3]", into = "[u8; 3]")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro, 2 decimal places.
    pub const EUR: Self = Self(*b"EUR");
    /// The United States dollar, 2 decimal places.
    pub const USD: Self = Self(*b"USD");

    /// The currency of a three-letter upper-case ISO 4217 code.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] for anything else.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        <[u8; 3]>::try_from(code.as_bytes()).map_err(|_| MoneyError::UnknownCurrency)?.try_into()
    }

    /// The three-letter code.
    pub fn code(&self) -> &str {
        // The letters are ASCII by construction; the empty text is never reached.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// How many decimal places its minor unit has: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u8 {
        find(self.0).unwrap_or_default()
    }

    /// Every currency there is, those with two decimal places first.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLES.into_iter().flat_map(|(_, table)| codes(table).iter().map(|[a, b, c, _]| Self([*a, *b, *c])))
    }
}

/// The codes of a table, each with the space after it.
fn codes(table: &'static [u8]) -> &'static [[u8; STRIDE]] {
    table.as_chunks().0
}

/// The decimal places of an active code.
fn find(code: [u8; 3]) -> Option<u8> {
    let [a, b, c] = code;
    let entry = [a, b, c, b' '];
    TABLES.into_iter().find(|(_, table)| codes(table).binary_search(&entry).is_ok()).map(|(exponent, _)| exponent)
}

impl TryFrom<[u8; 3]> for Currency {
    type Error = MoneyError;

    fn try_from(code: [u8; 3]) -> Result<Self, MoneyError> {
        find(code).map(|_| Self(code)).ok_or(MoneyError::UnknownCurrency)
    }
}

impl From<Currency> for [u8; 3] {
    fn from(currency: Currency) -> Self {
        currency.0
    }
}

impl str::FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        Self::parse(code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
