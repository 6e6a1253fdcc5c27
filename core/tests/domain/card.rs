//! No card number gets in, however it is written.

use holdfast_core::{
    card::looks_like_card_number,
    order::{PaymentToken, PaymentTokenError},
};
use proptest::prelude::*;

#[test]
fn a_card_number_is_seen_however_it_is_written() {
    for text in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4222222222222",
        "6304000000000000000",
        "my card: 5555555555554444, thanks",
        "4111 1111 1111 1111 12/27",
        "4111 1111 1111 1111 123",
        "order 7 4111 1111 1111 1111",
        "tok_4111111111111111_x",
        "Straße 4111111111111111 ✓",
        "tok.4111-1111-1111-1111.x",
        "3056 930902 5904",
        "4222 222 222 222",
        "6304 0000 0000 0000 000",
        "7 4111 1111 1111 1111",
        "4111\t1111\r\n1111\u{b}1111",
        "4111\u{a0}1111\u{2009}1111\u{3000}1111",
        "4111\u{2010}1111\u{2013}1111\u{2212}1111",
        "4111\u{200b}1111\u{ad}1111\u{feff}1111",
        "4111 - 1111 - 1111 - 1111",
        "\u{ff14}\u{ff11}\u{ff11}\u{ff11}111111111111",
        "٤١١١ ١١١١ ١١١١ ١١١١",
        "𝟒𝟏𝟏𝟏１１１１۱۱۱۱1111",
    ] {
        assert!(looks_like_card_number(text), "{text}");
    }
}

#[test]
fn other_numbers_are_not_card_numbers() {
    for text in [
        "",
        "tok_visa",
        "4111111111111112",
        "411111111111",
        "41111111111111111111111111",
        "4111,1111,1111,1111",
        "4111.1111.1111.1111",
        "4111_1111_1111_1111",
        "4111/1111/1111/1111",
        "41 11 11 11 11 11 11 11",
        "41111111 11111111",
        "4111  -  1111 1111 1111",
        "+49 30 901820",
        "2026-11-22 16:29:50",
        "4111 1111 a 1111 1111",
        "tok_approve",
        "0198c2f4-7d6e-7a3b-9c1d-5e8f0a2b4c6d",
        "550e8400-e29b-41d4-a716-446655440000",
        "192.168.100.200",
        "/images/2026/11/tee-black.jpg",
        "/images/2026/11/22/10000039.jpg",
        "/2026/1122/1234/5671/tee.jpg",
        "customer.2026.1122.1234.5671",
        "20261122-10000039",
        "Ⅳ¹¹¹ ①①①① ½½½½ 一一一一",
        "ééééééééééééé",
    ] {
        assert!(!looks_like_card_number(text), "{text}");
    }
    // A letter is no dash in any script, and the sign after a script's nine is no digit.
    assert!(!looks_like_card_number("4111\u{e9}1111\u{e9}1111\u{e9}1111"));
    assert!(!looks_like_card_number("4000000000000\u{66a}02"));
}

#[test]
fn a_long_text_of_digits_is_read_in_good_time() {
    assert!(!looks_like_card_number(&"7".repeat(1_000_000)));
    assert!(!looks_like_card_number(&"1 ".repeat(500_000).replace('1', "a1")));
    assert!(!looks_like_card_number(&"1\u{2009}".repeat(250_000)));
    assert!(!looks_like_card_number(&"é٤".repeat(250_000)));
}

#[test]
fn a_payment_token_is_never_a_card_number() {
    assert_eq!(PaymentToken::parse("tok_Visa-4.2").unwrap().as_str(), "tok_Visa-4.2");
    assert_eq!(PaymentToken::parse("4111 1111"), Err(PaymentTokenError::Charset));
    assert_eq!(PaymentToken::parse("tök"), Err(PaymentTokenError::Charset));
    assert_eq!(PaymentToken::parse(""), Err(PaymentTokenError::Length));
    assert_eq!(PaymentToken::parse(&"t".repeat(129)), Err(PaymentTokenError::Length));
    for text in [
        "4111-1111-1111-1111",
        "4111111111111111",
        "tok_3782-822463-10005",
        "4111.1111.1111.1111",
        "4111_1111_1111_1111",
        "tok_4111.1111_1111-1111.x",
    ] {
        assert_eq!(PaymentToken::parse(text), Err(PaymentTokenError::CardNumber), "{text}");
    }
    assert!(PaymentToken::parse("tok_approve").is_ok());
    assert!(PaymentToken::parse(&"t".repeat(128)).is_ok());
}

#[test]
fn a_stored_payment_token_is_read_back_whatever_is_a_card_number_today() {
    let stored = |text: &str| {
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(text, config).unwrap();
        bincode::serde::decode_from_slice::<PaymentToken, _>(&bytes, config).map(|(token, _)| token)
    };
    for text in ["4111111111111111", "4111-1111-1111-1111", "4111.1111.1111.1111", "tok_Visa-4.2"] {
        assert_eq!(stored(text).unwrap().as_str(), text);
    }
    for text in ["", "two words", "t\u{f6}k", &"t".repeat(129)] {
        assert!(stored(text).is_err(), "{text}: it never was one");
    }
}

#[test]
fn a_payment_token_does_not_print_in_logs() {
    assert_eq!(format!("{:?}", PaymentToken::parse("tok_secret").unwrap()), "PaymentToken(..)");
}

/// Appends the digit that makes the Luhn sum a multiple of ten.
fn with_check_digit(mut digits: Vec<u8>) -> String {
    let weigh = |(place, digit): (usize, &u8)| {
        let weight = if place % 2 == 0 { digit * 2 } else { *digit };
        u32::from(if weight > 9 { weight - 9 } else { weight })
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weigh).sum();
    digits.push(u8::try_from((10 - sum % 10) % 10).unwrap());
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}

/// The groups that cards of this many digits are printed in.
fn groups(digits: usize) -> Vec<usize> {
    let mut groups = vec![4; digits / 4];
    groups.extend(Some(digits % 4).filter(|rest| *rest > 0));
    groups
}

proptest! {
    #[test]
    fn every_number_with_a_right_check_digit_is_seen(
        digits in prop::collection::vec(0_u8..10, 12..19),
        separator in "[ \t\u{a0}\u{2013}-]{0,3}|\u{200b}{1,9}",
        before in "[a-z:_./]{0,5}",
        after in "[a-z:_./]{0,5}",
    ) {
        let number = with_check_digit(digits);
        let mut rest = number.as_str();
        let groups: Vec<&str> = groups(number.len()).into_iter().map(|size| {
            let (group, tail) = rest.split_at(size);
            rest = tail;
            group
        }).collect();
        let written = groups.join(&separator);
        let text = format!("{before}{written}{after}");
        prop_assert!(looks_like_card_number(&text), "{text}");
    }

    #[test]
    fn digits_apart_by_anything_but_spaces_and_dashes_are_several_numbers(
        digits in prop::collection::vec(0_u8..10, 12..19),
        separator in "[._/,:;+x]",
    ) {
        let number = with_check_digit(digits);
        let written: Vec<&str> = number.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        prop_assert!(!looks_like_card_number(&written.join(&separator)));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text: String) {
        looks_like_card_number(&text);
    }
}
