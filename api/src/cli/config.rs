//! `config`: what the server would run with.

use clap::Subcommand;

use super::{console, settings::SettingsArguments};

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every setting with its value, as TOML; secrets are not shown.
    Show(SettingsArguments),
    /// Say whether a server would take the settings; the first that is wrong is named, with exit code 2.
    Check(SettingsArguments),
}

/// Runs the command.
pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Show(arguments) => console::say(arguments.load()?.to_redacted_toml()?.trim_end()),
        ConfigCommand::Check(arguments) => {
            arguments.load()?;
            console::say("the settings are good")
        }
    }
}
