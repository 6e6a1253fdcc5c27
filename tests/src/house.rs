//! A server with its folder. Whatever a test does, the process and the folder are gone when the house is dropped.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::load::{
    order::fresh_run,
    scratch::ScratchFolder,
    server_process::{Launch, ServerProcess},
    shop::{Shop, Units},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::binary;

/// A running server.
pub struct House {
    // The order matters: the server goes before its folder does.
    server: Option<ServerProcess>,
    launch: Launch,
    shop: Shop,
    folder: ScratchFolder,
}

impl House {
    /// A server with default settings on an empty folder.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn open() -> anyhow::Result<Self> {
        Self::with_settings(&[])
    }

    /// A server with these settings, such as `("RUNTIME__MAILBOX_PERMITS", "4")`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn with_settings(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::prepared(settings, |_| Ok(()))
    }

    /// The same, after `prepare` has put something into the house's folder; the data is in its subfolder `data`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn prepared(
        settings: &[(&str, &str)],
        prepare: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        Self::launched(settings, |folder, _| prepare(folder))
    }

    /// The same, where `prepare` may change how the server is started as well.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn launched(
        settings: &[(&str, &str)],
        prepare: impl FnOnce(&Path, &mut Launch) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = ScratchFolder::new(None, "test")?;
        let token = format!("{}{}", fresh_run()?, fresh_run()?);
        let launch = Launch::shop(binary::holdfast()?, folder.path(), &token);
        let mut launch = settings.iter().fold(launch, |launch, (name, value)| launch.with_setting(name, value));
        prepare(folder.path(), &mut launch)?;
        let server = launch.start().context("the server under test")?;
        launch.pin(server.ready());
        let shop = Shop::new(server.target(), Some(token));
        Ok(Self { server: Some(server), launch, shop, folder })
    }

    /// The server seen with the admin's eyes.
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The house's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How the server is started.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// How the server is started the next time.
    pub fn launch_mut(&mut self) -> &mut Launch {
        &mut self.launch
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Waits up to `patience` for the server to leave by itself. Returns how it left, if it did.
    ///
    /// # Errors
    /// When it was not running.
    pub async fn left(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let mut server = self.server.take().context("the server is not running")?;
        let waited = tokio::task::spawn_blocking(move || (server.wait(patience), server)).await?;
        let (status, server) = waited;
        if status.is_none() {
            self.server = Some(server);
        }
        Ok(status)
    }

    /// The running server.
    ///
    /// # Errors
    /// When it was killed and not started again.
    pub fn server(&self) -> anyhow::Result<&ServerProcess> {
        self.server.as_ref().context("the server is not running")
    }

    /// Puts up a plain product with `units` units.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn put_up(&self, sku: &str, units: u64) -> anyhow::Result<()> {
        Ok(self.shop.put_up(&Shop::plain_product(sku, units)).await?)
    }

    /// The units of a SKU, waiting up to ten seconds until no payment is under way any more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn settled_units(&self, sku: &str) -> anyhow::Result<Units> {
        for _ in 0..200 {
            let units = self.shop.units(sku).await?;
            if units.held == 0 {
                return Ok(units);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(self.shop.units(sku).await?)
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    /// Starts the server again where it was. Returns how long it took until it took requests.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<Duration> {
        self.kill();
        let (launch, watch) = (self.launch.clone(), holdfast_api::load::stopwatch::Stopwatch::start());
        self.server = Some(tokio::task::spawn_blocking(move || launch.start()).await?.context("after a restart")?);
        Ok(watch.elapsed())
    }

    /// SIGTERM, and waits up to `patience` for the server to leave. Returns how it left, if it did.
    ///
    /// # Errors
    /// When it cannot be signaled.
    pub async fn terminate(&mut self, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let mut server = self.server.take().context("the server is not running")?;
        let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::TERM).context("cannot signal the server")?;
        Ok(tokio::task::spawn_blocking(move || server.wait(patience)).await?)
    }
}
