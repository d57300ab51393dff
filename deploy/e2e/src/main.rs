//! `carillon-e2e`: the fault suite, with `attacks` the attack suite, with `replays` the replay suite, and with `outcomes` the outcome suite
//! (see the modules of these names). In the fault suite a whole Carillon works under a steady load while its processes and services are
//! killed, frozen and emptied. Afterwards nothing may be missing, and nothing may have been doubled silently.
//!
//! All faults and events are drawn from a seed: the same seed, backend, length and rate give the same faults and
//! events.
#![expect(clippy::print_stdout, reason = "the run's story is what this program is for")]

mod api;
mod args;
mod attacks;
mod console;
mod events;
mod house;
mod load;
mod outcomes;
mod plan;
mod probe;
mod providers;
mod recoveries;
mod replays;
mod run;
mod services;
mod strike;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Suite};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("carillon-e2e: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (name, violations) = match &args.suite {
        Some(Suite::Attacks(attacks)) => (
            "attacks".to_owned(),
            runtime.block_on(attacks::run(&args, attacks)),
        ),
        Some(Suite::Replays(replays)) => {
            let seed = args.seed();
            println!("seed {seed}");
            (
                format!("replays, seed {seed}"),
                runtime.block_on(replays::run(&args, replays, seed)),
            )
        }
        Some(Suite::Outcomes(outcomes)) => {
            let seed = args.seed();
            println!("seed {seed}");
            (
                format!("outcomes, seed {seed}"),
                runtime.block_on(outcomes::run(&args, outcomes, seed)),
            )
        }
        None => {
            let seed = args.seed();
            println!("seed {seed}");
            (format!("seed {seed}"), runtime.block_on(run::run(&args, seed)))
        }
    };
    let violations = match violations {
        Ok(violations) => violations,
        Err(error) => {
            eprintln!("carillon-e2e: {name}: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if violations.is_empty() {
        println!("{name}: passed");
        return ExitCode::SUCCESS;
    }
    println!("{name}: FAILED, {} violations", violations.len());
    for violation in violations.iter().take(SHOWN) {
        println!("  - {violation}");
    }
    if violations.len() > SHOWN {
        println!("  - … and {} more", violations.len() - SHOWN);
    }
    ExitCode::FAILURE
}

/// The most violations that are printed.
const SHOWN: usize = 40;
