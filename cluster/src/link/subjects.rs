//! What the subjects between nodes are called: one prefix per boot, so that what was meant for an earlier life of a node
//! reaches nobody.

use std::fmt::Write as _;

use crate::boot::BootId;

/// The subjects of one deployment, as one node uses them.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    /// `holdfast.<deployment>.node.`
    nodes: String,
    /// This node's, with the dot behind it.
    own: String,
}

impl Subjects {
    pub(super) fn new(deployment: &str, boot: BootId) -> Self {
        let nodes = format!("holdfast.{deployment}.node.");
        let own = format!("{nodes}{boot}.");
        Self { nodes, own }
    }

    /// Where the node of `boot` is asked.
    pub(super) fn ask(&self, boot: BootId) -> String {
        format!("{}{boot}.ask", self.nodes)
    }

    /// Where the node of `boot` is told.
    pub(super) fn tell(&self, boot: BootId) -> String {
        format!("{}{boot}.tell", self.nodes)
    }

    /// Where all answers to this node go.
    pub(super) fn answers(&self) -> String {
        format!("{}answer.*", self.own)
    }

    /// Where the answer to one command of this node goes. Its name is in it, as the word that nobody listens has no content.
    pub(super) fn answer(&self, command: u128) -> String {
        let mut subject = String::with_capacity(self.own.len() + 39);
        subject.push_str(&self.own);
        // Writing to a string does not fail.
        let _ = write!(subject, "answer.{command:032x}");
        subject
    }

    /// The command that an answer's subject names.
    pub(super) fn command(&self, subject: &str) -> Option<u128> {
        let id = subject.strip_prefix(self.own.as_str())?.strip_prefix("answer.")?;
        u128::from_str_radix(id, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_its_command_and_nobody_elses() {
        let boot = BootId::from_bytes([9; 16]);
        let subjects = Subjects::new("shop", boot);
        assert_eq!(subjects.ask(boot), "holdfast.shop.node.09090909090909090909090909090909.ask");
        let subject = subjects.answer(0xabc);
        assert_eq!(subjects.command(&subject), Some(0xabc));
        let other = Subjects::new("shop", BootId::from_bytes([8; 16]));
        assert_eq!(other.command(&subject), None);
        assert_eq!(subjects.command("holdfast.shop.node.answer.+1"), None);
    }
}
