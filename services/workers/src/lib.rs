//! Channel workers: one deliver stage, one Sender per provider.
