//! What a node says to a request: a status, and what belongs to it.

use holdfast_actors::message::Outcome;
use holdfast_persistence::{decode_value, encode_value};

use super::WireError;
use crate::boot::BootId;

/// An answer. Whatever it is but an outcome, this attempt did nothing.
#[derive(Debug)]
pub enum Answer {
    /// How the command ended here, now or in an earlier attempt.
    Outcome(Outcome),
    /// The shard is not the answering node's in the epoch that was asked. It never carried the command out in that epoch, and
    /// never will.
    Moved {
        /// The latest epoch it knows of.
        epoch: u64,
        /// Whose that is, where it knows.
        boot: Option<BootId>,
    },
    /// The request is of another version.
    Version,
    /// The answering node does not know whether it still owns the shard.
    Isolated,
    /// The request's time was over.
    Late,
}

const OUTCOME: u8 = 0;
const MOVED: u8 = 1;
const VERSION: u8 = 2;
const ISOLATED: u8 = 3;
const LATE: u8 = 4;

impl Answer {
    /// As it travels.
    ///
    /// # Errors
    /// [`WireError::Body`] when the outcome cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WireError> {
        Ok(match self {
            Self::Outcome(outcome) => {
                let mut bytes = Vec::with_capacity(256);
                bytes.push(OUTCOME);
                encode_value(outcome, &mut bytes)?;
                bytes
            }
            Self::Moved { epoch, boot } => {
                let mut bytes = vec![MOVED];
                bytes.extend_from_slice(&epoch.to_le_bytes());
                if let Some(boot) = boot {
                    bytes.extend_from_slice(&boot.to_bytes());
                }
                bytes
            }
            Self::Version => vec![VERSION],
            Self::Isolated => vec![ISOLATED],
            Self::Late => vec![LATE],
        })
    }

    /// Reads what [`Answer::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`WireError`] when it is no answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let cut_short = || WireError::CutShort(bytes.len());
        let (status, body) = bytes.split_first().ok_or_else(cut_short)?;
        match (*status, body) {
            (OUTCOME, body) => Ok(Self::Outcome(decode_value(body)?)),
            (MOVED, body) => {
                let (epoch, boot) = body.split_first_chunk().ok_or_else(cut_short)?;
                let boot = match boot {
                    [] => None,
                    boot => Some(BootId::from_bytes(boot.try_into().map_err(|_| cut_short())?)),
                };
                Ok(Self::Moved { epoch: u64::from_le_bytes(*epoch), boot })
            }
            (VERSION, []) => Ok(Self::Version),
            (ISOLATED, []) => Ok(Self::Isolated),
            (LATE, []) => Ok(Self::Late),
            (status, _) => Err(WireError::Kind(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_actors::{CommandError, Unavailable, message::Reply};

    use super::*;

    fn again(answer: &Answer) -> Answer {
        Answer::from_bytes(&answer.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn every_answer_is_read_back() {
        let boot = BootId::from_bytes([7; 16]);
        let moved = again(&Answer::Moved { epoch: 9, boot: Some(boot) });
        assert!(matches!(moved, Answer::Moved { epoch: 9, boot: Some(read) } if read == boot), "{moved:?}");
        assert!(matches!(again(&Answer::Moved { epoch: 9, boot: None }), Answer::Moved { epoch: 9, boot: None }));
        assert!(matches!(again(&Answer::Version), Answer::Version));
        assert!(matches!(again(&Answer::Isolated), Answer::Isolated));
        assert!(matches!(again(&Answer::Late), Answer::Late));
        assert!(matches!(again(&Answer::Outcome(Ok(Reply::Done))), Answer::Outcome(Ok(Reply::Done))));
        let refused = CommandError::Unavailable { reason: Unavailable::Moving, retry_after_ms: 5 };
        let read = again(&Answer::Outcome(Err(refused.clone())));
        assert!(matches!(&read, Answer::Outcome(Err(error)) if *error == refused), "{read:?}");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bytes in
            [&[][..], &[MOVED], &[MOVED, 1, 2], &[MOVED, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[LATE, 0], &[9], &[0], &[0, 9]]
        {
            assert!(Answer::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
