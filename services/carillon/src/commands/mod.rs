//! Commands that do one thing and end.

mod admin;
mod doctor;
mod folder;
mod remote;
mod target;

use std::{path::Path, process::ExitCode};

use crate::{
    cli::{Command, ConfigCommand, DATA_DIR},
    config::Config,
    output,
};

/// The configuration. If it names no stores, those of `carillon dev` in this folder are used.
fn beside_dev(config: Config) -> Config {
    folder::complete(config, Path::new(DATA_DIR))
}

/// Runs a command that is no role.
pub(crate) async fn run(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Send(args) => remote::send(args).await?,
        Command::Events(command) => remote::events(command).await?,
        Command::Deliveries(command) => remote::deliveries(command).await?,
        Command::Dlq(command) => remote::dlq(command).await?,
        Command::Catalog(command) => admin::catalog(command, &beside_dev(config)).await?,
        Command::Keys(command) => admin::keys(command, &beside_dev(config)).await?,
        Command::Topics(command) => admin::topics(command, &config).await?,
        Command::ReadModel(command) => admin::read_model(command, &config).await?,
        Command::Config(ConfigCommand::Check) => {
            // The output can be read back as TOML, because its first line is a comment.
            output::say(&format!(
                "# The configuration is valid.\n\n{}",
                toml::to_string(&config)?
            ));
        }
        Command::Doctor { json } => return doctor::run(config, json).await,
        Command::Dev(_)
        | Command::All
        | Command::Gateway
        | Command::Router
        | Command::Worker { .. }
        | Command::Templates
        | Command::Tracker
        | Command::Simulator
        | Command::Completions { .. } => anyhow::bail!("a role is no command"),
    }
    Ok(ExitCode::SUCCESS)
}
