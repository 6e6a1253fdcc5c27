//! The demo: a flash sale with more buyers than units, a `kill -9` of the server in the middle of it and another at its
//! end, and then the proof, asked over HTTP: nothing oversold, no acknowledged order lost.
//!
//! It is no mock-up. The server is this same program in a process of its own on a real data folder, and the demo knows it
//! by HTTP only. Read in this order: [`catalog`] (what is sold), [`sale`] (the sale and the crash), [`audit`] (the proof),
//! [`result`] (what is shown).

pub mod audit;
pub mod buyer;
pub mod catalog;
mod meter;
pub mod narrator;
pub mod result;
pub mod sale;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::load::{
    flash_sale::FlashSaleError,
    scratch::{ScratchError, ScratchFolder},
    server_process::{Launch, LaunchError, ServerProcess},
    shop::{Shop, ShopError},
};

pub use narrator::Narrator;
pub use result::DemoResult;

/// What to stage.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// This program.
    pub program: PathBuf,
    /// Units on sale.
    pub units: u64,
    /// Buyers, each wanting one unit.
    pub buyers: u64,
    /// Connections they come over.
    pub connections: usize,
    /// How far ahead the sale opens.
    pub countdown: Duration,
    /// The public address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the data is kept afterwards; a temporary folder if none is named.
    pub data: Option<PathBuf>,
    /// Another catalog than the one that comes with the program.
    pub catalog: Option<PathBuf>,
}

/// A demo that could not be staged.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] catalog::CatalogError),
    /// No folder for the data.
    #[error(transparent)]
    Folder(#[from] ScratchError),
    /// The folder named for the data has something in it.
    #[error("{} is not empty: the demo keeps its data in a new folder, and tells nothing of what was there before", .0.display())]
    NotNew(PathBuf),
    /// The folder named for the data cannot be looked into.
    #[error("cannot look into {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server did not start, or not again after it was killed.
    #[error("the server did not come up")]
    Launch(#[from] LaunchError),
    /// A call failed.
    #[error("a call to the server failed")]
    Shop(#[from] ShopError),
    /// No randomness for keys and tokens.
    #[error("the operating system has no randomness")]
    Randomness(#[from] getrandom::Error),
    /// The sale did not end.
    #[error("the sale did not end within {0:?}: {1}")]
    Endless(Duration, String),
    /// The demo's own server thread died.
    #[error("restarting the server was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl From<FlashSaleError> for DemoError {
    fn from(error: FlashSaleError) -> Self {
        match error {
            FlashSaleError::Shop(error) => Self::Shop(error),
            FlashSaleError::Randomness(error) => Self::Randomness(error),
        }
    }
}

/// A demo that is over, with its server still running for whoever wants to look around.
pub struct Staged {
    /// What came out.
    pub result: DemoResult,
    /// The server, seen with the admin's eyes.
    pub shop: Shop,
    /// The admin token.
    pub admin_token: String,
    /// The SKU that was sold.
    pub sku: String,
    // The order matters: the server goes before its folder does.
    _server: ServerProcess,
    _folder: Option<ScratchFolder>,
}

/// Stages the demo from the empty folder to the result. Must be called in a tokio runtime.
///
/// # Errors
/// [`DemoError`]; the server and a temporary folder are gone then.
pub async fn stage(options: &DemoOptions, narrator: &Narrator) -> Result<Staged, DemoError> {
    let catalog = catalog::Catalog::load(options.catalog.as_deref())?;
    options.data.as_deref().map(require_new).transpose()?;
    let folder = if options.data.is_none() { Some(ScratchFolder::new(None, "demo")?) } else { None };
    let named = options.data.clone().unwrap_or_default();
    let path = folder.as_ref().map_or(named, |folder| folder.path().to_path_buf());
    let path = std::path::absolute(&path).unwrap_or(path);
    let admin_token = format!("demo-{}{}", crate::load::order::fresh_run()?, crate::load::order::fresh_run()?);
    let mut launch = Launch::shop(options.program.clone(), &path, &admin_token);
    launch.listen = options.listen;
    let server = start(launch.clone()).await?;
    launch.pin(server.ready());
    narrator.say(format!("the server is up at http://{} (process {})", server.ready().public, server.pid()));
    let shop = Shop::new(server.target(), Some(admin_token.clone()));
    let opened = sale::Sale::open(options, &catalog, shop.clone(), narrator).await?;
    let sku = opened.sku().to_owned();
    let (result, server) = opened.run(options, server, launch, narrator).await?;
    Ok(Staged { result, shop, admin_token, sku, _server: server, _folder: folder })
}

/// Refuses a folder with anything in it: its books would be counted as the demo's.
fn require_new(path: &Path) -> Result<(), DemoError> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Ok(true) => Err(DemoError::NotNew(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(DemoError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Starts a server without holding up whatever else is going on.
async fn start(launch: Launch) -> Result<ServerProcess, DemoError> {
    Ok(tokio::task::spawn_blocking(move || launch.start()).await??)
}
