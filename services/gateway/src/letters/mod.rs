//! Jobs over dead letters, as the API and the dashboard ask for them: checking what is asked, rehearsing it, and making
//! the job, which the scheduler runs.

mod document;
mod rehearsal;
mod request;
mod verdicts;

pub(crate) use document::JobDocument;
pub(crate) use rehearsal::{Rehearsal, rehearse};
pub(crate) use request::{FilterBody, SettleBody, create};
pub(crate) use verdicts::{VerdictDocument, verdicts_of};
