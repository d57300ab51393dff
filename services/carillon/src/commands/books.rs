//! `carillon books`: the auditor's books, and lasting differences that an operator accepts.

use carillon_domain::Moment;
use carillon_store::audit::{Acceptance, Accepted, AuditCounts};
use serde::Serialize;

use super::{admin, folder};
use crate::{cli::BooksCommand, config::Config, output};

/// The books, in the form of `GET /v1/stats`.
#[derive(Serialize)]
struct Books {
    #[serde(flatten)]
    counts: AuditCounts,
    events_difference: i64,
    deliveries_difference: i64,
    accepted: Vec<Accepted>,
}

pub(super) async fn run(command: BooksCommand, config: Config) -> anyhow::Result<()> {
    match command {
        BooksCommand::Show { json, stores } => {
            let store = admin::store(&folder::configured(config, &stores)?).await?;
            let counts = store.audit().counts().await?;
            let books = Books {
                counts,
                events_difference: counts.event_difference(),
                deliveries_difference: counts.delivery_difference(),
                accepted: store.audit().accepted().await?,
            };
            if json { output::json(&books) } else { show(&books) }
        }
        BooksCommand::Accept {
            events,
            deliveries,
            by,
            reason,
            stores,
        } => {
            let store = admin::store(&folder::configured(config, &stores)?).await?;
            let acceptance = Acceptance {
                by,
                reason,
                events,
                deliveries,
            };
            store.audit().accept(&acceptance).await?;
            output::say("Accepted. Both differences are 0 now; carillon books show shows what was accepted.")
        }
    }
}

fn show(books: &Books) -> anyhow::Result<()> {
    let serde_json::Value::Object(counts) = serde_json::to_value(books.counts)? else {
        anyhow::bail!("the counts are no object")
    };
    let differences = [
        ("events_difference", books.events_difference),
        ("deliveries_difference", books.deliveries_difference),
    ];
    let counts = counts
        .into_iter()
        .map(|(name, count)| vec![name, count.to_string()]);
    let differences = differences.map(|(name, count)| vec![name.to_owned(), count.to_string()]);
    output::table(&["count", ""], counts.chain(differences))?;
    if books.accepted.is_empty() {
        return Ok(());
    }
    let rows = books.accepted.iter().map(|accepted| {
        vec![
            Moment(accepted.at).to_string(),
            accepted.accepted_by.clone(),
            accepted.events.to_string(),
            accepted.deliveries.to_string(),
            accepted.reason.clone(),
        ]
    });
    output::table(&["accepted at", "by", "events", "deliveries", "reason"], rows)
}
