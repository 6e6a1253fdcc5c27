//! TLS to PostgreSQL, by rustls.
//!
//! Invariant: a server whose certificate nobody trusted vouches for, or that is for another name, is never spoken to. There
//! is no setting to skip that: `postgres.tls = "off"` does without TLS, and says so.

use std::{io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;

/// What makes TLS connections, trusting the authorities in `ca_file`, or those the operating system trusts.
pub(super) fn verified(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, PostgresError> {
    let roots = match ca_file {
        Some(path) => of_file(path)?,
        None => of_system()?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn of_file(path: &Path) -> Result<RootCertStore, PostgresError> {
    let unreadable = |problem: String| {
        let source = io::Error::new(io::ErrorKind::InvalidData, problem);
        PostgresError::File { setting: "ca_file", path: path.to_path_buf(), source }
    };
    let text = std::fs::read(path).map_err(|source| PostgresError::File {
        setting: "ca_file",
        path: path.to_path_buf(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, PostgresError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let problem = "the operating system trusts no authority: name a file with the server's (PEM)";
        return Err(PostgresError::setting("ca_file", problem));
    }
    Ok(roots)
}
