//! Commands that end by themselves.

mod activity;
mod admin;
mod books;
mod dlq;
mod doctor;
mod folder;
mod readiness;
mod remote;
pub(crate) mod secrets;
mod simulate;
mod source_outbox;
mod source_try;
mod suppressions;
mod target;

use std::process::ExitCode;

pub(crate) use readiness::ready;

use crate::{
    check,
    cli::{Command, ConfigCommand, SourceCommand},
    config::Config,
    output, roles,
};

/// Runs a command that is not a role.
pub(crate) async fn run(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Send(args) => remote::send(args).await?,
        Command::Simulate(args) => simulate::run(args).await?,
        Command::Events(command) => remote::events(command).await?,
        Command::Activity(args) => activity::run(args).await?,
        Command::Decisions(args) => remote::decisions(args).await?,
        Command::Deliveries(command) => remote::deliveries(command).await?,
        Command::Dlq(command) => dlq::run(command).await?,
        Command::Suppressions(command) => return suppressions::run(command).await,
        Command::Catalog(command) => admin::catalog(command, config).await?,
        Command::Keys(command) => admin::keys(command, config).await?,
        Command::Source(SourceCommand::Try {
            folder,
            file,
            topic,
            json,
        }) => return source_try::run(&folder, &file, &topic, json),
        Command::Source(SourceCommand::Outbox(args)) => source_outbox::run(args, config).await?,
        Command::Users(command) => admin::users(command, config).await?,
        Command::Topics(command) => admin::topics(command, config).await?,
        Command::Books(command) => books::run(command, config).await?,
        Command::ReadModel(command) => admin::read_model(command, config).await?,
        Command::Setup { folder, stores } => admin::setup(&folder, &stores, &config).await?,
        Command::Secrets { folder, owner } => secrets::generate(&folder, owner)?,
        Command::Config(ConfigCommand::Check) => {
            // The output can be read back as TOML, because its sentences are comments.
            let warnings = check::warnings(&config, &roles::ALL);
            let warnings = warnings.iter().map(|warning| format!("# Warning: {warning}."));
            let head: Vec<String> = std::iter::once("# The configuration is valid.".to_owned())
                .chain(warnings)
                .collect();
            output::say(&format!("{}\n\n{}", head.join("\n"), toml::to_string(&config)?))?;
        }
        Command::Doctor { url, json, stores } => {
            return doctor::run(config, url.as_deref(), json, &stores).await;
        }
        Command::Dev(_)
        | Command::All
        | Command::Gateway
        | Command::Router
        | Command::Worker { .. }
        | Command::Templates
        | Command::Tracker
        | Command::Scheduler
        | Command::Simulator
        | Command::Ready { .. }
        | Command::Completions { .. } => anyhow::bail!("only commands that end by themselves are run here"),
    }
    Ok(ExitCode::SUCCESS)
}
