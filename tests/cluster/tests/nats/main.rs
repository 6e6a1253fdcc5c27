//! The journal in NATS on real servers, without nodes. One program for all of it, as most tests wait for servers.

mod archive;
mod control;
mod faults;
mod journal;
mod shared;
mod start;
