//! Keeps card numbers out: a payment or free-text field that looks like one is refused at the edge, so no journal, log or
//! snapshot ever holds one (PCI DSS 4.0, requirement 3: do not store what you need not).
//!
//! SKUs are exempt, wherever they stand: a merchant's catalog is full of EAN-13 and ITF-14 article numbers, and one in
//! ten of those passes the Luhn check by chance. A SKU names an article that an admin put into the catalog first, so no
//! buyer can pass a number off as one.

/// The lengths of a primary account number, in digits (ISO/IEC 7812-1).
const MIN_DIGITS: usize = 13;
const MAX_DIGITS: usize = 19;

/// The zero of each row of ten decimal digits beyond ASCII (Unicode 14.0, category Nd), in order.
const ZEROS: [u32; 65] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50,
    0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136,
    0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0,
    0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// How the digits of a card number are grouped in print and on forms: all in one, Visa's and Mastercard's groups of four
/// with the rest last, American Express's and Diners Club's, and Visa's old thirteen.
const GROUPINGS: [&[usize]; 10] = [
    &[4, 4, 4, 1],
    &[4, 4, 4, 2],
    &[4, 4, 4, 3],
    &[4, 4, 4, 4],
    &[4, 4, 4, 4, 1],
    &[4, 4, 4, 4, 2],
    &[4, 4, 4, 4, 3],
    &[4, 6, 4],
    &[4, 6, 5],
    &[4, 3, 3, 3],
];
/// No grouping has more groups.
const MAX_GROUPS: usize = 5;
/// The most characters between two groups: ` - `.
const MAX_GAP: usize = 3;

/// Whether `text` holds 13 to 19 decimal digits of any script that pass the Luhn check (ISO/IEC 7812-1, annex B), in a
/// row or grouped as cards are: with spaces or dashes between the groups. What is not visible does not count.
///
/// The number may stand anywhere in the text. It begins and ends with a whole group of digits: `4111 1111 1111 1111 12/27`
/// is seen, while a longer unbroken row of digits is some other number. Digits apart by anything else are several numbers:
/// one in ten paths with a date and an article number in it would pass the Luhn check by chance.
pub fn looks_like_card_number(text: &str) -> bool {
    if text.len() < MIN_DIGITS {
        return false;
    }
    let mut in_group = false;
    for (at, c) in text.char_indices() {
        if is_unseen(c) {
            continue;
        }
        let is_digit = digit(c).is_some();
        if is_digit && !in_group && text.get(at..).is_some_and(begins_with_card_number) {
            return true;
        }
        in_group = is_digit;
    }
    false
}

/// Whether some whole groups of digits from the start of `text` on make a card number.
fn begins_with_card_number(text: &str) -> bool {
    let mut row = Row::default();
    let mut gap = 0_usize;
    for c in text.chars().filter(|c| !is_unseen(*c)) {
        if let Some(digit) = digit(c) {
            if row.push(digit, gap > 0).is_none() {
                return false;
            }
            gap = 0;
            continue;
        }
        if gap == 0 && row.is_card_number() {
            return true;
        }
        gap = gap.saturating_add(1);
        if !is_separator(c) || gap > MAX_GAP {
            return false;
        }
    }
    gap == 0 && row.is_card_number()
}

/// Digits in a row, and how they are grouped.
#[derive(Default)]
struct Row {
    digits: [u8; MAX_DIGITS],
    count: usize,
    groups: [usize; MAX_GROUPS],
    group: usize,
}

impl Row {
    /// Takes one more digit, of the next group if it `opens` one. `None`: no card has so many.
    fn push(&mut self, digit: u8, opens: bool) -> Option<()> {
        self.group = self.group.saturating_add(usize::from(opens));
        let size = self.groups.get_mut(self.group)?;
        *size = size.saturating_add(1);
        *self.digits.get_mut(self.count)? = digit;
        self.count = self.count.saturating_add(1);
        Some(())
    }

    fn is_card_number(&self) -> bool {
        let groups = self.groups.get(..=self.group).unwrap_or_default();
        let is_grouped_so = self.group == 0 || GROUPINGS.contains(&groups);
        let digits = self.digits.get(..self.count).unwrap_or_default();
        is_grouped_so && self.count >= MIN_DIGITS && passes_luhn(digits)
    }
}

/// The value of a decimal digit of any script.
fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| (c as u8).saturating_sub(b'0'));
    }
    let code = u32::from(c);
    let zero = ZEROS.get(ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?)?;
    u8::try_from(code.checked_sub(*zero)?).ok().filter(|value| *value < 10)
}

/// Whether `c` may stand between two groups of one number: a space or a dash of any kind.
fn is_separator(c: char) -> bool {
    c == '-' || c.is_whitespace() || (!c.is_ascii() && is_dash(c))
}

/// Whether `c` is a dash: category Pd beyond ASCII, and what looks like one.
#[rustfmt::skip]
const fn is_dash(c: char) -> bool {
    matches!(c,
        '\u{58a}' | '\u{5be}' | '\u{1400}' | '\u{1806}' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}'
        | '\u{2e17}' | '\u{2e1a}' | '\u{2e3a}' | '\u{2e3b}' | '\u{2e40}' | '\u{2e5d}' | '\u{301c}' | '\u{3030}'
        | '\u{30a0}' | '\u{fe31}' | '\u{fe32}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{10ead}')
}

/// Whether `c` is not visible at all: the soft hyphen, zero-width spaces and joiners, marks of direction.
const fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// From the right, every second digit is doubled and its digits added; the sum must be a multiple of ten.
fn passes_luhn(digits: &[u8]) -> bool {
    let doubled =
        |digit: u8| if digit < 5 { digit.saturating_mul(2) } else { digit.saturating_mul(2).saturating_sub(9) };
    let weigh = |(place, digit): (usize, &u8)| u32::from(if place % 2 == 1 { doubled(*digit) } else { *digit });
    digits.iter().rev().enumerate().map(weigh).sum::<u32>().is_multiple_of(10)
}
