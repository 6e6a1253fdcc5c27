//! Keeps card numbers out: a payment or free-text field that looks like one is refused at the edge, so no journal, log or
//! snapshot ever holds one (PCI DSS 4.0, requirement 3: do not store what you need not).

/// The lengths of a primary account number, in digits (ISO/IEC 7812-1).
const MIN_DIGITS: usize = 13;
const MAX_DIGITS: usize = 19;

/// Whether `text` holds 13 to 19 digits in a row, spaces and hyphens aside, that pass the Luhn check
/// (ISO/IEC 7812-1, annex B).
///
/// The number may stand anywhere in the text. It begins and ends with a whole group of digits: `4111 1111 1111 1111 12/27`
/// is seen, while a longer unbroken row of digits is some other number.
pub fn looks_like_card_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut in_group = false;
    for (at, byte) in bytes.iter().enumerate() {
        let starts_group = byte.is_ascii_digit() && !in_group;
        in_group = byte.is_ascii_digit();
        if starts_group && bytes.get(at..).is_some_and(begins_with_card_number) {
            return true;
        }
    }
    false
}

/// Whether some whole groups of digits from the start of `bytes` on make a card number.
fn begins_with_card_number(bytes: &[u8]) -> bool {
    let mut digits = [0_u8; MAX_DIGITS];
    let mut count = 0_usize;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                let Some(place) = digits.get_mut(count) else { return false };
                *place = byte.saturating_sub(b'0');
                count = count.saturating_add(1);
                let ends_group = !bytes.get(at.saturating_add(1)).is_some_and(u8::is_ascii_digit);
                if ends_group && count >= MIN_DIGITS && digits.get(..count).is_some_and(passes_luhn) {
                    return true;
                }
            }
            b' ' | b'-' => {}
            _ => return false,
        }
    }
    false
}

/// From the right, every second digit is doubled and its digits added; the sum must be a multiple of ten.
fn passes_luhn(digits: &[u8]) -> bool {
    let doubled =
        |digit: u8| if digit < 5 { digit.saturating_mul(2) } else { digit.saturating_mul(2).saturating_sub(9) };
    let weigh = |(place, digit): (usize, &u8)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit });
    digits.iter().rev().enumerate().map(weigh).sum::<u32>().is_multiple_of(10)
}
