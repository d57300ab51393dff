//! `carillon-e2e`: the fault suite. A whole Carillon works under a steady load while its processes and its services are
//! killed, frozen and emptied; afterwards nothing may be missing, and nothing may have been doubled in silence.
//!
//! Everything that happens is drawn from a seed: the same seed, backend, length and rate give the same faults and the
//! same events again.
#![expect(clippy::print_stdout, reason = "the run's story is what this program is for")]

mod api;
mod args;
mod console;
mod events;
mod house;
mod load;
mod plan;
mod probe;
mod providers;
mod recoveries;
mod run;
mod services;
mod strike;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed();
    println!("seed {seed}");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("carillon-e2e: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let violations = match runtime.block_on(run::run(&args, seed)) {
        Ok(violations) => violations,
        Err(error) => {
            eprintln!("carillon-e2e: seed {seed}: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if violations.is_empty() {
        println!("seed {seed}: passed");
        return ExitCode::SUCCESS;
    }
    println!("seed {seed}: FAILED, {} violations", violations.len());
    for violation in violations.iter().take(SHOWN) {
        println!("  - {violation}");
    }
    if violations.len() > SHOWN {
        println!("  - … and {} more", violations.len() - SHOWN);
    }
    ExitCode::FAILURE
}

/// How many violations are printed.
const SHOWN: usize = 40;
