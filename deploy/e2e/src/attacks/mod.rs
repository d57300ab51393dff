//! The attack suite. A tenant, or a client without a key, attacks from outside. During each attack each process has to
//! answer `/healthz` within half a second, and another tenant's one-time password has to arrive within two seconds. No
//! process may take more than 500 MB, and all processes have to end within the grace time after a signal.
//!
//! Attacks run one after another on the same installation. During each attack the installation is ended by SIGINT and
//! started again, so that it has to process the records that the attack left in the log.

mod attacker;
mod bodies;
mod connections;
mod errors;
mod floods;
mod guard;
mod kafka;
mod providers;
mod schemas;
mod stage;
mod templates;

use std::{future::Future, pin::Pin, time::Duration};

use anyhow::Context as _;

use self::{
    attacker::Attacker,
    guard::{Guard, Seen},
    stage::Stage,
};
use crate::{
    args::{Args, AttackArgs},
    console::Console,
};

/// The longest time after a start until passwords arrive in time again, with the attack's records left in the
/// log.
const SETTLED: Duration = Duration::from_mins(1);

/// The most times that an attack is made while the disk stalls.
const TRIES: u32 = 3;

type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// An attack. It ends when `run` returns; otherwise it is dropped after a time. It may also end because Carillon
/// refuses its preparations.
struct Attack {
    name: &'static str,
    run: fn(Attacker) -> Running,
    /// Whether it uses Kafka.
    needs_kafka: bool,
}

/// `attack!(name, function)`: an attack over HTTP.
macro_rules! attack {
    ($name:literal, $run:path) => {
        Attack {
            name: $name,
            run: |attacker| Box::pin($run(attacker)),
            needs_kafka: false,
        }
    };
}

fn all() -> Vec<Attack> {
    let mut all = vec![
        attack!("idle connections", connections::idle),
        attack!("half heads", connections::half_heads),
        attack!("half bodies without a key", connections::half_bodies),
        attack!("half receipts without a key", connections::half_receipts),
        attack!("empty encoded bodies without a key", bodies::without_a_key),
        attack!("empty encoded bodies of one key", bodies::of_one_key),
        attack!(
            "answers that the client does not read",
            connections::answers_not_taken
        ),
        attack!("held posts of one key", floods::held_posts),
        attack!("large bodies of one key", floods::large_bodies),
        attack!("a flood of requests", floods::requests),
        attack!("a flood of posts", floods::posts),
        attack!("a flood of made-up keys", floods::made_up_keys),
        attack!("a flood of sign-ins", floods::sign_ins),
        attack!("batches full of errors", errors::full_batches),
        attack!("a hundred thousand small keys", errors::small_keys),
        attack!("long names and values", errors::long_names),
        attack!("a schema with a quadratic pattern", schemas::quadratic_pattern),
        attack!("a deep allOf", schemas::deep_all_of),
        attack!("references that double", schemas::doubling_references),
        attack!("uniqueItems over many items", schemas::unique_items),
        attack!("a schema that looks often at small data", schemas::many_looks),
        attack!("nested loops in a template", templates::nested_loops),
        attack!("previews of nested loops", templates::previews),
        attack!("previews whose callers leave", templates::left_previews),
        attack!("a path of many segments", templates::long_path),
        attack!("a partial that includes itself", templates::recursive_partial),
        attack!("lookups in loops", templates::lookups),
        attack!("output without an end", templates::endless_output),
        attack!("a template of ten megabytes", templates::ten_megabytes),
        attack!("a template nested deeply", templates::deep_nesting),
        attack!("Retry-After of an epoch", providers::retry_after_epoch),
        attack!("providers that hang", providers::hang),
    ];
    all.push(Attack {
        name: "a zstd record and records of nonsense",
        run: |attacker| Box::pin(kafka::records(attacker)),
        needs_kafka: true,
    });
    all
}

/// Runs all attacks, or the named ones; returns the violations.
pub(crate) async fn run(args: &Args, own: &AttackArgs) -> anyhow::Result<Vec<String>> {
    let is_asked = |attack: &Attack| {
        let named = |name: &String| attack.name.contains(name.as_str());
        (own.names.is_empty() || own.names.iter().any(named))
            && (!attack.needs_kafka || args.backend.is_real())
    };
    let attacks: Vec<Attack> = all().into_iter().filter(is_asked).collect();
    anyhow::ensure!(!attacks.is_empty(), "no attack has such a name");
    // The attacker has a file open for each of its connections.
    carillon_runtime::files::raise_open_files();
    let mut stage = Stage::set(args).await?;
    let ended = tokio::select! {
        ended = play(&mut stage, &attacks, own) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if !matches!(&ended, Ok(violations) if violations.is_empty()) {
        stage.keep();
    }
    ended
}

async fn play(stage: &mut Stage, attacks: &[Attack], own: &AttackArgs) -> anyhow::Result<Vec<String>> {
    let console = Console::begin();
    let mut violations = Vec::new();
    guard::settled(&stage.victim(), SETTLED).await?;
    let calm = Guard::new(stage, own.slack)?.watch(own.length() / 2).await;
    console.say(format_args!("calm: {calm}"));
    violations.extend(calm.violations("calm"));
    for attack in attacks {
        let mut tries = 1;
        violations.extend(loop {
            let (seen, violations) = make(stage, attack, own).await?;
            console.say(format_args!("{}: {seen}", attack.name));
            match seen.stall() {
                Some(stall) if !violations.is_empty() && tries < TRIES => console.say(format_args!(
                    "the disk did not sync for {stall:.1?}, so the attack is made again: {violations:?}"
                )),
                _ => break violations,
            }
            tries += 1;
        });
    }
    Ok(violations)
}

/// Makes one attack, ends all processes during it, and starts them again. Returns the observations and the violations.
async fn make(stage: &mut Stage, attack: &Attack, own: &AttackArgs) -> anyhow::Result<(Seen, Vec<String>)> {
    let running = tokio::spawn((attack.run)(stage.attacker()));
    let seen = Guard::new(stage, own.slack)?.watch(own.length()).await;
    let mut violations = seen.violations(attack.name);
    // An attack that is still running goes on while the processes end.
    let goes_on = if running.is_finished() {
        if let Err(error) = running.await? {
            violations.push(format!(
                "{}: the attack could not be made: {error:#}",
                attack.name
            ));
        }
        None
    } else {
        Some(running)
    };
    let late = stage.end(own.slack).await;
    violations.extend(late.iter().map(|late| format!("{}: {late}", attack.name)));
    if let Some(running) = goes_on {
        running.abort();
    }
    stage.start_again().await?;
    guard::settled(&stage.victim(), SETTLED)
        .await
        .with_context(|| format!("after: {}", attack.name))?;
    Ok((seen, violations))
}
