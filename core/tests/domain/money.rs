//! Money is exact: nothing is lost in a split, nothing wraps, no two currencies meet.

use holdfast_core::{Currency, Money, MoneyError, Quantity};
use proptest::prelude::*;

use crate::given::{eur, units};

#[test]
fn an_amount_prints_with_the_decimal_places_of_its_currency() {
    let print = |minor, code: &str| Money::new(minor, code.parse().unwrap()).to_string();
    assert_eq!(print(1_234, "EUR"), "12.34 EUR");
    assert_eq!(print(5, "USD"), "0.05 USD");
    assert_eq!(print(-5, "EUR"), "-0.05 EUR");
    assert_eq!(print(1_200, "JPY"), "1200 JPY");
    assert_eq!(print(1_005, "KWD"), "1.005 KWD");
    assert_eq!(print(12_345, "CLF"), "1.2345 CLF");
    assert_eq!(print(i64::MIN, "EUR"), "-92233720368547758.08 EUR");
}

#[test]
fn only_active_iso_4217_codes_are_currencies() {
    for code in ["EUR", "USD", "JPY", "KWD", "CLF", "AED", "ZWG", "XPF", "XCG"] {
        assert_eq!(Currency::parse(code).unwrap().to_string(), code);
    }
    for code in ["", "EU", "EURO", "eur", "DEM", "HRK", "BGN", "XXX", "XAU", "XTS", "€", "AE ", "AAA", "ZZZ"] {
        assert_eq!(Currency::parse(code), Err(MoneyError::UnknownCurrency), "{code}");
    }
}

#[test]
fn every_currency_reads_back_from_its_code() {
    assert!(Currency::all().count() > 150);
    for currency in Currency::all() {
        assert_eq!(Currency::parse(currency.code()), Ok(currency));
        assert!(matches!(currency.exponent(), 0 | 2 | 3 | 4));
    }
    assert_eq!([Currency::EUR.exponent(), Currency::USD.exponent()], [2, 2]);
}

/// The codes that orders and carts of schema version 1 may hold. Codes may be added.
const OF_VERSION_1: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE \
    CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF \
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR \
    LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN \
    PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS \
    TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR \
    ZMW ZWG";

#[test]
fn no_currency_that_was_ever_taken_is_forgotten() {
    for code in OF_VERSION_1.split(' ') {
        assert!(
            Currency::parse(code).is_ok(),
            "{code} is in journals: refuse it where it comes in, and go on reading it"
        );
    }
    assert_eq!(OF_VERSION_1.split(' ').count(), 164);
}

#[test]
fn amounts_of_two_currencies_do_not_add_up() {
    let dollars = Money::new(1, Currency::USD);
    let mismatch = Err(MoneyError::CurrencyMismatch { left: Currency::EUR, right: Currency::USD });
    assert_eq!(eur(1).checked_add(dollars), mismatch);
    assert_eq!(eur(1).checked_sub(dollars), mismatch);
}

#[test]
fn an_amount_that_does_not_fit_is_refused() {
    assert_eq!(eur(i64::MAX).checked_add(eur(1)), Err(MoneyError::Overflow));
    assert_eq!(eur(i64::MIN).checked_sub(eur(1)), Err(MoneyError::Overflow));
    assert_eq!(eur(i64::MAX / 2).checked_mul(units(3)), Err(MoneyError::Overflow));
    assert_eq!(eur(1_999).checked_mul(units(3)), Ok(eur(5_997)));
}

#[test]
fn a_split_gives_the_larger_shares_first() {
    assert_eq!(eur(100).split(3).unwrap(), [eur(34), eur(33), eur(33)]);
    assert_eq!(eur(-100).split(3).unwrap(), [eur(-34), eur(-33), eur(-33)]);
    assert_eq!(eur(2).split(3).unwrap(), [eur(1), eur(1), eur(0)]);
    assert_eq!(eur(100).split(0), Err(MoneyError::NoParts));
}

#[test]
fn a_quantity_is_at_least_one_and_at_most_the_largest() {
    for wrong in [i64::MIN, -1, 0, 1_000_001, 1 << 31, i64::MAX] {
        assert!(Quantity::new(wrong).is_err(), "{wrong}");
    }
    assert!(Quantity::MAX.checked_add(Quantity::ONE).is_err());
    assert_eq!(units(2).checked_add(units(3)).unwrap(), units(5));
}

proptest! {
    #[test]
    fn the_shares_of_a_split_add_up_to_the_whole(minor: i64, parts in 1_u16..500) {
        let shares = eur(minor).split(parts).unwrap();
        prop_assert_eq!(shares.len(), usize::from(parts));
        let mut sum = Money::zero(Currency::EUR);
        for share in &shares {
            sum = sum.checked_add(*share).unwrap();
        }
        prop_assert_eq!(sum, eur(minor));
        let least = shares.iter().map(|share| share.minor()).min().unwrap();
        let most = shares.iter().map(|share| share.minor()).max().unwrap();
        prop_assert!(most - least <= 1);
    }

    #[test]
    fn what_is_added_can_be_taken_away_again(left: i64, right: i64) {
        if let Ok(sum) = eur(left).checked_add(eur(right)) {
            prop_assert_eq!(sum.checked_sub(eur(right)), Ok(eur(left)));
            prop_assert_eq!(eur(right).checked_add(eur(left)), Ok(sum));
        } else {
            prop_assert!(left.checked_add(right).is_none());
        }
    }

    #[test]
    fn the_price_of_many_is_the_price_of_one_added_up(price in 0_i64..1_000_000, count in 1_i64..50) {
        let sum = (0..count).fold(eur(0), |sum, _| sum.checked_add(eur(price)).unwrap());
        prop_assert_eq!(eur(price).checked_mul(units(count)), Ok(sum));
    }
}
