//! Jobs over dead letters, as the API and the dashboard ask for them: checking the request, rehearsing it, and making
//! the job, which the scheduler runs.

mod document;
mod make;
mod rehearsal;
mod request;
mod verdicts;

pub(crate) use document::JobDocument;
pub(crate) use make::create;
pub(crate) use rehearsal::{Rehearsal, rehearse};
pub(crate) use request::{FilterBody, LetterId, SettleBody};
pub(crate) use verdicts::{VerdictDocument, verdicts_of};
