//! The server's answers are those of a shop that does one thing at a time: histories of concurrent clients, through
//! hang-ups, `kill -9` and lapsing holds, are each put into one order that explains every answer.
//!
//! [`hand_made`] shows that the checker refuses what it must; [`recorded`] is the server.

mod hand_made;
mod recorded;
