//! Nodes that ask each other over a real NATS server: two or three in one process, sharing nothing else. Who owns which shard
//! is set by hand here, so that every turn of events can be had; each node has a journal of its own.

mod asking;
mod checkout;
mod faults;
mod house;
