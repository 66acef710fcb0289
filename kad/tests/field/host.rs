//! The host under a daemon: suspend, changed addresses and links.
