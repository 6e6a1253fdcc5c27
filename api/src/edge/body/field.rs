//! Fields that need more than a derived parser: quantities with words a buyer understands, and maps without duplicates.

use std::{collections::BTreeMap, fmt};

use holdfast_core::Quantity;
use serde::{
    Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor},
};

/// Reads a quantity; whatever number is given, the refusal says what a quantity is.
pub(crate) fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
    deserializer.deserialize_any(QuantityVisitor)
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {}", Quantity::MAX)
    }

    fn visit_u64<E: Error>(self, units: u64) -> Result<Quantity, E> {
        let quantity = i64::try_from(units).ok().and_then(|units| Quantity::new(units).ok());
        quantity.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(units), &self))
    }

    fn visit_i64<E: Error>(self, units: i64) -> Result<Quantity, E> {
        Quantity::new(units).map_err(|_| E::invalid_value(Unexpected::Signed(units), &self))
    }
}

/// Reads a map of texts in which no key comes twice: which of the two would count is a guess, and guesses differ
/// between parsers.
pub(crate) fn distinct_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_map(DistinctMap)
}

struct DistinctMap;

impl<'de> Visitor<'de> for DistinctMap {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = access.next_entry::<String, String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("duplicate field `{key}`")));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// Reads a quantity, or null.
pub(crate) fn quantity_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quantity>, D::Error> {
    deserializer.deserialize_option(OptionalQuantity)
}

struct OptionalQuantity;

impl<'de> Visitor<'de> for OptionalQuantity {
    type Value = Option<Quantity>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        QuantityVisitor.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        quantity(deserializer).map(Some)
    }
}
