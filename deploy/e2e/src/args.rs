//! The command line.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

/// Runs Carillon under load, kills its processes and services, and checks that each guarantee was kept.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) suite: Option<Suite>,
    /// The storage under Carillon.
    #[arg(long, default_value = "embedded", global = true)]
    pub(crate) backend: Backend,
    /// The seed of all random choices; by default a random one.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// The duration of load and faults, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(10..))]
    seconds: u64,
    /// Events a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) rate: u32,
    /// The `carillon` binary; by default the one beside this program.
    #[arg(long, global = true)]
    carillon: Option<PathBuf>,
}

/// A suite other than the fault suite.
#[derive(Debug, Subcommand)]
pub(crate) enum Suite {
    /// Attacks an installation from outside, and checks that other tenants are served meanwhile.
    Attacks(AttackArgs),
    /// Replays dead letters while the process that does it is killed, and checks that each goes out exactly once.
    Replays(ReplayArgs),
    /// Sends deliveries over six providers, each of which fails in every way for a share of them. Checks that each
    /// delivery ends as it must.
    Outcomes(OutcomeArgs),
}

/// Options of the attack suite.
#[derive(Debug, clap::Args)]
pub(crate) struct AttackArgs {
    /// Only attacks whose names contain one of these.
    pub(crate) names: Vec<String>,
    /// The factor by which time limits are extended, for a debug build on a shared machine.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) slack: f64,
    /// The time for which other tenants are watched during each attack, in seconds.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=600))]
    length: u64,
}

impl AttackArgs {
    /// The time for which other tenants are watched during each attack.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.length)
    }
}

/// Options of the replay suite.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The number of dead letters.
    #[arg(long, default_value_t = 50_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub(crate) letters: usize,
    /// The most kills; they end with the job.
    #[arg(long, default_value_t = 20)]
    pub(crate) kills: usize,
}

/// Options of the outcome suite.
#[derive(Debug, clap::Args)]
pub(crate) struct OutcomeArgs {
    /// The number of deliveries.
    #[arg(long, default_value_t = 50_000, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(300..=150_000))]
    pub(crate) deliveries: usize,
}

/// The storage under Carillon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// One process with embedded storage.
    Embedded,
    /// One process for each role, on Kafka, PostgreSQL and Redis servers of this run.
    Real,
}

impl Args {
    /// The given seed, or a random one.
    pub(crate) fn seed(&self) -> u64 {
        // A short number is easier to type.
        self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()))
    }

    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The path of the binary; the error says how to build it.
    pub(crate) fn binary(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.carillon {
            return path
                .canonicalize()
                .with_context(|| format!("--carillon {}", path.display()));
        }
        let own = std::env::current_exe().context("where this program lies")?;
        let path = own.with_file_name("carillon");
        let flag = if own.parent().is_some_and(|folder| folder.ends_with("release")) {
            " --release"
        } else {
            ""
        };
        anyhow::ensure!(
            path.is_file(),
            "there is no {}; build it with `cargo build{flag} -p carillon`, or name one with --carillon",
            path.display()
        );
        Ok(path)
    }
}

impl Backend {
    pub(crate) fn is_real(self) -> bool {
        self == Self::Real
    }
}
