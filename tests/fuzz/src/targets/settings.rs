//! Settings: a TOML file, and overrides as the command line gives them.
//!
//! Must hold: settings that are taken are shown in a form that is read as the same settings; a refusal says why in a message
//! of bounded size.

use std::cell::RefCell;

use holdfast_api::{Settings, SettingsError, Sources};
use tempfile::TempDir;

/// What settings are made of.
pub(crate) const WORDS: &[&[u8]] = &[
    b"[limits]\n",
    b"[server]\n",
    b"[store.journal]\n",
    b"[runtime]\n",
    b"[payments]\n",
    b"[log]\n",
    b"[admin]\n",
    b"body_bytes = ",
    b"listen = \"",
    b"= 0x7fffffffffffffff",
    b"= 9223372036854775807",
    b"= -1",
    b"= 1e400",
    b"= nan",
    b"= inf",
    b"= \"\"\"",
    b"= {",
    b"= [",
    b"[[",
    b"a.b.c.d = 1\n",
    b"#=limits.streams=1\n",
    b"'''",
    b"\\u0000",
    b"= 1979-05-27T07:32:00Z",
    b"[[[[[[[[",
];

/// Where a line begins that is an override and not of the file: `#=section.key=value`.
const OVERRIDE: &str = "#=";

thread_local! {
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let pair = |line: &str| line.strip_prefix(OVERRIDE)?.split_once('=').map(|(key, value)| (key.into(), value.into()));
    let overrides: Vec<(String, String)> = text.lines().filter_map(pair).collect();
    match load(text, overrides) {
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() <= 4_096 + 16 * bytes.len(), "{} bytes: {said}", said.len());
        }
        Ok(mut settings) => {
            // A secret is not shown.
            settings.admin.token = None;
            let shown = settings.to_redacted_toml().unwrap_or_else(|error| panic!("{settings:?}: {error}"));
            let again = load(&shown, Vec::new());
            assert!(again.as_ref().is_ok_and(|again| *again == settings), "{shown}\nis read as {again:?}");
        }
    }
}

fn load(text: &str, overrides: Vec<(String, String)>) -> Result<Settings, SettingsError> {
    FOLDER.with_borrow_mut(|folder| {
        let folder = match folder {
            Some(folder) => folder,
            none => none.insert(tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"))),
        };
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Settings::load(&Sources { files: vec![path], environment: Vec::new(), overrides })
    })
}
