//! `serve`: the server, until SIGTERM or Ctrl-C.

use std::{num::NonZeroUsize, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use holdfast_api::{
    load::server_process::Ready,
    serve::{EndSignals, Server},
    telemetry, workers,
};

use super::{parent, settings::SettingsArguments};

/// Flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    settings: SettingsArguments,
    /// Write the addresses and the process id to this file, as JSON, once requests are taken.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    parent: parent::ParentArguments,
}

/// Runs the server.
pub(crate) fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let settings = arguments.settings.load()?;
    telemetry::init_logging(&settings.log)?;
    arguments.parent.watch();
    let threads = NonZeroUsize::new(settings.server.workers());
    let runtime = workers::runtime(threads).context("the operating system gave no threads")?;
    let served = runtime.block_on(async {
        let mut signals = EndSignals::listen()?;
        let server = tokio::select! {
            started = Server::start(settings) => started.context("cannot start the server")?,
            () = signals.received() => {
                tracing::info!("ended while it started: nothing was taken yet");
                return Ok(());
            }
        };
        if let Some(path) = &arguments.ready_file {
            let ready =
                Ready { public: server.public_addr(), admin: Some(server.admin_addr()), pid: std::process::id() };
            ready.write(path).with_context(|| format!("cannot write {} (--ready-file)", path.display()))?;
        }
        Ok(server.run_until(&mut signals).await?)
    });
    // Whatever still runs past the drain's deadline is not waited for: the journal has everything that was acknowledged.
    runtime.shutdown_background();
    served
}
