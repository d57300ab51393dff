//! `carillon <role>`: wires roles and contains no logic of its own.

mod check;
mod cli;
mod commands;
mod config;
mod dev;
mod folder_lock;
mod foundation;
mod output;
mod private;
mod roles;
mod users_folder;

use std::{path::Path, process::ExitCode, time::Duration};

use carillon_domain::visible::visible_lines;
use carillon_runtime::{
    Lifecycle, Shutdown, causes,
    config::{Layers, Reading, environment, listen, load_with_mistakes, peek},
    http::{self, HttpConfig},
    os_sentence,
    telemetry::{self, LogFormat},
};
use carillon_simulator::{Simulator, SimulatorError};
use clap::{CommandFactory as _, Parser as _};

use crate::{
    cli::{Cli, Command, ConfigCommand, DevArgs},
    config::Config,
};

/// jemalloc retains less memory after bursts than glibc's arenas.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The longest wait for work on blocking threads after all roles have ended.
const BLOCKING_GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => return answered(&answer),
    };
    let format = log_format(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("carillon: the runtime does not start: {}", os_sentence(&error));
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(cli));
    // Work on a blocking thread cannot be stopped, so the process waits for it no longer than this.
    runtime.shutdown_timeout(BLOCKING_GRACE);
    match ended {
        Ok(code) => code,
        Err(error) if format == LogFormat::Json => {
            let error = causes(error.as_ref());
            if tracing::dispatcher::has_been_set() {
                tracing::error!(error, "carillon ends");
            } else {
                telemetry::last_words(format, &error);
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            // The error may contain text from a server.
            eprintln!("carillon: {}", visible_lines(&causes(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Prints clap's answer: help, the version, or an error, which repeats words of the command line.
fn answered(answer: &clap::Error) -> ExitCode {
    if !answer.use_stderr() {
        answer.exit();
    }
    eprint!("{}", visible_lines(&answer.render().to_string()));
    // clap's code of a wrong command line.
    ExitCode::from(2)
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Some(Command::Completions { shell }) = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "carillon", &mut script);
        output::write(&script)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Ready { url }) = &cli.command {
        let url = url.clone().map_or_else(|| listening(&cli), Ok)?;
        return commands::ready(&url).await;
    }
    let config = read_config(&cli)?;
    private::create_for_this_user_alone();
    match cli.command.unwrap_or_else(|| Command::Dev(DevArgs::default())) {
        Command::Dev(args) => {
            let telemetry = telemetry::init(&config.telemetry, "carillon")?;
            let ended = dev::run(config, args, telemetry.metrics()).await;
            telemetry.finish();
            ended.map(|()| ExitCode::SUCCESS)
        }
        Command::Simulator => simulate(config).await,
        other => match other.roles() {
            roles if roles.is_empty() => commands::run(other, config).await,
            roles => serve(config, &roles).await,
        },
    }
}

/// The format in which a role logs why it ends, even if the rest of its configuration cannot be read. Other
/// commands print for people.
fn log_format(cli: &Cli) -> LogFormat {
    let is_role = !matches!(&cli.command, Some(command) if !command.is_role());
    let configured = is_role.then(|| peek(layers(cli, ()), "telemetry.log_format"));
    configured.flatten().unwrap_or_default()
}

/// The layers of the configuration; `carillon.toml` of this folder is read unless another file is named.
fn layers<T>(cli: &Cli, defaults: T) -> Layers<'_, T> {
    let here = Path::new("carillon.toml");
    Layers {
        defaults,
        file: cli.config.as_deref().or_else(|| here.exists().then_some(here)),
        environment: environment(),
        flags: cli.set.clone(),
    }
}

/// The URL of the process with the settings of this command line. The other settings need not be readable.
fn listening(cli: &Cli) -> anyhow::Result<String> {
    let Some(written) = peek::<String>(layers(cli, ()), "http.listen") else {
        return Ok(format!("http://{}", HttpConfig::default().listen));
    };
    let listen = listen::parse(&written).map_err(|expected| anyhow::anyhow!("http.listen: {expected}"))?;
    Ok(format!("http://{}", listen::reachable(listen)))
}

/// Reads the configuration, and checks the settings that the command uses. The error has all mistakes.
fn read_config(cli: &Cli) -> anyhow::Result<Config> {
    let Reading { config, mistakes } = load_with_mistakes(layers(cli, Config::default()))?;
    match &cli.command {
        Some(Command::Config(ConfigCommand::Check)) => check::of_all(&config, mistakes)?,
        Some(command) if !command.roles().is_empty() => {
            check::of_roles(&config, &command.roles(), mistakes)?;
        }
        _ => check::of_settings(&config, mistakes)?,
    }
    Ok(config)
}

/// Runs roles of the distributed mode until a signal.
async fn serve(config: Config, roles: &[roles::ProcessRole]) -> anyhow::Result<ExitCode> {
    let service = match roles {
        [role] => role.service_name(),
        _ => "carillon",
    };
    let telemetry = telemetry::init(&config.telemetry, service)?;
    check::warn(&config, roles);
    let shutdown = Shutdown {
        stall_limit: config.shutdown.stall_limit,
        ..Shutdown::default()
    };
    let grace = config.shutdown.grace;
    let listener = roles::bind(config.http.listen, "http.listen")?;
    let foundation = foundation::Foundation::connect(config, telemetry.metrics(), shutdown).await?;
    // From here on the lifecycle handles signals. Before, they end a process that is waiting for its stores.
    let mut lifecycle = Lifecycle::new(foundation.shutdown.clone(), grace);
    roles::spawn(&foundation, roles, listener, &mut lifecycle)?;
    let ended = lifecycle.run().await;
    foundation.store.close().await;
    telemetry.finish();
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Runs only the provider simulator.
async fn simulate(config: Config) -> anyhow::Result<ExitCode> {
    let telemetry = telemetry::init(&config.telemetry, "carillon-simulator")?;
    let shutdown = Shutdown::new();
    let mut lifecycle = Lifecycle::new(shutdown.clone(), config.shutdown.grace);
    let settings = config.simulator_config();
    let (smtp, apns) = (settings.smtp_listen, settings.apns_listen);
    let operations = http::operations(roles::simulator_readiness(), telemetry.metrics());
    let starting = Simulator::start(settings, operations, shutdown.soft.clone()).await;
    let simulator = starting.map_err(|error| match error {
        SimulatorError::Listen { address, source } => {
            let option = if address == smtp {
                "simulator.smtp_listen"
            } else if address == apns {
                "simulator.apns_listen"
            } else {
                "simulator.listen"
            };
            roles::taken(address, option, &source)
        }
        error => error.into(),
    })?;
    tracing::info!(http = %simulator.http_addr(), smtp = %simulator.smtp_addr(),
        apns = %simulator.apns_addr(), "the simulator listens");
    lifecycle.spawn("simulator", async move { Ok(simulator.finished().await?) });
    let ended = lifecycle.run().await;
    telemetry.finish();
    ended?;
    Ok(ExitCode::SUCCESS)
}
