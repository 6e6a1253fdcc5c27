//! What a server that cannot start says: one line that names the setting, port, folder, file and offset, and what to do.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::load::scratch::ScratchFolder;
use holdfast_tests::{House, binary};

/// How long a program that does not leave is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the program until it leaves. A server that should have refused and did not leaves when its input closes.
fn holdfast(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary::holdfast()?);
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (input, (finished, watchdog)) = (child.stdin.take(), mpsc::channel::<()>());
    thread::spawn(move || {
        let _ = watchdog.recv_timeout(PATIENCE);
        drop(input);
    });
    let output = child.wait_with_output();
    drop(finished);
    Ok(output?)
}

fn serve(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let local = ["serve", "--leave-with-parent", "--admin-listen", "127.0.0.1:0", "--data", "data"];
    holdfast(folder, &[&local, arguments].concat())
}

/// The last line of what it said on standard error.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_busy_port_names_itself() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "test")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let output = serve(folder.path(), &["--listen", &address])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(last_words(&output).contains(&address), "{}", last_words(&output));
    assert!(!folder.path().join("data").exists(), "the data folder was touched");
    Ok(())
}

#[test]
fn a_bad_setting_names_itself_and_leaves_with_2() -> anyhow::Result<()> {
    let folder = ScratchFolder::new(None, "test")?;
    for (set, word) in [
        ("store.shards=1025", "shards"),
        ("limits.body_bytes=1", "limits.body_bytes"),
        ("runtime.no_such_thing=1", "no_such_thing"),
        ("admin.token=short", "admin.token"),
    ] {
        let output = serve(folder.path(), &["--listen", "127.0.0.1:0", "--set", set])
            .map(|output| (output.status.code(), last_words(&output)))?;
        assert!(output.0 == Some(2) && output.1.contains(word), "{set}: {output:?}");
        let output = holdfast(folder.path(), &["config", "check", "--set", set])?;
        assert_eq!(output.status.code(), Some(2), "config check: {set}: {output:?}");
    }
    assert!(holdfast(folder.path(), &["config", "check"])?.status.success());
    assert!(!folder.path().join("data").exists(), "the data folder was touched");
    Ok(())
}

#[test]
fn a_folder_in_use_names_itself() -> anyhow::Result<()> {
    let house = House::open()?;
    let output = serve(house.folder(), &["--listen", "127.0.0.1:0"])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = last_words(&output);
    assert!(words.contains("data"), "{words}");
    Ok(())
}

/// The newest segment file of a folder's journal that has records.
fn segment(folder: &Path) -> anyhow::Result<PathBuf> {
    let output = holdfast(folder, &["journal", "inspect", "--json", "--data", "data"])?;
    let text = String::from_utf8(output.stdout)?;
    let segments = text.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>()?;
    let used = segments.into_iter().rfind(|segment| !segment["first_lsn"].is_null()).context("a segment in use")?;
    Ok(folder.join(used["path"].as_str().context("a path")?))
}

/// In the middle of the journal, where it is no unfinished write.
#[tokio::test]
async fn a_flipped_bit_in_the_journal_refuses_to_start_and_names_the_place() -> anyhow::Result<()> {
    let mut house = House::open()?;
    for number in 0..20 {
        house.put_up(&format!("BIT-{number}"), 10).await?;
    }
    house.kill();
    let intact = holdfast(house.folder(), &["journal", "verify", "--json", "--data", "data"])?;
    assert!(intact.status.success(), "{intact:?}");

    let path = segment(house.folder())?;
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(1_000))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(1_000))?;
    file.write_all(&[byte[0] ^ 0x10])?;

    let before = fs::read(&path)?;
    let output = serve(house.folder(), &["--listen", "127.0.0.1:0"])?;
    let (words, name) = (last_words(&output), path.file_name().and_then(|name| name.to_str()).unwrap_or_default());
    println!("{words}");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(words.contains(name) && words.contains("offset"), "{words}");
    assert!(fs::read(&path)? == before, "a damaged journal was changed");

    let verify = holdfast(house.folder(), &["journal", "verify", "--json", "--data", "data"])?;
    assert_eq!(verify.status.code(), Some(1), "{verify:?}");
    let found: serde_json::Value = serde_json::from_slice(&verify.stdout)?;
    assert_eq!(found["intact"], false);
    assert!(found["damage"].as_str().is_some_and(|damage| damage.contains(name)), "{found}");
    Ok(())
}
