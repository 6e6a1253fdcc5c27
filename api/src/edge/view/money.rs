//! Money on the wire: whole minor units and an ISO 4217 code, never a float.

use holdfast_core::{Currency, Money};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use utoipa::ToSchema;

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Money)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoneyBody {
    /// Whole minor units: 1999 of EUR is 19.99 euros, of JPY 1,999 yen.
    #[schema(example = 1999)]
    amount_minor: i64,
    /// An active ISO 4217 code.
    #[serde(with = "currency_code")]
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: Currency,
}

impl MoneyBody {
    /// Appends what serde would write: a number and three letters, nothing to escape.
    pub(crate) fn append_json(&self, json: &mut String) {
        json.push_str("{\"amount_minor\":");
        json.push_str(itoa::Buffer::new().format(self.amount_minor));
        json.push_str(",\"currency\":\"");
        json.push_str(self.currency.code());
        json.push_str("\"}");
    }
}

impl From<Money> for MoneyBody {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.minor(), currency: money.currency() }
    }
}

impl From<MoneyBody> for Money {
    fn from(body: MoneyBody) -> Self {
        Self::new(body.amount_minor, body.currency)
    }
}

/// A currency as its three letters.
pub(crate) mod currency_code {
    use super::{Currency, Deserialize as _, Deserializer, Error as _, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(crate) fn serialize<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(currency.code())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        let code = String::deserialize(deserializer)?;
        Currency::parse(&code).map_err(D::Error::custom)
    }
}
