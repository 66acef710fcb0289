//! See the library.
#![no_std]
#![no_main]

footprint::client!(client_16);
