//! What `deploy/compose.yaml` puts together fits: its settings are settings that a node takes, its addresses name services that
//! are there, and the files it mounts exist.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, ensure};
use holdfast_api::settings::{Settings, Sources};
use serde_yaml_ng::Value;

fn deploy() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn compose() -> anyhow::Result<Value> {
    let mut compose: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(deploy().join("compose.yaml"))?)?;
    compose.apply_merge()?;
    Ok(compose)
}

fn names(mapping: &Value) -> anyhow::Result<BTreeSet<String>> {
    let mapping = mapping.as_mapping().with_context(|| format!("a mapping: {mapping:?}"))?;
    mapping.keys().map(|name| Ok(name.as_str().context("a name")?.to_owned())).collect()
}

/// The variables of a service, with the secrets' files replaced by ones that are there.
fn environment(service: &Value, secrets: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let variables = service["environment"].as_mapping().context("variables")?;
    variables
        .iter()
        .map(|(name, value)| {
            let (name, value) = (name.as_str().context("a name")?, value.as_str().context("a text")?);
            let value = match value.strip_prefix("/run/secrets/") {
                Some(secret) => {
                    let given = service["secrets"].as_sequence().context("secrets")?;
                    ensure!(given.iter().any(|given| given.as_str() == Some(secret)), "{name}: {secret} is not given");
                    secrets.join(secret).display().to_string()
                }
                None => value.to_owned(),
            };
            Ok((name.to_owned(), value))
        })
        .collect()
}

/// The settings a node of `compose.yaml` starts with.
fn node(compose: &Value, name: &str) -> anyhow::Result<Settings> {
    let folder = tempfile::tempdir()?;
    for secret in names(&compose["secrets"])? {
        std::fs::write(folder.path().join(&secret), "0123456789abcdef0123456789abcdef\n")?;
    }
    let sources = Sources {
        files: vec![deploy().join("../config/cluster.toml")],
        environment: environment(&compose["services"][name], folder.path())?,
        overrides: Vec::new(),
    };
    Settings::load(&sources).with_context(|| format!("the settings of {name}"))
}

#[test]
fn the_nodes_of_the_deployment_start_with_settings_that_fit_each_other_and_the_services_beside_them()
-> anyhow::Result<()> {
    let compose = compose()?;
    let services = names(&compose["services"])?;
    let nodes: Vec<_> =
        services.iter().filter(|name| compose["services"][name.as_str()]["command"][0] == "serve").collect();
    ensure!(nodes == ["n1", "n2", "n3"], "the nodes are {nodes:?}");
    let first = node(&compose, "n1")?;
    for name in nodes {
        let settings = node(&compose, name)?;
        ensure!(&settings.cluster.node == name, "{name} is called {}", settings.cluster.node);
        ensure!(settings.cluster.admin_url == format!("http://{name}:{}", settings.admin.listen.port()), "{name}");
        ensure!(settings.admin.token.is_some() && !settings.admin.listen.ip().is_loopback(), "{name}");
        // But for the node itself they are all set up the same.
        let mut same = settings.clone();
        same.cluster = first.cluster.clone();
        same.store.secret_file.clone_from(&first.store.secret_file);
        same.postgres.password_file.clone_from(&first.postgres.password_file);
        ensure!(same == first, "{name} differs from n1");
        for url in settings.nats.url.split(',').map(|url| url.trim_start_matches("nats://")) {
            let (host, port) = url.split_once(':').context("host:port")?;
            ensure!(services.contains(host) && port == "4222", "{name}: {url} is no service");
        }
        ensure!(settings.nats.replicas == 3 && settings.nats.monitors.split(',').count() == 3, "{name}");
        let gateway = &compose["services"]["gateway"]["command"];
        ensure!(gateway[0] == "gateway" && gateway[2] == "0.0.0.0:9095", "{gateway:?}");
        ensure!(settings.payments.sandbox.url == "http://gateway:9095", "{}", settings.payments.sandbox.url);
        let database = settings.postgres.url.as_ref().context("a database")?.to_string();
        ensure!(services.contains("postgres") && database.contains("@postgres/"), "{database}");
    }
    Ok(())
}

#[test]
fn what_the_deployment_mounts_and_waits_for_is_there() -> anyhow::Result<()> {
    let compose = compose()?;
    let (services, volumes) = (names(&compose["services"])?, names(&compose["volumes"])?);
    let mut own = BTreeSet::new();
    for name in &services {
        let service = &compose["services"][name.as_str()];
        for mount in service["volumes"].as_sequence().context("volumes")? {
            let source = mount.as_str().and_then(|mount| mount.split(':').next()).context("a mount")?;
            let is_there =
                if source.starts_with('.') { deploy().join(source).is_file() } else { volumes.contains(source) };
            ensure!(is_there, "{name} mounts {source}, which is not there");
            ensure!(source.starts_with('.') || own.insert(source.to_owned()), "{source} belongs to two services");
        }
        if let Some(build) = service["build"].as_mapping() {
            let dockerfile = build["dockerfile"].as_str().context("a Dockerfile")?;
            ensure!(deploy().join("..").join(dockerfile).is_file(), "{name}: {dockerfile}");
        }
        if let Some(awaited) = service["depends_on"].as_mapping() {
            for other in awaited.keys().filter_map(Value::as_str) {
                ensure!(services.contains(other), "{name} waits for {other}");
                ensure!(compose["services"][other]["healthcheck"].is_mapping(), "{other} never says it is healthy");
            }
        }
        ensure!(service["healthcheck"].is_mapping() && service["restart"] == "unless-stopped", "{name}");
    }
    ensure!(own == volumes, "volumes nobody uses: {own:?} of {volumes:?}");
    Ok(())
}

#[test]
fn the_nats_servers_of_the_deployment_are_what_a_start_asks_for() -> anyhow::Result<()> {
    let (compose, text) = (compose()?, std::fs::read_to_string(deploy().join("nats.conf"))?);
    let servers: Vec<_> = names(&compose["services"])?.into_iter().filter(|name| name.starts_with("nats")).collect();
    ensure!(servers == ["nats1", "nats2", "nats3"], "{servers:?}");
    for name in &servers {
        let service = &compose["services"][name.as_str()];
        ensure!(service["environment"]["NATS_NAME"] == name.as_str(), "{name}");
        let image = service["image"].as_str().context("an image")?;
        let version = image.trim_start_matches("nats:2.").split(|c: char| !c.is_ascii_digit()).next();
        ensure!(version.and_then(|minor| minor.parse::<u32>().ok()) >= Some(11), "{image} is too old");
        ensure!(text.contains(&format!("nats://{name}:6222")), "{name} is in no route");
    }
    // The server itself reads the file, as it would there.
    let program = holdfast_servers::nats_server()?;
    let checked = std::process::Command::new(program)
        .args(["-t", "-c"])
        .arg(deploy().join("nats.conf"))
        .env("NATS_NAME", "nats1")
        .output()?;
    let said = String::from_utf8_lossy(&checked.stderr);
    ensure!(checked.status.success(), "{said}");
    let settings: BTreeSet<&str> = text.lines().map(str::trim).collect();
    for setting in ["sync_interval: always", "max_payload: 8MB", "store_dir: /data", "server_name: $NATS_NAME"] {
        ensure!(settings.contains(setting), "{setting} is not set");
    }
    Ok(())
}
