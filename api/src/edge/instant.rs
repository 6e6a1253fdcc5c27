//! Instants as RFC 3339 text in UTC, and back.

use holdfast_core::Timestamp;

/// The instant as RFC 3339, in milliseconds and UTC: `2026-03-01T09:00:00.000Z`. Instants beyond the calendar (a
/// deadline that never comes) are shown as its last millisecond.
pub(crate) fn text(at: Timestamp) -> String {
    let last = jiff::Timestamp::MAX;
    let instant = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(last);
    format!("{instant:.3}")
}

/// The instant of an RFC 3339 text with an offset, cut to milliseconds.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|instant| Timestamp::from_millis(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_survives_its_text() {
        let at = Timestamp::from_millis(1_772_355_600_123);
        assert_eq!(text(at), "2026-03-01T09:00:00.123Z");
        assert_eq!(parse(&text(at)), Some(at));
        assert_eq!(parse("2026-03-01T10:00:00.123+01:00"), Some(at));
        assert_eq!(parse("2026-03-01"), None);
        assert_eq!(text(Timestamp::MAX), "9999-12-30T22:00:00.999Z");
    }
}
