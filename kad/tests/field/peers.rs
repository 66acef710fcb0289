//! Peers that die, move and return.
