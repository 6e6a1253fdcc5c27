//! What a body is refused for, and in which words.

use std::collections::BTreeMap;

use holdfast_core::Quantity;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[expect(dead_code, reason = "only its parsing matters")]
    sku: String,
    #[serde(deserialize_with = "quantity")]
    #[expect(dead_code, reason = "only its parsing matters")]
    quantity: Quantity,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[expect(dead_code, reason = "only its parsing matters")]
    lines: Vec<Line>,
    #[serde(default, deserialize_with = "distinct_map")]
    #[expect(dead_code, reason = "only its parsing matters")]
    metadata: BTreeMap<String, String>,
    #[expect(dead_code, reason = "only its parsing matters")]
    price: Option<Line>,
    #[expect(dead_code, reason = "only its parsing matters")]
    units: Option<i64>,
    #[expect(dead_code, reason = "only its parsing matters")]
    choice: Option<Choice>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    All {
        #[expect(dead_code, reason = "only its parsing matters")]
        of: u64,
    },
}

fn refusal(body: &[u8]) -> (u16, String) {
    let problem = parse::<Request>(body, &LimitSettings::default()).expect_err("refused");
    let body = String::from_utf8_lossy(&problem.to_bytes()).into_owned();
    (problem.kind().status().as_u16(), body)
}

fn assert_refused(body: impl AsRef<[u8]>, status: u16, words: &[&str]) {
    let (actual, text) = refusal(body.as_ref());
    assert_eq!(actual, status, "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} not all in {text}");
}

#[test]
fn a_good_body_is_read() {
    let body = br#"{"lines":[{"sku":"A","quantity":1}],"metadata":{"a":"b"}}"#;
    assert!(parse::<Request>(body, &LimitSettings::default()).is_ok());
}

