//! Jobs over dead letters, as the API and the dashboard ask for them: checking the request, rehearsing it, and making
//! the job, which the scheduler runs.

mod again;
mod document;
mod editing;
mod groups;
mod make;
mod planned;
mod plans;
mod rehearsal;
mod request;
mod sent;
mod verdicts;

pub(crate) use again::died_again;
pub(crate) use document::JobDocument;
pub(crate) use editing::{ChangeDocument, Editable, changes_by, editable};
pub(crate) use groups::{GroupDocument, Groups, HandlingBody, Hidden, Shown, change, group, groups};
pub(crate) use make::create;
pub(crate) use planned::PlanDocument;
pub(crate) use plans::{PlanBody, TemplateBody, cancel_plan, plan};
pub(crate) use rehearsal::{Rehearsal, rehearse};
pub(crate) use request::{CanaryNumber, FilterBody, LetterId, SettleBody};
pub(crate) use sent::sent_data;
pub(crate) use verdicts::{VerdictDocument, verdicts_of};
