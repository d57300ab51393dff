//! The benchmarks. Each alternates between our stage and its bare limit.

mod backlog;
mod deliver;
mod e2e;
mod failover;
mod hops;
mod ingest;
mod lanes;
mod project;
mod render;
mod route;
mod scale;
mod waiting;

use clap::ValueEnum;

use crate::{backend::Backend, measure::Report};

/// A benchmark's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// `POST /v1/events`, beside a handler that parses and answers, and a producer of the same records.
    Ingest,
    /// The router's stage, beside a step that copies bytes.
    Route,
    /// Rendering, beside handlebars on the same templates.
    Render,
    /// The workers' stage into a sink, beside a loop of requests.
    Deliver,
    /// Statuses into the read model, beside the database's fastest write of the same rows.
    Project,
    /// The whole path from a post to the provider, beside a loop of requests.
    E2e,
    /// The first account of a channel dies and comes back.
    Failover,
    /// A record on the bus alone, hop by hop.
    Hops,
    /// One-time passwords while a campaign drains, beside the same without the campaign.
    Lanes,
    /// A long backlog, beside a short one.
    Backlog,
    /// More workers against a slow provider, beside linear scaling.
    Scale,
    /// A million events that wait, then all of them due within a minute.
    Waiting,
}

/// The amount of measuring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// The number of pairs of our stage and the bare limit.
    pub(crate) pairs: usize,
    /// The divisor of amounts. Above 1, a run only shows that the benchmark works and loses nothing.
    pub(crate) divisor: usize,
}

impl Effort {
    /// An amount, scaled down, but at least `least`.
    pub(crate) fn amount(self, full: usize, least: usize) -> usize {
        (full / self.divisor).max(least)
    }
}

/// Runs a benchmark.
pub(crate) fn run(name: Name, backend: &Backend, effort: Effort) -> anyhow::Result<Report> {
    match name {
        Name::Ingest => ingest::run(backend, effort),
        Name::Route => route::run(backend, effort),
        Name::Render => render::run(backend, effort),
        Name::Deliver => deliver::run(backend, effort),
        Name::Project => project::run(backend, effort),
        Name::E2e => e2e::run(backend, effort),
        Name::Failover => failover::run(backend, effort),
        Name::Hops => hops::run(backend, effort),
        Name::Lanes => lanes::run(backend, effort),
        Name::Backlog => backlog::run(backend, effort),
        Name::Scale => scale::run(backend, effort),
        Name::Waiting => waiting::run(backend, effort),
    }
}
