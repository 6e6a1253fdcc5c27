//! Instants as RFC 3339 text in UTC, and back.
//!
//! An answer shows now and a deadline or two, and so does the next one: each thread keeps the seconds it wrote last, and the
//! calendar is asked once a second instead of twice an order.

use std::cell::RefCell;

use holdfast_core::Timestamp;

/// How many seconds a thread keeps: when an order was placed, and until when it waits for its payment.
const SECONDS_KEPT: usize = 2;

thread_local! {
    /// Seconds since the epoch and their text up to the point, `2026-03-01T09:00:00.`, the latest written first.
    static SECONDS: RefCell<Vec<(i64, String)>> = const { RefCell::new(Vec::new()) };
}

/// The instant as RFC 3339, in milliseconds and UTC: `2026-03-01T09:00:00.000Z`. Instants beyond the calendar (a
/// deadline that never comes) are shown as its last millisecond.
pub(crate) fn text(at: Timestamp) -> String {
    let mut whole = String::with_capacity("2026-03-01T09:00:00.000Z".len());
    append(&mut whole, at);
    whole
}

/// Appends [`text`], in place.
pub(crate) fn append(whole: &mut String, at: Timestamp) {
    let (first, last) = (jiff::Timestamp::MIN.as_millisecond(), jiff::Timestamp::MAX.as_millisecond());
    let millis = at.as_millis().clamp(first, last);
    SECONDS.with_borrow_mut(|seconds| {
        whole.push_str(text_of_second(seconds, millis.div_euclid(1_000)));
        let rest = millis.rem_euclid(1_000);
        let digits = [rest / 100, rest / 10 % 10, rest % 10];
        whole.extend(digits.into_iter().filter_map(|digit| char::from_digit(u32::try_from(digit).ok()?, 10)));
        whole.push('Z');
    });
}

fn text_of_second(seconds: &mut Vec<(i64, String)>, wanted: i64) -> &str {
    if let Some(place) = seconds.iter().position(|(second, _)| *second == wanted) {
        return &seconds[place].1;
    }
    let instant = jiff::Timestamp::from_second(wanted).unwrap_or(jiff::Timestamp::MAX);
    seconds.truncate(SECONDS_KEPT - 1);
    seconds.insert(0, (wanted, format!("{instant:.0}").replace('Z', ".")));
    &seconds[0].1
}

/// Why a text is no instant here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InstantError {
    /// It is written otherwise.
    #[error("an instant is written as in RFC 3339, with an offset: 2026-03-01T09:00:00Z")]
    Form,
    /// It is written well but lies beyond the calendar, whose end depends on no time zone.
    #[error("an instant lies before 9999-12-30T22:00:01Z; leave it out where there is no limit")]
    Range,
}

/// The instant of an RFC 3339 text with an offset, cut to milliseconds.
///
/// # Errors
/// [`InstantError`]: badly written, or beyond the calendar.
pub(crate) fn parse(text: &str) -> Result<Timestamp, InstantError> {
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Ok(Timestamp::from_millis(instant.as_millisecond())),
        Err(_) if is_well_written(text) => Err(InstantError::Range),
        Err(_) => Err(InstantError::Form),
    }
}

/// Whether a text that is no instant has all of an instant's parts.
fn is_well_written(text: &str) -> bool {
    let pieces = jiff::fmt::temporal::Pieces::parse(text);
    pieces.is_ok_and(|pieces| pieces.time().is_some() && pieces.offset().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_its_text() {
        let at = Timestamp::from_millis(1_772_355_600_123);
        assert_eq!(text(at), "2026-03-01T09:00:00.123Z");
        assert_eq!(parse(&text(at)), Ok(at));
        assert_eq!(parse("2026-03-01T10:00:00.123+01:00"), Ok(at));
        assert_eq!(parse("2026-03-01"), Err(InstantError::Form));
        assert_eq!(text(Timestamp::MAX), "9999-12-30T22:00:00.999Z");
        assert_eq!(text(Timestamp::from_millis(-1)), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn every_instant_is_written_as_the_calendar_has_it_whatever_was_written_before() {
        for millis in [0, 999, 1_000, 1_001, 59_999, 60_000, 951_782_399_999, 951_782_400_000, -1, -1_000, -1_001] {
            let expected = format!("{:.3}", jiff::Timestamp::from_millisecond(millis).expect("an instant"));
            assert_eq!(text(Timestamp::from_millis(millis)), expected);
        }
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_told_apart_from_nonsense() {
        assert!(parse("9999-12-30T22:00:00Z").is_ok());
        assert!(parse("-009999-01-02T03:04:05Z").is_ok());
        for beyond in ["9999-12-30T22:00:01Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00"] {
            assert_eq!(parse(beyond), Err(InstantError::Range), "{beyond}");
        }
        for nonsense in ["", "soon", "2026-02-30T09:00:00Z", "9999-12-31T23:59:59", "10000-01-01T00:00:00Z"] {
            assert_eq!(parse(nonsense), Err(InstantError::Form), "{nonsense}");
        }
    }
}
