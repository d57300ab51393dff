//! Test support: isolated databases and topic prefixes, builders, waiting for conditions.
