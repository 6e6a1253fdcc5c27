//! The cluster on real servers, its nodes the real binary. One program for all of it: a house spends most of its time waiting
//! for what it has done to itself to be noticed, so several stand side by side.

mod edge;
mod live_stock;
mod nodes;
mod outages;
mod tags;
mod upheavals;
