//! TLS: on by default, and never with a server that cannot prove who it is.

use std::path::PathBuf;

use holdfast_persistence::postgres::{Connector, PostgresSettings, TlsMode};
use holdfast_servers::{Postgres, PostgresOptions, TestAuthority};
use tempfile::TempDir;

use crate::{causes, settings};

/// A server with a certificate for `name`, and a file with the authority that signed it.
fn server(name: &str) -> (Postgres, TempDir, PathBuf) {
    let authority = TestAuthority::new().unwrap();
    let options = PostgresOptions { tls: Some(authority.server(name).unwrap()), ..PostgresOptions::default() };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    (Postgres::with(&options).unwrap(), folder, file)
}

fn verified(url: &str, ca_file: PathBuf) -> PostgresSettings {
    PostgresSettings { tls: TlsMode::default(), ca_file: Some(ca_file), ..settings(url) }
}

async fn refusal(settings: &PostgresSettings) -> String {
    causes(&Connector::new(settings).unwrap().connect().await.unwrap_err())
}

#[tokio::test]
async fn a_server_that_proves_who_it_is_is_spoken_to_encrypted() {
    let (server, _folder, ca_file) = server("127.0.0.1");
    let client = Connector::new(&verified(&server.url(), ca_file)).unwrap().connect().await.unwrap();
    let row = client.query_one("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(row.get::<_, bool>(0) && row.get::<_, String>(1).starts_with("TLSv1."));
}

#[tokio::test]
async fn a_server_whose_authority_nobody_trusts_is_refused() {
    let (server, folder, _) = server("127.0.0.1");
    let other = folder.path().join("other.pem");
    std::fs::write(&other, TestAuthority::new().unwrap().pem()).unwrap();
    let unknown = refusal(&verified(&server.url(), other)).await;
    assert!(unknown.contains("certificate"), "{unknown}");
    // Nor do the operating system's authorities vouch for it, where there are any.
    let by_system = PostgresSettings { ca_file: None, ..verified(&server.url(), PathBuf::new()) };
    match Connector::new(&by_system) {
        Ok(connector) => {
            let unknown = causes(&connector.connect().await.unwrap_err());
            assert!(unknown.contains("certificate"), "{unknown}");
        }
        Err(error) => assert!(error.to_string().contains("postgres.ca_file"), "{error}"),
    }
}

#[tokio::test]
async fn a_server_with_a_certificate_for_another_name_is_refused() {
    let (server, _folder, ca_file) = server("db.example.com");
    let wrong = refusal(&verified(&server.url(), ca_file)).await;
    assert!(wrong.contains("certificate") && wrong.contains("db.example.com"), "{wrong}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_unless_tls_is_off() {
    let server = Postgres::start().unwrap();
    let (_other, _folder, ca_file) = self::server("127.0.0.1");
    let plain = refusal(&verified(&server.url(), ca_file)).await;
    assert!(plain.contains("does not support TLS"), "{plain}");
    Connector::new(&settings(&server.url())).unwrap().connect().await.unwrap();
}

#[test]
fn a_file_without_an_authority_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for text in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let error = Connector::new(&verified("postgresql://me@127.0.0.1/db", file.clone())).err().unwrap();
        assert!(causes(&error).contains("postgres.ca_file") && causes(&error).contains("ca.pem"), "{}", causes(&error));
    }
}
