//! The daemon as a process: signals, logs, files, the end.
