//! A disk that forgets: what a recording's files hold for certain, and what they may hold, at any instant.
//!
//! Invariants, all as strict as POSIX allows: a change of a file is certain once a sync of that file that began after it
//! has returned; a name is certain once its folder was synced in the same way; a sync of a file says nothing about names;
//! `sync_file_range` says nothing at all.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, ensure};

use super::recording::Entry;

/// The number of a file or folder on this disk.
pub(super) type NodeId = usize;

/// The watched folder itself.
pub(super) const ROOT: NodeId = 0;

/// A change of a file's contents.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// These bytes, from this one on.
    Write(usize, Vec<u8>),
    /// Exactly this length.
    Length(usize),
    /// At least this length.
    LeastLength(usize),
}

/// A change of a folder's names.
#[derive(Debug, Clone)]
pub(super) enum Naming {
    /// The name stands for this.
    Link(String, NodeId),
    /// The name stands for nothing.
    Unlink(String),
    /// The first name goes, the second stands for what it stood for.
    Move(String, String, NodeId),
}

/// What is certain, and the changes since, oldest first.
#[derive(Debug)]
pub(super) struct Kept<T, C> {
    pub(super) certain: T,
    pub(super) unsynced: Vec<C>,
    /// How many changes became certain so far.
    settled: usize,
}

/// A file or folder.
#[derive(Debug)]
pub(super) enum Node {
    File(Kept<Vec<u8>, Change>),
    Folder { kept: Kept<BTreeMap<String, NodeId>, Naming>, now: BTreeMap<String, NodeId> },
}

/// The disk, as far as the recording was played.
#[derive(Debug)]
pub struct Disk {
    pub(super) nodes: Vec<Node>,
    numbers: HashMap<u32, NodeId>,
    syncs: HashMap<u64, (NodeId, usize)>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { nodes: vec![Node::folder()], numbers: HashMap::new(), syncs: HashMap::new() }
    }
}

impl Disk {
    /// An empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays one entry.
    ///
    /// # Errors
    /// When it does not fit what came before.
    pub fn play(&mut self, entry: &Entry) -> anyhow::Result<()> {
        match entry {
            Entry::Open { file, name, is_new, is_folder } => self.open(*file, name, *is_new, *is_folder)?,
            Entry::Write { file, offset, data } => {
                self.change(*file, Change::Write(usize::try_from(*offset)?, data.clone()))?;
            }
            Entry::Truncate { file, bytes } => self.change(*file, Change::Length(usize::try_from(*bytes)?))?,
            Entry::Allocate { file, bytes } => self.change(*file, Change::LeastLength(usize::try_from(*bytes)?))?,
            Entry::SyncBegin { file, sync } => {
                let node = self.node(*file)?;
                let covers = self.nodes[node].changes();
                self.syncs.insert(*sync, (node, covers));
            }
            Entry::SyncEnd { sync } => {
                let (node, covers) = self.syncs.remove(sync).context("a sync that never began")?;
                self.nodes[node].settle(covers);
            }
            Entry::Rename { from, to } => self.rename(from, to)?,
            Entry::Unlink { name } => {
                let (folder, last) = self.place(name)?;
                self.name(folder, Naming::Unlink(last.to_owned()))?;
            }
            Entry::MakeFolder { name } if name == "." => {}
            Entry::MakeFolder { name } => self.make(name, Node::folder()).map(drop)?,
            Entry::Answer { .. } => {}
        }
        Ok(())
    }

    fn open(&mut self, file: u32, name: &str, is_new: bool, is_folder: bool) -> anyhow::Result<()> {
        let node = match self.find(name) {
            Some(node) => node,
            None if is_new && !is_folder => self.make(name, Node::File(Kept::default()))?,
            None => anyhow::bail!("{name} was there before the recording began"),
        };
        self.numbers.insert(file, node);
        Ok(())
    }

