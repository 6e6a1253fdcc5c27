//! The flags that are settings, shared by the commands that read settings.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use holdfast_api::settings::{Settings, Sources};

/// Flags beat the environment (`HOLDFAST__SECTION__KEY`), which beats files, which beat the defaults.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingsArguments {
    /// A settings file; may be given several times, a later one wins. Default: config/holdfast.toml, if it exists.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The address buyers reach (`server.listen`); port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The address operators reach (`admin.listen`).
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen: Option<String>,
    /// The data folder (`store.path`).
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Any setting, as section.key=value; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

impl SettingsArguments {
    /// The settings, read and checked.
    pub(crate) fn load(self) -> anyhow::Result<Settings> {
        let mut overrides = self.set;
        let mut flag = |key: &str, value: Option<String>| {
            overrides.extend(value.map(|value| (key.to_owned(), value)));
        };
        flag("server.listen", self.listen);
        flag("admin.listen", self.admin_listen);
        if let Some(data) = self.data {
            let path = data.to_str().context("--data is not a Unicode path")?;
            flag("store.path", Some(path.to_owned()));
        }
        Ok(Settings::load(&Sources::of_process(self.config, overrides))?)
    }
}

/// Reads `section.key=value`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.contains('.') => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected section.key=value".to_owned()),
    }
}
