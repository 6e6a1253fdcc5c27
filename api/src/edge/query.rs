//! Query parameters, read strictly and refused by name; and the variable part of a path.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::{
    App,
    problem::{Kind, Problem},
};

/// The query as `T`, or the problem that names the parameter.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(refuse(&rejection.body_text())),
        }
    }
}

/// The one variable part of the path. What cannot be read (percent signs that are not UTF-8) names nothing that is
/// there.
pub(crate) struct PathPart(pub(crate) String);

impl FromRequestParts<App> for PathPart {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, app).await {
            Ok(Path(part)) => Ok(Self(part)),
            Err(_) => Err(Problem::new(Kind::NotFound).detail("the path is not readable")),
        }
    }
}

/// Names the parameter, from the parser's words.
fn refuse(text: &str) -> Problem {
    let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    let why: String = why.chars().take(200).collect();
    let problem = Problem::new(Kind::InvalidQuery);
    if let Some(name) = why.split('`').nth(1).filter(|_| why.contains(" field `")) {
        let name = name.to_owned();
        let why = why.split_once(": ").map_or(why.as_str(), |(_, why)| why).to_owned();
        return problem.detail(why.clone()).field(name, why);
    }
    match why.split_once(": ") {
        Some((name, why)) => problem.detail(format!("{name}: {why}")).field(name, why),
        None => problem.detail(why),
    }
}

/// The size of a page: a fifth of the limit unless asked otherwise.
pub(crate) fn page_size(asked: Option<usize>, limit: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok((limit / 5).max(1)),
        Some(asked) if (1..=limit).contains(&asked) => Ok(asked),
        Some(asked) => Err(Problem::new(Kind::InvalidQuery)
            .field("limit", format!("a whole number from 1 to {limit}, not {asked}"))
            .member("limit", limit)),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Page {
        #[expect(dead_code, reason = "only its parsing matters")]
        limit: Option<usize>,
    }

    #[test]
    fn a_wrong_or_unknown_parameter_is_named() {
        let refusal = |query: &str| {
            let uri = format!("/x?{query}").parse().expect("an address");
            let rejection = Query::<Page>::try_from_uri(&uri).err().expect("refused");
            String::from_utf8_lossy(&refuse(&rejection.body_text()).to_bytes()).into_owned()
        };
        assert!(refusal("limit=ten").contains("\"field\":\"limit\""), "{}", refusal("limit=ten"));
        assert!(refusal("limits=1").contains("\"field\":\"limits\""), "{}", refusal("limits=1"));
        assert!(refusal("limit=1&limit=2").contains("\"field\":\"limit\""), "{}", refusal("limit=1&limit=2"));
    }

    #[test]
    fn a_page_has_a_size_within_its_limit() {
        assert_eq!(page_size(None, 100).ok(), Some(20));
        assert_eq!(page_size(Some(100), 100).ok(), Some(100));
        assert!(page_size(Some(0), 100).is_err());
        assert!(page_size(Some(101), 100).is_err());
    }
}