    fn make(&mut self, name: &str, node: Node) -> anyhow::Result<NodeId> {
        let (folder, last) = self.place(name)?;
        self.nodes.push(node);
        let made = self.nodes.len() - 1;
        self.name(folder, Naming::Link(last.to_owned(), made))?;
        Ok(made)
    }

    fn rename(&mut self, from: &str, to: &str) -> anyhow::Result<()> {
        let node = self.find(from).with_context(|| format!("{from} was renamed and is not there"))?;
        let ((old_folder, old), (new_folder, new)) = (self.place(from)?, self.place(to)?);
        if old_folder == new_folder {
            return self.name(old_folder, Naming::Move(old.to_owned(), new.to_owned(), node));
        }
        self.name(new_folder, Naming::Link(new.to_owned(), node))?;
        self.name(old_folder, Naming::Unlink(old.to_owned()))
    }

    fn change(&mut self, file: u32, change: Change) -> anyhow::Result<()> {
        let node = self.node(file)?;
        match &mut self.nodes[node] {
            Node::File(kept) => kept.unsynced.push(change),
            Node::Folder { .. } => anyhow::bail!("a folder was written to"),
        }
        Ok(())
    }

    fn name(&mut self, folder: NodeId, naming: Naming) -> anyhow::Result<()> {
        let Node::Folder { kept, now } = &mut self.nodes[folder] else { anyhow::bail!("a file has names in it") };
        naming.apply(now);
        kept.unsynced.push(naming);
        Ok(())
    }

    fn node(&self, file: u32) -> anyhow::Result<NodeId> {
        self.numbers.get(&file).copied().with_context(|| format!("file {file} was never opened"))
    }

    /// What a name stands for now.
    fn find(&self, name: &str) -> Option<NodeId> {
        if name == "." {
            return Some(ROOT);
        }
        name.split('/').try_fold(ROOT, |folder, part| match &self.nodes[folder] {
            Node::Folder { now, .. } => now.get(part).copied(),
            Node::File(_) => None,
        })
    }

    /// The folder a name is in, and its last part.
    fn place<'name>(&self, name: &'name str) -> anyhow::Result<(NodeId, &'name str)> {
        let (folder, last) = name.rsplit_once('/').unwrap_or((".", name));
        ensure!(!last.is_empty() && last != ".", "{name} is no name");
        Ok((self.find(folder).with_context(|| format!("{name} is in a folder that is not there"))?, last))
    }
}

impl Node {
    fn folder() -> Self {
        Self::Folder { kept: Kept::default(), now: BTreeMap::new() }
    }

    /// How many changes there were so far.
    fn changes(&self) -> usize {
        match self {
            Self::File(kept) => kept.settled + kept.unsynced.len(),
            Self::Folder { kept, .. } => kept.settled + kept.unsynced.len(),
        }
    }

    /// Makes the first `covered` changes certain.
    fn settle(&mut self, covered: usize) {
        match self {
            Self::File(kept) => kept.settle(covered, |bytes, change| change.apply(bytes)),
            Self::Folder { kept, .. } => kept.settle(covered, |names, naming| naming.apply(names)),
        }
    }
}

impl<T: Default, C> Default for Kept<T, C> {
    fn default() -> Self {
        Self { certain: T::default(), unsynced: Vec::new(), settled: 0 }
    }
}

impl<T, C> Kept<T, C> {
    fn settle(&mut self, covered: usize, apply: impl Fn(&mut T, &C)) {
        let settling = covered.saturating_sub(self.settled).min(self.unsynced.len());
        for change in self.unsynced.drain(..settling) {
            apply(&mut self.certain, &change);
        }
        self.settled += settling;
    }
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => write(bytes, *offset, data),
            Self::Length(length) => bytes.resize(*length, 0),
            Self::LeastLength(length) => bytes.resize(bytes.len().max(*length), 0),
        }
    }
}

/// Writes into a file's bytes, which grow as they must.
pub(super) fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

impl Naming {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self {
            Self::Link(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Unlink(name) => drop(names.remove(name)),
            Self::Move(from, to, node) => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
        }
    }
}
