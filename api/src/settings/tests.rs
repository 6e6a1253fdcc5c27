//! Where a setting may come from, which wins, and what is refused.

use super::*;

fn load(files: &[&str], environment: &[(&str, &str)], overrides: &[(&str, &str)]) -> Result<Settings, String> {
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let files = files.iter().enumerate().map(|(index, text)| {
        let path = folder.path().join(format!("{index}.toml"));
        std::fs::write(&path, text).expect("written");
        path
    });
    let sources = Sources { files: files.collect(), environment: pairs(environment), overrides: pairs(overrides) };
    Settings::load(&sources).map_err(|error| error.to_string())
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_files_and_those_over_defaults() {
    let files =
        ["[limits]\nbody_bytes = 1000\nconnections = 11\nstreams = 5\njson_depth = 7", "[limits]\nbody_bytes = 2000"];
    let environment = [("HOLDFAST__LIMITS__BODY_BYTES", "3000"), ("HOLDFAST__LIMITS__CONNECTIONS", "12")];
    let settings = load(&files, &environment, &[("limits.body_bytes", "4000")]).expect("loads");
    assert_eq!(settings.limits.body_bytes, 4_000);
    assert_eq!(settings.limits.connections, 12);
    assert_eq!(settings.limits.json_depth, 7);
    assert_eq!(settings.limits.headers, LimitSettings::default().headers);
}

#[test]
fn an_unknown_setting_is_refused_by_name_wherever_it_comes_from() {
    let error = load(&["[limits]\nbody_bites = 1"], &[], &[]).expect_err("refused");
    assert!(error.contains("body_bites") && error.contains("limits"), "{error}");
    let error = load(&[], &[("HOLDFAST__SERVER__LISSTEN", "x")], &[]).expect_err("refused");
    assert!(error.contains("lissten"), "{error}");
    let error = load(&[], &[], &[("serverr.listen", "x")]).expect_err("refused");
    assert!(error.contains("serverr"), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_or_range_names_its_setting() {
    let error = load(&["[limits]\nbody_bytes = \"many\""], &[], &[]).expect_err("refused");
    assert!(error.contains("body_bytes"), "{error}");
    let error = load(&["[limits]\njson_depth = 0"], &[], &[]).expect_err("refused");
    assert!(error.contains("limits.json_depth"), "{error}");
    let error = load(&["[server]\nlisten = \"nowhere\""], &[], &[]).expect_err("refused");
    assert!(error.contains("listen"), "{error}");
}

#[test]
fn a_secret_may_come_from_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "a-very-secret-admin-token-0123456789\n").expect("written");
    let path = path.to_string_lossy().into_owned();
    let settings = load(&[], &[("HOLDFAST__ADMIN__TOKEN_FILE", &path)], &[]).expect("loads");
    assert!(settings.admin.token.as_ref().is_some_and(|token| token.matches("a-very-secret-admin-token-0123456789")));
    let shown = settings.to_redacted_toml().expect("shown") + &format!("{settings:?}");
    assert!(!shown.contains("very-secret"), "{shown}");
    let error = load(&[], &[("HOLDFAST__ADMIN__TOKEN_FILE", "/nowhere/token")], &[]).expect_err("refused");
    assert!(error.contains("/nowhere/token") && error.contains("TOKEN_FILE"), "{error}");
}

#[test]
fn the_password_of_the_database_is_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("url");
    std::fs::write(&path, "postgresql://shop:hush@db.example.com/shop\n").expect("written");
    let path = path.to_string_lossy().into_owned();
    let settings = load(&[], &[("HOLDFAST__POSTGRES__URL_FILE", &path)], &[]).expect("loads");
    let shown = settings.to_redacted_toml().expect("shown") + &format!("{settings:?}");
    assert!(shown.contains("db.example.com") && !shown.contains("hush"), "{shown}");
    let error = load(&["[postgres]\nurl = \"mysql://shop:hush@db\""], &[], &[]).expect_err("refused");
    assert!(error.contains("postgresql://") && !error.contains("hush"), "{error}");
    let error = load(&[], &[("HOLDFAST__POSTGRES__URL", "postgresql://shop:hush@db:x/shop")], &[]);
    let error = error.expect_err("refused");
    assert!(error.contains("postgres.url") && !error.contains("hush"), "{error}");
}

