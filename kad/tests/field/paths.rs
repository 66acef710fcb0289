//! Paths that take only small datagrams.
