//! The address of a database, which may hold a password.
//!
//! Invariant: neither `Debug` nor `Display` nor serialization shows the password.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What is shown in place of a password.
const REDACTED: &str = "[redacted]";

/// How the address begins.
const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// A `postgresql://user@host,host/database` address.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PostgresUrl(String);

/// A text that is no such address. Says nothing of the text: a password may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be written postgresql://user@host:5432/database; further hosts follow after a comma")]
pub struct NotAUrl;

impl PostgresUrl {
    /// The whole address, password included: for the client only.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// The address without its password.
    fn redacted(&self) -> String {
        let (before, query) =
            self.0.split_once('?').map_or((self.0.as_str(), None), |(before, query)| (before, Some(query)));
        let (scheme, rest) = before.split_once("://").unwrap_or(("", before));
        // The last @ ends the user's part, whatever a careless password holds.
        let shown = match rest.rsplit_once('@').and_then(|(user, hosts)| Some((user.split_once(':')?.0, hosts))) {
            Some((user, hosts)) => format!("{scheme}://{user}:{REDACTED}@{hosts}"),
            None => before.to_owned(),
        };
        let hidden = |option: &str| match option.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}={REDACTED}"),
            _ => option.to_owned(),
        };
        match query {
            // An @ behind the question mark belongs to a password that was not encoded: show nothing of it.
            Some(query) if query.contains('@') => format!("{shown}?{REDACTED}"),
            Some(query) => format!("{shown}?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&")),
            None => shown,
        }
    }
}

impl TryFrom<String> for PostgresUrl {
    type Error = NotAUrl;

    fn try_from(text: String) -> Result<Self, NotAUrl> {
        if SCHEMES.iter().any(|scheme| text.starts_with(scheme)) { Ok(Self(text)) } else { Err(NotAUrl) }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Serialize for PostgresUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        PostgresUrl::try_from(text.to_owned()).unwrap().to_string()
    }

    #[test]
    fn a_password_is_not_shown_wherever_it_stands() {
        assert_eq!(shown("postgresql://me:hush@a:1,b/db"), "postgresql://me:[redacted]@a:1,b/db");
        assert_eq!(shown("postgres://me:hu@sh@a/db?x=1"), "postgres://me:[redacted]@a/db?x=1");
        assert_eq!(shown("postgresql://me@a/db?password=hush&x=1"), "postgresql://me@a/db?password=[redacted]&x=1");
        for address in ["postgresql://me:hu/sh@a/db", "postgresql://me:hu?sh@a/db", "postgresql://:hush@a"] {
            assert!(!shown(address).contains("sh"), "{}", shown(address));
        }
    }

    #[test]
    fn an_address_without_a_password_is_shown_as_it_is() {
        for address in ["postgresql://me@a:5432,b:5433/db?connect_timeout=3", "postgres:///db?host=/run/postgresql"] {
            assert_eq!(shown(address), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for text in ["host=a password=hush", "", "mysql://me:hush@a/db"] {
            let error = PostgresUrl::try_from(text.to_owned()).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