#[test]
fn a_weak_admin_token_is_refused() {
    let error = load(&[], &[("HOLDFAST__ADMIN__TOKEN", "short")], &[]).expect_err("refused");
    assert!(error.contains("admin.token"), "{error}");
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    for filter in ["holdfast_api=loud", "info,=,", "[", "a=b=c"] {
        let error = load(&[], &[], &[("log.filter", filter)]).expect_err(filter);
        assert!(error.contains("log.filter"), "{error}");
    }
    for filter in ["warn,holdfast_api=debug", "off", ""] {
        assert!(load(&[], &[], &[("log.filter", filter)]).is_ok(), "{filter}");
    }
}

#[test]
fn buyers_and_operators_do_not_share_an_address() {
    let both = |address| load(&[], &[], &[("server.listen", address), ("admin.listen", address)]);
    let error = both("127.0.0.1:8080").expect_err("refused");
    assert!(error.contains("admin.listen"), "{error}");
    assert!(both("127.0.0.1:0").is_ok());
}

#[test]
fn the_file_we_ship_lists_every_setting_with_its_default_and_explains_it() {
    let file = include_str!("../../../config/holdfast.toml");
    let shown = |settings: &Settings| settings.to_redacted_toml().expect("shown");
    assert_eq!(shown(&load(&[file], &[], &[]).expect("loads")), shown(&Settings::default()));
    let keys = |text: &str| -> Vec<String> {
        let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
        let mut keys: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).filter_map(key).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(file), keys(&shown(&Settings::default())));
    assert_explained(file);
}

/// A setting follows a comment, or a setting that does.
fn assert_explained(file: &str) {
    let mut is_explained = false;
    for line in file.lines() {
        is_explained = line.starts_with('#') || (is_explained && !line.is_empty() && !line.starts_with('['));
        assert!(is_explained || line.is_empty() || line.starts_with('['), "{line} is not explained");
    }
}

#[test]
fn the_file_for_a_cluster_explains_every_setting_of_its_two_sections_and_a_node_starts_with_it() {
    let file = include_str!("../../../config/cluster.toml");
    let environment = [("HOLDFAST__CLUSTER__NODE", "n2"), ("HOLDFAST__STORE__PATH", "data/n2")];
    let settings = load(&[file], &environment, &[]).expect("a node starts with it");
    assert_eq!((settings.cluster.node.as_str(), settings.store.path.to_str()), ("n2", Some("data/n2")));
    // Said by the file, because it cannot be the default; everything else in the two sections is.
    let cluster = ClusterSettings {
        node: "n2".to_owned(),
        admin_url: "http://127.0.0.1:9090".to_owned(),
        ..ClusterSettings::default()
    };
    let nats = NatsSettings { url: settings.nats.url.clone(), ..NatsSettings::default() };
    assert_eq!((&settings.cluster, &settings.nats), (&cluster, &nats));
    let keys = |text: &str, section: &str| -> Vec<String> {
        let lines = text.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
        let key = |line: &str| line.split_once(" = ").map(|(key, _)| key.to_owned());
        let mut keys: Vec<_> = lines.filter(|line| !line.starts_with('#')).filter_map(key).collect();
        keys.sort();
        keys
    };
    let all = Settings::default().to_redacted_toml().expect("shown");
    for section in ["[cluster]", "[nats]"] {
        assert!(!keys(&all, section).is_empty(), "{section}");
        assert_eq!(keys(file, section), keys(&all, section), "{section}");
    }
    assert_explained(file);
}

#[test]
fn every_file_we_ship_is_read() {
    let files = [include_str!("../../../config/holdfast.toml"), include_str!("../../../config/production.toml")];
    let settings = load(&files, &[], &[]).expect("loads");
    assert_eq!((settings.log.format, settings.deadlines.unready_ms), (LogFormat::Json, 2_000));
}

#[test]
fn the_defaults_are_sensible_and_shown_settings_can_be_read_again() {
    let shown = Settings::default().to_redacted_toml().expect("shown");
    assert_eq!(load(&[&shown], &[], &[]), Ok(Settings::default()));
}

#[test]
fn a_new_folder_gets_two_shards_a_worker_and_a_store_in_nats_the_same_number_everywhere() {
    let of_new = |workers| {
        let mut settings = Settings::default();
        settings.server.worker_threads = workers;
        let options = settings.store_options();
        (options.shards, options.shards_of_new)
    };
    assert_eq!([1, 3, 8, 9, 1_024].map(of_new), [(0, 2), (0, 6), (0, 16), (0, 16), (0, 16)]);
    let mut settings = Settings::default();
    settings.server.worker_threads = 1;
    settings.nats.url = "nats://127.0.0.1:4222".to_owned();
    assert_eq!(settings.store_options().shards_of_new, 16);
    settings.store.shards = 5;
    assert_eq!(settings.store_options().shards, 5);
}
