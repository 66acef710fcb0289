//! See the library.
#![no_std]
#![no_main]

footprint::node!(node_64);
