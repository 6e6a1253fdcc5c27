//! What a power cut leaves: all that is certain, and of the rest whatever the cut says.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;

use super::disk::{self, Change, Disk, Node, NodeId, ROOT};
use crate::dice::Dice;

/// What becomes of the changes that were not synced.
#[derive(Debug, Clone)]
pub enum Cut {
    /// All are there: what a kill of the process leaves.
    Nothing,
    /// None is there.
    Everything,
    /// Each is there or not, in any combination: the disk wrote them in an order of its own.
    Reordered(Dice),
    /// Of each write any pieces of so many bytes are there, or not: the disk wrote those pieces only.
    Torn(Dice, usize),
}

impl Cut {
    /// The cut of a seed: every kind has its turn.
    pub fn of_seed(seed: u64) -> Self {
        let random = Dice::new(seed);
        match seed % 5 {
            0 => Self::Everything,
            1 => Self::Reordered(random),
            2 => Self::Torn(random, 4_096),
            3 => Self::Torn(random, 512),
            _ => Self::Nothing,
        }
    }

    fn keeps(&mut self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Everything => false,
            Self::Reordered(random) | Self::Torn(random, _) => random.coin(),
        }
    }

    /// Applies of a change what the cut left of it.
    fn apply(&mut self, change: &Change, bytes: &mut Vec<u8>) {
        match (self, change) {
            (Self::Torn(random, piece_bytes), Change::Write(offset, data)) => {
                let (mut at, mut rest) = (*offset, data.as_slice());
                while !rest.is_empty() {
                    // Pieces begin where the disk's do, not where the write does.
                    let (piece, after) = rest.split_at(rest.len().min(*piece_bytes - at % *piece_bytes));
                    if random.coin() {
                        disk::write(bytes, at, piece);
                    }
                    at += piece.len();
                    rest = after;
                }
            }
            (cut, change) => {
                if cut.keeps() {
                    change.apply(bytes);
                }
            }
        }
    }
}

impl Disk {
    /// Puts into the folder `target` what the disk holds after this cut.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn cut_into(&self, target: &Path, cut: &mut Cut) -> anyhow::Result<()> {
        self.lay_out(ROOT, target, cut)
    }

    /// How many changes are not certain yet.
    pub fn unsynced(&self) -> usize {
        let unsynced = self.nodes.iter().map(|node| match node {
            Node::File(kept) => kept.unsynced.len(),
            Node::Folder { kept, .. } => kept.unsynced.len(),
        });
        unsynced.sum()
    }

    fn lay_out(&self, node: NodeId, target: &Path, cut: &mut Cut) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", target.display());
        match &self.nodes[node] {
            Node::File(kept) => {
                let mut bytes = kept.certain.clone();
                for change in &kept.unsynced {
                    cut.apply(change, &mut bytes);
                }
                fs::write(target, bytes).with_context(failed)
            }
            Node::Folder { kept, .. } => {
                let mut names: BTreeMap<_, _> = kept.certain.clone();
                for naming in &kept.unsynced {
                    if cut.keeps() {
                        naming.apply(&mut names);
                    }
                }
                fs::create_dir_all(target).with_context(failed)?;
                names.iter().try_for_each(|(name, node)| self.lay_out(*node, &target.join(name), cut))
            }
        }
    }
}
