//! Where the load goes: an `http://host:port` address.
//!
//! Only plain HTTP: encrypting in the load generator would measure the generator.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

/// The base address of a server, resolved once so that no request pays for a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    authority: String,
    address: SocketAddr,
}

/// The text is not an address the generator can use.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It does not start with `http://`.
    #[error("{0:?} is not an http:// address (the load generator speaks plain HTTP only)")]
    Scheme(String),
    /// It has a path, a query or nothing after the scheme.
    #[error("{0:?} must be a base address such as http://127.0.0.1:8080, without a path")]
    NotABase(String),
    /// The host is not known.
    #[error("cannot resolve {authority:?}")]
    Resolve {
        /// What was looked up.
        authority: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The host has no address.
    #[error("{0:?} has no address")]
    NoAddress(String),
}

impl Target {
    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `Host` header's value.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self { authority: address.to_string(), address }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let rest = text.strip_prefix("http://").ok_or_else(|| TargetError::Scheme(text.to_owned()))?;
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            return Err(TargetError::NotABase(text.to_owned()));
        }
        let authority = if has_port(host) { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = authority
            .to_socket_addrs()
            .map_err(|source| TargetError::Resolve { authority: authority.clone(), source })?;
        let address = addresses.next().ok_or_else(|| TargetError::NoAddress(authority.clone()))?;
        Ok(Self { authority, address })
    }
}

/// Whether a host names its port; the colons of a bracketed IPv6 address do not count.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_is_taken_with_or_without_its_slash() {
        let plain: Target = "http://127.0.0.1:8080".parse().unwrap();
        let slashed: Target = "http://127.0.0.1:8080/".parse().unwrap();
        assert_eq!(plain, slashed);
        assert_eq!(plain.address(), SocketAddr::from(([127, 0, 0, 1], 8080)));
    }

    #[test]
    fn the_port_defaults_to_80() {
        let target: Target = "http://[::1]".parse().unwrap();
        assert_eq!(target.address().port(), 80);
    }

    #[test]
    fn an_encrypted_address_or_a_path_is_refused() {
        assert!(matches!("https://127.0.0.1".parse::<Target>(), Err(TargetError::Scheme(_))));
        assert!(matches!("http://127.0.0.1/api".parse::<Target>(), Err(TargetError::NotABase(_))));
        assert!(matches!("http://".parse::<Target>(), Err(TargetError::NotABase(_))));
    }
}
