//! Planned replays of a cause, as they are asked for.

use carillon_domain::{Channel, FieldError, TenantId, field_error::quoted};
use carillon_runtime::http::Conditions;
use carillon_store::{
    StoreError,
    api_keys::Principal,
    dead_letter_groups::{NewPlan, PlanCondition},
    dead_letter_jobs::JobKind,
    dead_letters::DeadLetterGroup,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    groups::{GroupDocument, group},
    request::{CanaryNumber, MAX_NOTE, canary, check_rate, one_line},
};
use crate::{error::ApiError, openapi::schemas, state::GatewayState};

/// A replay that begins by itself. Exactly one of `template` and `account` is given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PlanBody {
    /// It begins once a newer version of this template is published.
    pub(crate) template: Option<TemplateBody>,
    /// It begins once no worker holds this provider account any more. The account must be held now.
    #[schema(min_length = 1, example = "twilio")]
    pub(crate) account: Option<String>,
    /// The most letters a second; without it, as fast as they are read.
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) rate: Option<u32>,
    /// A note that the job shows.
    #[schema(max_length = 500, example = "the mended template is in review")]
    pub(crate) note: Option<String>,
    /// The number of letters that are put back first, 1 to 1,000, or `true` for 10, as without it; `false` for no canary.
    #[schema(value_type = Option<schemas::CanaryNumber>)]
    pub(crate) canary: Option<CanaryNumber>,
    /// The share of the canary that may fail again, in percent; 0 without it.
    #[schema(maximum = 99)]
    pub(crate) canary_tolerance: Option<u32>,
}

/// The template that is to be published.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateBody {
    /// `<type>/<channel>`, of the channel in whose queue the letters are.
    #[schema(min_length = 1, example = "OrderShipped/email")]
    pub(crate) id: String,
    /// A published version above this one begins the replay; without it, the newest version that there is now.
    pub(crate) after: Option<u32>,
}

/// Plans a replay of a cause, in the place of one that waits.
pub(crate) async fn plan(
    state: &GatewayState,
    who: &Principal,
    fingerprint: &str,
    body: PlanBody,
    conditions: &Conditions,
) -> Result<GroupDocument, ApiError> {
    let cause = group(state, &who.tenant, fingerprint).await?.group;
    let plan = checked(state, &who.tenant, &cause, body).await?;
    let groups = state.store.dead_letter_groups();
    groups.plan(who, fingerprint, &plan, conditions).await?;
    group(state, &who.tenant, fingerprint).await
}

/// Cancels the planned replay of a cause.
pub(crate) async fn cancel_plan(
    state: &GatewayState,
    who: &Principal,
    fingerprint: &str,
    conditions: &Conditions,
) -> Result<(), ApiError> {
    let groups = state.store.dead_letter_groups();
    let cancelled = groups.cancel_plan(who, fingerprint, conditions).await;
    cancelled.map(drop).map_err(|error| match error {
        StoreError::NotFound { .. } => ApiError::missing_name("planned replay of the cause", fingerprint),
        error => error.into(),
    })
}

async fn checked(
    state: &GatewayState,
    tenant: &TenantId,
    cause: &DeadLetterGroup,
    body: PlanBody,
) -> Result<NewPlan, ApiError> {
    let mut errors = Vec::new();
    errors.extend(check_rate(body.rate).err());
    let note = one_line("/note", body.note, MAX_NOTE).unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    let wanted = body.canary.unwrap_or(CanaryNumber::Wanted(true));
    let canary = canary(JobKind::Replay, Some(wanted), body.canary_tolerance, &mut errors);
    let condition = match (body.template, body.account) {
        (Some(template), None) => template_condition(state, tenant, cause, template).await,
        (None, Some(account)) => account_condition(state, account).await,
        _ => {
            let text = "expected exactly one of template and account";
            Ok(Err(FieldError::new("", "selection", text)))
        }
    }?;
    match condition {
        Ok(condition) if errors.is_empty() => Ok(NewPlan {
            id: Uuid::now_v7(),
            condition,
            rate: body.rate,
            note,
            canary,
        }),
        condition => {
            errors.extend(condition.err());
            Err(ApiError::fields(errors))
        }
    }
}

async fn template_condition(
    state: &GatewayState,
    tenant: &TenantId,
    cause: &DeadLetterGroup,
    template: TemplateBody,
) -> Result<Result<PlanCondition, FieldError>, ApiError> {
    let wrong = |text: String| Ok(Err(FieldError::new("/template/id", "format", text)));
    if cause.queue.parse::<Channel>().is_err() {
        return wrong("expected an account: dead letters of the queue of events have no template".to_owned());
    }
    let fits = template
        .id
        .rsplit_once('/')
        .is_some_and(|(event_type, channel)| !event_type.is_empty() && channel == cause.queue);
    if !fits {
        return wrong(format!(
            "expected a template of the channel {}, such as OrderShipped/{}, not {}",
            cause.queue,
            cause.queue,
            quoted(&template.id)
        ));
    }
    let after = if let Some(after) = template.after {
        after
    } else {
        let versions = state.store.templates().versions(tenant, &template.id).await?;
        versions.iter().map(|row| row.version).max().unwrap_or(0)
    };
    Ok(Ok(PlanCondition::Template {
        id: template.id,
        after,
    }))
}

/// Refuses an account that no worker holds: an open account, or a misspelt name, would begin the replay at once.
async fn account_condition(
    state: &GatewayState,
    account: String,
) -> Result<Result<PlanCondition, FieldError>, ApiError> {
    let holds = state.store.account_holds().to_resume().await?;
    if holds.iter().any(|hold| hold.account == account) {
        return Ok(Ok(PlanCondition::Account(account)));
    }
    let text = format!(
        "expected a provider account that is closed now; none is called {}. If the account is open, replay at once",
        quoted(&account)
    );
    Ok(Err(FieldError::new("/account", "open", text)))
}
