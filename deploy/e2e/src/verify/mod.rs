//! The checks after a run: the guarantees against the gateway's counts, the read model and the simulator's messages.

mod books;
mod collected;
mod digests;
mod doubles;
mod evidence;
mod fates;
mod in_flight;
mod order;
mod waits;

use std::time::Duration;

use carillon_domain::Timestamp;
use tokio::time::Instant;

use self::evidence::{Evidence, Stats};
use crate::{api::Api, console::Console, load::Journal, recoveries::Strike};

const LOOK: Duration = Duration::from_millis(250);
/// The time within which messages still held by a connection to a provider arrive.
const LAST_ARRIVALS: Duration = Duration::from_secs(2);

/// The line of a check, and its violations.
pub(crate) struct Finding {
    line: String,
    violations: Vec<String>,
}

impl Finding {
    fn new(line: impl Into<String>, violations: Vec<String>) -> Self {
        Self {
            line: line.into(),
            violations,
        }
    }
}

/// Waits at most `limit` until all accepted events have ended; returns a line about those that have not.
pub(crate) async fn quiet(api: &Api, journal: &Journal, limit: Duration, console: Console) -> Vec<String> {
    let began = Instant::now();
    let mut last = "nothing was answered".to_owned();
    while began.elapsed() < limit {
        let (accepted, _) = journal.counts();
        match api.get::<Stats>("/v1/stats").await {
            Ok(stats) if stats.is_quiet(accepted) => {
                console.say(format!(
                    "everything has ended, {:.1} s later",
                    began.elapsed().as_secs_f64()
                ));
                tokio::time::sleep(LAST_ARRIVALS).await;
                return Vec::new();
            }
            Ok(stats) => last = format!("{accepted} were accepted, {stats:?}"),
            Err(error) => last = format!("{error:#}"),
        }
        tokio::time::sleep(LOOK).await;
    }
    let text = format!("not everything has ended within {} s: {last}", limit.as_secs());
    console.say(format!("!! {text}"));
    vec![text]
}

/// Runs all checks; prints a line for each and returns the violations.
pub(crate) async fn check(
    api: &Api,
    journal: &Journal,
    strikes: &[Strike],
    quiet_until: Timestamp,
    console: Console,
) -> anyhow::Result<Vec<String>> {
    let evidence = Evidence::gather(api, journal.entries(), quiet_until).await?;
    for line in in_flight::summary(api, &evidence, strikes, console).await {
        println!("  in flight {line}");
    }
    let findings = [
        books::check(&evidence),
        fates::events(&evidence),
        fates::decisions(api, &evidence).await,
        fates::deliveries(&evidence),
        fates::arrivals(&evidence),
        doubles::check(api, &evidence).await,
        order::check(api, &evidence, strikes).await,
        waits::nothing_is_early(&evidence),
        digests::check(&evidence),
        waits::cancelled(api, &evidence).await,
    ];
    println!("{}", evidence.totals());
    let mut violations = Vec::new();
    for finding in findings {
        let mark = if finding.violations.is_empty() {
            "ok  "
        } else {
            "FAIL"
        };
        println!("  {mark}  {}", finding.line);
        violations.extend(finding.violations);
    }
    Ok(violations)
}
