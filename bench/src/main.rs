//! `carillon-bench <name>`: our stages alternating with the bare machine in one run. Machines are noisy, so only
//! ratios within one run are meaningful.
#![expect(clippy::print_stdout, reason = "results")]

mod app;
mod backend;
mod bed;
mod benches;
mod load;
mod measure;

use std::{io::Write as _, path::PathBuf};

use clap::Parser;

use crate::{
    backend::{Backend, BackendName},
    benches::{Effort, Name},
};

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures stages of Carillon beside the bare machine.
#[derive(Debug, Parser)]
struct Args {
    /// The benchmarks to run; by default all.
    names: Vec<Name>,
    /// The storage under the benchmarks; may be repeated.
    #[arg(long, default_value = "embedded")]
    backend: Vec<BackendName>,
    /// The number of pairs of our stage and the bare limit.
    #[arg(long, default_value_t = 3)]
    pairs: usize,
    /// Runs a hundredth of everything once, to check that it works and loses nothing.
    #[arg(long)]
    smoke: bool,
    /// Appends a JSON line for each benchmark.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let effort = if args.smoke {
        Effort {
            pairs: 1,
            divisor: 100,
        }
    } else {
        Effort {
            pairs: args.pairs.max(1),
            divisor: 1,
        }
    };
    let names = if args.names.is_empty() {
        <Name as clap::ValueEnum>::value_variants()
    } else {
        &args.names
    };
    for name in names {
        for backend in &args.backend {
            let report = benches::run(*name, &Backend::open(*backend)?, effort)?;
            println!("{}", report.table());
            if let Some(path) = &args.json {
                let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
                writeln!(file, "{}", serde_json::to_string(&report)?)?;
            }
        }
    }
    Ok(())
}
