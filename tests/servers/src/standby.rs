//! A streaming standby: a second server that has what the first one has, a moment later, and can take its place.
//!
//! Invariant: it is a server of its own, with its own port and folder, and outlives the one it was made of.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail, ensure};

use crate::{
    account::Account,
    port,
    postgres::{Postgres, PostgresOptions},
    programs::Programs,
};

/// How long a standby may take to notice something, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl PostgresOptions {
    /// A server that standbys can follow.
    #[must_use]
    pub fn followed(mut self) -> Self {
        for (name, value) in [("wal_level", "replica"), ("max_wal_senders", "4"), ("wal_keep_size", "512MB")] {
            self.settings.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

impl Postgres {
    /// A standby that follows this server, which must be [`followed`](PostgresOptions::followed): it is copied while it runs, and
    /// what it commits from then on streams to the copy, without anybody waiting for that.
    ///
    /// # Errors
    /// When it cannot be copied, or the copy does not come up.
    pub fn standby(&self) -> anyhow::Result<Self> {
        let (programs, account) = (Programs::find()?, Account::find()?);
        let folder = tempfile::Builder::new().prefix("holdfast-standby-").tempdir().context("a folder")?;
        account.own(folder.path())?;
        let mut standby = Self { processes: None, programs, account, port: port::free()?, folder };
        let mut copy = standby.account.command(&standby.programs.path("pg_basebackup"));
        copy.args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "-d", &self.url()]);
        copy.arg("-D").arg(standby.data()).current_dir("/");
        let output = copy.output().context("cannot run pg_basebackup")?;
        ensure!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let settings = fs::read_to_string(standby.data().join("postgresql.auto.conf")).context("its settings")?;
        let follow = format!("{settings}primary_conninfo = '{} application_name=standby'\n", self.conninfo());
        standby.put(&standby.data().join("postgresql.auto.conf"), &follow)?;
        standby.put(&standby.data().join("standby.signal"), "")?;
        standby.start_again()?;
        Ok(standby)
    }

    /// Makes a standby stop listening to the server it follows: what that one commits from now on it does not hear of.
    ///
    /// # Errors
    /// When it goes on.
    pub fn stop_following(&self) -> anyhow::Result<()> {
        self.sql("ALTER SYSTEM SET primary_conninfo = ''")?;
        self.sql("SELECT pg_reload_conf()")?;
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            if self.sql("SELECT count(*) FROM pg_stat_wal_receiver")? == "0" {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("the standby still follows after {PATIENCE:?}:\n{}", self.log())
    }

    /// Makes a standby a server that takes writes.
    ///
    /// # Errors
    /// When it does not become one.
    pub fn promote(&self) -> anyhow::Result<()> {
        ensure!(self.sql("SELECT pg_promote()")? == "t", "the standby was not promoted:\n{}", self.log());
        Ok(())
    }

    /// The administrator's address in the words of a connection string.
    fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres password={}", self.port(), self.password())
    }
}
