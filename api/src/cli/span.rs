//! Lengths of time on the command line: `500ms`, `10s`, `2m`, or a plain number of seconds.

use std::time::Duration;

/// Reads a length of time.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err(format!("{unit:?} is not a unit of time: ms, s or m")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("{text:?} is not a length of time, such as 500ms, 10s or 2m"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_is_seconds() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2m"), Ok(Duration::from_mins(2)));
    }

    #[test]
    fn anything_else_names_what_is_wrong() {
        assert!(parse("10h").unwrap_err().contains("\"h\""));
        assert!(parse("-1").is_err());
        assert!(parse("").is_err());
    }
}
