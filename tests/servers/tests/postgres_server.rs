//! The fixture keeps what it promises: a real server, alone, that comes back where it was.

use std::{net::TcpStream, path::Path, process::Command, time::Duration};

use holdfast_servers::{Postgres, PostgresOptions, TestAuthority};

#[test]
fn two_servers_know_nothing_of_each_other() {
    let (one, other) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    one.sql("create table mine (n int)").unwrap();
    assert_ne!(one.port(), other.port());
    let missing = other.sql("select * from mine").unwrap_err().to_string();
    assert!(missing.contains("does not exist"), "{missing}");
    let version: u32 = one.sql("show server_version_num").unwrap().parse().unwrap();
    assert!(version >= 150_000);
}

#[test]
fn what_was_committed_is_there_after_a_stop_and_after_a_kill() {
    let mut server = Postgres::with(&PostgresOptions { durable: true, ..PostgresOptions::default() }).unwrap();
    let url = server.url();
    server.sql("create table kept (n int); insert into kept values (1)").unwrap();
    server.stop().unwrap();
    assert!(!server.is_running() && server.sql("select 1").is_err());
    server.start_again().unwrap();
    server.sql("insert into kept values (2)").unwrap();
    server.kill().unwrap();
    assert!(!server.is_running() && server.sql("select 1").is_err());
    server.start_again().unwrap();
    assert_eq!(server.sql("select sum(n) from kept").unwrap(), "3");
    assert_eq!(server.url(), url);
}

#[test]
fn a_frozen_server_answers_once_it_is_thawed() {
    let server = Postgres::start().unwrap();
    server.freeze().unwrap();
    let url = server.url();
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| server.psql(&url, &["-c", "select 7"]));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!answer.is_finished(), "a frozen server answered");
        server.thaw().unwrap();
        assert_eq!(answer.join().unwrap().unwrap(), "7");
    });
}

#[test]
fn a_server_with_a_certificate_takes_no_plain_connection() {
    let authority = TestAuthority::new().unwrap();
    let tls = Some(authority.server("127.0.0.1").unwrap());
    let server = Postgres::with(&PostgresOptions { tls, ..PostgresOptions::default() }).unwrap();
    assert_eq!(server.sql("select ssl from pg_stat_ssl where pid = pg_backend_pid()").unwrap(), "t");
    let plain = server.psql(&format!("{}?sslmode=disable", server.url()), &["-c", "select 1"]);
    assert!(plain.unwrap_err().to_string().contains("no encryption"));
}

#[test]
fn nothing_is_left_of_a_dropped_server_not_even_of_a_frozen_one() {
    let server = Postgres::start().unwrap();
    let port = server.port();
    let folder = server.sql("show data_directory").unwrap();
    server.freeze().unwrap();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!Path::new(&folder).exists());
    let left = Command::new("pgrep").args(["-f", &folder]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}
