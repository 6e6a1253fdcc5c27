//! The shape of a JSON body, measured in one pass before it is parsed: nesting, items per list, NUL characters.
//!
//! Why before: a parser that builds what it reads has already paid for a hundred thousand levels or a million items
//! when it finds out. This pass allocates nothing, and leaves judging the syntax to the parser.

/// The deepest nesting the setting may allow: the counters live on the stack.
const MAX_DEPTH: usize = 64;

/// What a string is not skipped over: its end, an escape, a NUL. A look-up is half the work of three comparisons.
static STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    stops[b'"' as usize] = true;
    stops[b'\\' as usize] = true;
    stops[0] = true;
    stops
};

/// Why a body is not even looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShapeError {
    /// Nested deeper than allowed.
    TooDeep {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// More items in one list or object than allowed.
    TooManyItems {
        /// Where, in bytes from the start.
        at: usize,
    },
    /// A NUL character, escaped or not.
    Nul {
        /// Where, in bytes from the start.
        at: usize,
    },
}

/// Checks the shape of `body`. `depth` is at most [`MAX_DEPTH`], as the settings ensure.
pub(super) fn check(body: &[u8], depth: usize, items: usize) -> Result<(), ShapeError> {
    if is_plain(body, depth, items) { Ok(()) } else { measure(body, depth, items) }
}

/// Whether `body` has too few brackets and commas for a bad shape, wherever they stand, and nothing that could be a NUL.
/// Nearly every body is like this, and it is seen sixteen bytes at a time.
fn is_plain(body: &[u8], depth: usize, items: usize) -> bool {
    count(body, |byte| matches!(byte, b'[' | b'{')) <= depth
        && count(body, |byte| byte == b',') < items
        && count(body, |byte| matches!(byte, 0 | b'\\')) == 0
}

/// How many bytes are so. Pieces are short enough to be counted in a byte, so that the compiler counts many at once.
fn count(body: &[u8], is_so: fn(u8) -> bool) -> usize {
    let in_piece = |piece: &[u8]| piece.iter().map(|byte| u8::from(is_so(*byte))).sum::<u8>();
    body.chunks(usize::from(u8::MAX)).map(|piece| usize::from(in_piece(piece))).sum()
}

/// Checks byte by byte, and names the place.
fn measure(body: &[u8], depth: usize, items: usize) -> Result<(), ShapeError> {
    let mut commas = [0_usize; MAX_DEPTH];
    let mut level = 0_usize;
    let mut at = 0_usize;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => at = skip_string(body, at)?,
            b'[' | b'{' => {
                level += 1;
                if level > depth.min(MAX_DEPTH) {
                    return Err(ShapeError::TooDeep { at });
                }
                commas[level - 1] = 0;
            }
            b']' | b'}' => level = level.saturating_sub(1),
            b',' if level > 0 => {
                commas[level - 1] += 1;
                if commas[level - 1] >= items {
                    return Err(ShapeError::TooManyItems { at });
                }
            }
            0 => return Err(ShapeError::Nul { at }),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The place of the closing quote of the string that opens at `start`, or the end of the body.
fn skip_string(body: &[u8], start: usize) -> Result<usize, ShapeError> {
    let mut at = start + 1;
    // Nearly all of a body is inside strings, and nearly none of that is anything to stop at.
    while let Some(next) = body.get(at..).and_then(|rest| rest.iter().position(|byte| STOPS[usize::from(*byte)])) {
        at += next;
        match body[at] {
            b'"' => return Ok(at),
            b'\\' if !body[at + 1..].starts_with(b"u0000") => at += 2,
            _ => return Err(ShapeError::Nul { at }),
        }
    }
    Ok(body.len())
}

/// The line and column of a place in the body, both from 1.
pub(super) fn line_and_column(body: &[u8], at: usize) -> (usize, usize) {
    let before = &body[..at.min(body.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_and_brackets_in_strings_are_not() {
        assert_eq!(check(b"[[[]]]", 3, 9), Ok(()));
        assert_eq!(check(b"[[[]]]", 2, 9), Err(ShapeError::TooDeep { at: 2 }));
        assert_eq!(check(br#"{"a":"[[[[[\"[["}"#, 1, 9), Ok(()));
        assert_eq!(check(b"[[],[],[]]", 2, 9), Ok(()), "leaving a list gives its level back");
        assert_eq!(check("[".repeat(100_000).as_bytes(), 64, 9), Err(ShapeError::TooDeep { at: 64 }));
        assert_eq!(check(b"]]]]\"", 2, 9), Ok(()), "nonsense is the parser's business");
    }

    #[test]
    fn items_are_counted_per_list() {
        assert_eq!(check(b"[1,2,3]", 3, 3), Ok(()));
        assert_eq!(check(b"[1,2,3,4]", 3, 3), Err(ShapeError::TooManyItems { at: 6 }));
        assert_eq!(check(b"[[1,2],[3,4],[5,6]]", 3, 3), Ok(()));
        assert_eq!(check(br#"{"a":",,,,"}"#, 3, 3), Ok(()));
    }

    #[test]
    fn a_nul_is_found_raw_and_escaped_but_not_an_escaped_backslash() {
        assert_eq!(check(b"\"a\0\"", 3, 3), Err(ShapeError::Nul { at: 2 }));
        assert_eq!(check(br#""a\u0000""#, 3, 3), Err(ShapeError::Nul { at: 2 }));
        assert_eq!(check(br#""a\\u0000""#, 3, 3), Ok(()));
        assert_eq!(check(b"\"\\", 3, 3), Ok(()), "an escape at the end");
    }

    #[test]
    fn a_body_taken_for_plain_has_a_good_shape() {
        let pieces: [&[u8]; 8] = [b"[", b"]", b"{\"a\":", b"}", b",", b"\"[,\"", b"\\u0000", b"\0"];
        let mut plain = 0;
        for number in 0..8_usize.pow(5) {
            let body: Vec<u8> = (0..5).flat_map(|place| pieces[number / 8_usize.pow(place) % 8]).copied().collect();
            if is_plain(&body, 2, 2) {
                plain += 1;
                assert_eq!(measure(&body, 2, 2), Ok(()), "{}", String::from_utf8_lossy(&body));
            }
        }
        assert!(plain > 1_000, "only {plain} were plain");
        let long = b"[".repeat(255 + 3);
        assert_eq!(count(&long, |byte| byte == b'['), 258, "more than one piece");
    }

    #[test]
    fn a_place_is_named_by_line_and_column() {
        assert_eq!(line_and_column(b"{\n  x", 4), (2, 3));
        assert_eq!(line_and_column(b"", 0), (1, 1));
    }
}
