//! The one binary: wires roles, holds no logic.

fn main() {}
