//! Certificates for tests: an authority made on the spot, and what it signs.
//!
//! Invariant: nothing here is trusted by anything but the test that made it.

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate authority of one test.
pub struct TestAuthority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and its private key, as PEM.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl TestAuthority {
    /// A new authority.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).context("an authority's certificate")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("an authority's key")?;
        let pem = params.self_signed(&key).context("an authority's certificate")?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate, as PEM: what a `ca_file` holds.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server of this name or address.
    ///
    /// # Errors
    /// When the name is none, or no key can be made.
    pub fn server(&self, name: &str) -> anyhow::Result<ServerCertificate> {
        let params = CertificateParams::new(vec![name.to_owned()]).context("a server's name")?;
        let key = KeyPair::generate().context("a server's key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("a server's certificate")?;
        Ok(ServerCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}
