//! Workers, stores and bursts that fail.