#[test]
fn bad_syntax_is_refused_with_line_and_column() {
    assert_refused("{\n  \"lines\": [}", 400, &["malformed-json", "line 2, column 13"]);
    assert_refused("", 400, &["malformed-json"]);
    assert_refused("{\"lines\":[]} x", 400, &["malformed-json"]);
    assert_refused(b"{\"lines\":[{\"sku\":\"\xff\xfe\",\"quantity\":1}]}", 400, &["malformed-json"]);
    assert_refused(r#"{"lines":[{"sku":"\ud800","quantity":1}]}"#, 400, &["malformed-json"]);
    assert_refused("{\"lines\":[{\"sku\":\"a\0\",\"quantity\":1}]}", 400, &["NUL"]);
    assert_refused(r#"{"lines":[{"sku":"A","quantity":1e400}]"#, 400, &["malformed-json"]);
}

#[test]
fn an_array_is_no_object() {
    let words = |field: &'static str| ["invalid-request", field, "invalid type: sequence"];
    assert_refused(r#"[[["A",1]],{}]"#, 422, &words(r#""field":"""#));
    assert_refused(r#"{"lines":[{"sku":"A","quantity":1},["A",1]]}"#, 422, &words("\"/lines/1\""));
    assert_refused(r#"{"lines":[],"metadata":[["a","b"]]}"#, 422, &words("\"/metadata\""));
    assert_refused(r#"{"lines":[],"price":null,"choice":{"all":[1]}}"#, 422, &words("\"/choice/all\""));
    assert_refused(r#"{"lines":[],"price":["A",1]}"#, 422, &words("\"/price\""));
    let object = br#"{"lines":[],"price":{"sku":"A","quantity":1},"choice":{"all":{"of":1}}}"#;
    assert!(parse::<Request>(object, &LimitSettings::default()).is_ok());
}

#[test]
fn json_that_no_type_holds_is_refused_at_its_field() {
    let digits = "9".repeat(5_000);
    for number in ["1e400", "-1e400", &digits] {
        let body = format!(r#"{{"lines":[{{"sku":"A","quantity":{number}}}]}}"#);
        assert_refused(body, 422, &["invalid-request", "\"/lines/0/quantity\"", "number out of range"]);
        assert_refused(format!(r#"{{"lines":[],"units":{number}}}"#), 422, &["\"/units\"", "number out of range"]);
    }
    for choice in ["1", "[]", "true"] {
        let body = format!(r#"{{"lines":[],"choice":{choice}}}"#);
        assert_refused(body, 422, &["invalid-request", "\"/choice\"", "a value of another type"]);
    }
}

#[test]
fn a_number_that_is_no_quantity_is_refused_at_its_field() {
    for quantity in ["-1", "0", "2147483648", "9223372036854775808", "1.5", "1e3", "\"1\"", "null", "true"] {
        let body = format!(r#"{{"lines":[{{"sku":"A","quantity":1}},{{"sku":"A","quantity":{quantity}}}]}}"#);
        assert_refused(body, 422, &["invalid-request", "\"/lines/1/quantity\"", "a whole number from 1 to 1000000"]);
    }
}

#[test]
fn an_unknown_missing_or_repeated_field_is_named() {
    assert_refused(r#"{"lines":[{"sku":"A","quantity":1,"price":2}]}"#, 422, &["\"/lines/0/price\"", "unknown field"]);
    assert_refused(r#"{"lines":[{"sku":"A"}]}"#, 422, &["\"/lines/0/quantity\"", "missing field"]);
    assert_refused(r#"{"lines":[],"lines":[]}"#, 422, &["\"/lines\"", "duplicate field"]);
    assert_refused(r#"{"lines":[],"metadata":{"a":"1","a":"2"}}"#, 422, &["\"/metadata/a\"", "duplicate field"]);
    assert_refused(r#"{"lines":[],"a/b~c":1}"#, 422, &["\"/a~1b~0c\""]);
    assert_refused(r#"{"lines":[],"a`b":1}"#, 422, &["\"/a`b\"", "unknown field"]);
    assert_refused(r#"{"lines":[],"`, expected `x":1}"#, 422, &["\"/`, expected `x\"", "unknown field"]);
    assert_refused(r#"{"lines":[],"metadata":{"a`b":"1","a`b":"2"}}"#, 422, &["\"/metadata/a`b\""]);
    assert_refused(r#"{"lines":[],"price":{"price":1}}"#, 422, &["\"/price/price\"", "unknown field"]);
    assert_refused(r#"{"lines":[],"price":{"sku":"A"}}"#, 422, &["\"/price/quantity\"", "missing field"]);
}

#[test]
fn too_deep_and_too_many_are_refused_before_parsing() {
    assert_refused("[".repeat(100_000), 400, &["body-too-complex", "32 levels"]);
    assert_refused(format!("[{}1]", "1,".repeat(1_000)), 400, &["body-too-complex", "1000 items"]);
}

#[test]
fn a_card_number_in_a_wrong_place_is_not_repeated() {
    for body in [
        r#"{"lines":"4111 1111 1111 1111"}"#,
        r#"{"lines":[],"4111111111111111":1}"#,
        r#"{"lines":[],"metadata":{"4111-1111-1111-1111":1}}"#,
    ] {
        let (status, text) = refusal(body.as_bytes());
        assert!(status == 422 && !text.contains("4111"), "{text}");
    }
}

#[test]
fn a_long_name_is_not_repeated_whole() {
    let name = "x".repeat(60_000);
    for body in [format!(r#"{{"lines":[],"{name}":1}}"#), format!(r#"{{"lines":[],"metadata":{{"{name}":1}}}}"#)] {
        let (status, text) = refusal(body.as_bytes());
        assert!(status == 422 && text.len() < 2_000, "{} bytes", text.len());
    }
    assert_refused(format!(r#"{{"lines":[],"metadata":{{"{name}":1}}}}"#), 422, &["\"/metadata\""]);
}

#[test]
fn only_json_in_utf8_without_encoding_is_read() {
    let with = |name: header::HeaderName, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        headers.insert(name, value.parse().expect("a header value"));
        check_media_type(&headers).is_ok()
    };
    assert!(with(header::CONTENT_TYPE, "application/json; charset=UTF-8"));
    assert!(with(header::CONTENT_TYPE, "Application/Vnd.Shop+JSON"));
    assert!(!with(header::CONTENT_TYPE, "text/plain"));
    assert!(!with(header::CONTENT_TYPE, "application/json; charset=latin1"));
    assert!(!with(header::CONTENT_ENCODING, "gzip"));
}
