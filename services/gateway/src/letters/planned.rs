//! A planned replay as it is answered.

use std::fmt::Write as _;

use carillon_store::dead_letter_groups::{PlanCondition, PlanState, PlannedReplay};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::privacy::masked;

/// A planned replay.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PlanDocument {
    /// `waiting`, `started` or `cancelled`.
    #[schema(example = "waiting")]
    pub(crate) state: &'static str,
    /// The template for which it waits; null if it waits for an account.
    #[schema(required)]
    pub(crate) template: Option<PlannedTemplate>,
    /// The provider account for which it waits; null if it waits for a template.
    #[schema(required)]
    pub(crate) account: Option<String>,
    /// The condition and the state as a sentence.
    pub(crate) sentence: String,
    #[schema(required)]
    pub(crate) rate: Option<u32>,
    #[schema(required)]
    pub(crate) note: Option<String>,
    /// The letters that go first; null without a canary.
    #[schema(required)]
    pub(crate) canary: Option<u32>,
    /// The share of the canary that may fail again, in percent; null without a canary.
    #[schema(required)]
    pub(crate) canary_tolerance: Option<u32>,
    /// The name of the API key that planned it.
    pub(crate) planned_by: String,
    pub(crate) planned_at: DateTime<Utc>,
    /// The time at which it reached its state.
    pub(crate) updated_at: DateTime<Utc>,
    /// Its job; null unless it has started.
    #[schema(required)]
    pub(crate) job_id: Option<Uuid>,
    /// The path of its job.
    #[schema(required)]
    pub(crate) status_url: Option<String>,
}

/// The template for which a replay waits.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PlannedTemplate {
    pub(crate) id: String,
    /// A published version above this one begins the replay.
    pub(crate) after: u32,
}

impl PlanDocument {
    pub(super) fn of(plan: PlannedReplay) -> Self {
        let condition = plan.condition.sentence();
        let mut sentence = match plan.state {
            PlanState::Waiting => format!("the open letters are replayed once {condition}"),
            PlanState::Started => format!("a replay has begun by itself once {condition}"),
            PlanState::Cancelled => format!("the replay once {condition} was cancelled"),
        };
        if let (PlanState::Waiting, Some(canary)) = (plan.state, plan.canary) {
            let _ = write!(sentence, "; {} go first", canary.letters);
        }
        let job_id = (plan.state == PlanState::Started).then_some(plan.id);
        let (template, account) = match plan.condition {
            PlanCondition::Template { id, after } => (Some(PlannedTemplate { id, after }), None),
            PlanCondition::Account(name) => (None, Some(name)),
        };
        Self {
            state: plan.state.into(),
            template,
            account,
            sentence,
            rate: plan.rate,
            note: plan.note.as_deref().map(masked),
            canary: plan.canary.map(|canary| canary.letters),
            canary_tolerance: plan.canary.map(|canary| canary.tolerance),
            planned_by: plan.key_name,
            planned_at: plan.created_at,
            updated_at: plan.updated_at,
            job_id,
            status_url: job_id.map(|id| format!("/v1/dlq/jobs/{id}")),
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state == <&str>::from(PlanState::Waiting)
    }
}
