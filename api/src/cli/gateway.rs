//! `gateway`: the sandbox payment gateway, until SIGTERM or Ctrl-C.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use holdfast_api::{
    gateway::GatewayServer,
    load::server_process::Ready,
    serve::EndSignals,
    settings::{Settings, Sources},
    telemetry,
};

use super::{parent, settings::key_value};

/// Flags of `gateway`. They beat the environment, which beats files.
#[derive(Debug, Args)]
pub(crate) struct GatewayArguments {
    /// A settings file; may be given several times, a later one wins. Default: config/holdfast.toml, if it exists.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// The address the nodes reach (`gateway.listen`); port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The file that keeps its calls (`payments.sandbox.book`). Without one it forgets them at a restart.
    #[arg(long, value_name = "FILE")]
    book: Option<PathBuf>,
    /// Any setting, as section.key=value; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Write the address and the process id to this file, as JSON, once calls are taken.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    parent: parent::ParentArguments,
}

/// Runs the service.
pub(crate) fn run(arguments: GatewayArguments) -> anyhow::Result<()> {
    let GatewayArguments { config, listen, book, mut set, ready_file, parent } = arguments;
    set.extend(listen.map(|listen| ("gateway.listen".to_owned(), listen)));
    if let Some(book) = book {
        let path = book.to_str().context("--book is not a Unicode path")?;
        set.push(("payments.sandbox.book".to_owned(), path.to_owned()));
    }
    let settings = Settings::load(&Sources::of_process(config, set))?;
    telemetry::init_logging(&settings.log)?;
    parent.watch();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the operating system gave no threads")?;
    let served = runtime.block_on(async {
        let mut signals = EndSignals::listen()?;
        let server = tokio::select! {
            started = GatewayServer::start(settings) => started.context("cannot start the gateway")?,
            () = signals.received() => {
                tracing::info!("ended while it started: nothing was taken yet");
                return Ok(());
            }
        };
        if let Some(path) = &ready_file {
            let ready = Ready { public: server.addr(), admin: None, pid: std::process::id() };
            ready.write(path).with_context(|| format!("cannot write {} (--ready-file)", path.display()))?;
        }
        server.run_until(&mut signals).await;
        Ok(())
    });
    runtime.shutdown_background();
    served
}
