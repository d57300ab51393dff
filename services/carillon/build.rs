//! Sets the commit and the day of the build for `carillon --version`.

use std::{env, process::Command};

use chrono::{DateTime, Utc};

fn main() {
    println!("cargo::rustc-env=BUILD={}, built {}", commit(), day());
    for name in ["BUILD_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Each commit and checkout appends a line to this file.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The commit. `BUILD_COMMIT` sets it for builds outside of the repository, as in the image.
fn commit() -> String {
    let named = env::var("BUILD_COMMIT").ok().filter(|name| !name.is_empty());
    named
        .or_else(|| git(&["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown commit".to_owned())
}

/// Today, or the day of `SOURCE_DATE_EPOCH`, which makes builds reproducible.
#[expect(clippy::disallowed_methods, reason = "a build script has no clock")]
fn day() -> String {
    let epoch = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    let time = epoch.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.unwrap_or_else(Utc::now).format("%Y-%m-%d").to_string()
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
