//! Where settings come from, in rising rank: defaults, files in the order given, the environment, flags.
//!
//! Nothing is read behind the caller's back: the environment is handed in, so tests need not change the process's own.

use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat};

use super::{Settings, SettingsError};

/// The file read when none is named and it exists, relative to the working folder.
pub const DEFAULT_FILE: &str = "config/holdfast.toml";

/// Where a variable begins that is a setting: `HOLDFAST__SECTION__KEY`.
const PREFIX: &str = "HOLDFAST__";

/// The settings that may be given as the content of a file: `HOLDFAST__ADMIN__TOKEN_FILE`.
const SECRETS: [&str; 2] = ["admin.token", "postgres.url"];

/// Everything settings are read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// TOML files; a later one wins. Each must exist.
    pub files: Vec<PathBuf>,
    /// The process's environment, whole; only variables with our prefix count.
    pub environment: Vec<(String, String)>,
    /// `section.key` and value, from the command line.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The sources of this process: `files`, or [`DEFAULT_FILE`] if none is named and it exists; the environment;
    /// flags.
    pub fn of_process(files: Vec<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        let files = match files {
            named if !named.is_empty() => named,
            _ if Path::new(DEFAULT_FILE).exists() => vec![PathBuf::from(DEFAULT_FILE)],
            none => none,
        };
        // A variable that is not Unicode cannot be one of ours.
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self { files, environment: std::env::vars_os().filter_map(text).collect(), overrides }
    }

    /// The settings, read but not yet checked.
    pub(super) fn read(&self) -> Result<Settings, SettingsError> {
        let mut builder = Config::builder();
        for path in &self.files {
            let text = std::fs::read_to_string(path).map_err(|source| SettingsError::File {
                path: path.display().to_string(),
                named_by: "--config".to_owned(),
                source,
            })?;
            // Handing the text over keeps `config` from guessing other endings; the name is for its messages.
            let named = File::from_str(&text, FileFormat::Toml);
            let checked = Config::builder().add_source(named.clone()).build().map_err(|error| in_file(path, &error))?;
            checked.try_deserialize::<Settings>().map_err(|error| in_file(path, &error))?;
            builder = builder.add_source(named);
        }
        for (key, value) in self.environment_settings()? {
            builder = builder.set_override(key, value)?;
        }
        for (key, value) in &self.overrides {
            builder = builder.set_override(key, value.as_str())?;
        }
        Ok(builder.build()?.try_deserialize()?)
    }

    /// `section.key` and value of every variable that is a setting; a `_FILE` variable stands for its file's content.
    fn environment_settings(&self) -> Result<Vec<(String, String)>, SettingsError> {
        let mut settings = Vec::new();
        for (name, value) in &self.environment {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            match key.strip_suffix("_file").filter(|secret| SECRETS.contains(secret)) {
                None => settings.push((key, value.clone())),
                Some(secret) => {
                    let content = std::fs::read_to_string(value).map_err(|source| SettingsError::File {
                        path: value.clone(),
                        named_by: name.clone(),
                        source,
                    })?;
                    settings.push((secret.to_owned(), content.trim_end_matches(['\r', '\n']).to_owned()));
                }
            }
        }
        Ok(settings)
    }
}

/// The error with the file it is about: the library knows only the text.
fn in_file(path: &Path, error: &config::ConfigError) -> SettingsError {
    SettingsError::Read(format!("{}: {error}", path.display()))
}
