//! `POST /v1/templates/{type}/{channel}/preview`.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_domain::{
    EventId, FieldError, TenantId, Timestamp,
    event::{json_kind, unsound},
};
use carillon_render::{
    Content, Engine, RenderContext, RenderRequest, Rendered,
    limits::{Encoding, segments},
};
use carillon_runtime::http::{JsonBody, Path, Problem, ProblemError, ProblemKind};
use carillon_store::templates::{Parts, TemplateDraft, TemplateName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Issue, LocaleQuery, MAX_TEMPLATE, TemplatesApi, issues, name_of};
use crate::{
    StoreTemplates,
    access::Reads,
    body, errors,
    gate::{self, Judged},
    query::QueryOf,
    store_templates::Kind,
};

/// The data, the text and the recipient of a preview.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    /// The sample event's data.
    #[schema(value_type = Object, example = json!({"order_id": "1001", "carrier": "DHL"}))]
    data: Box<RawValue>,
    /// The template's text; without it, the draft is shown, or the published version if there is no draft.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    parts: Option<Parts>,
    /// The recipient's locale, BCP 47.
    #[serde(default)]
    locale: Option<String>,
    /// The recipient's timezone, IANA.
    #[serde(default)]
    timezone: Option<String>,
    /// The sample event's time; 2026-01-01T00:00:00Z without it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<Timestamp>,
}

/// A message, as its recipient would get it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Preview {
    /// The locale that serves the recipient's.
    locale: String,
    /// The message by its channel: `subject`, `text`, `html` | `text` | `title`, `body`, `data`.
    #[schema(value_type = Object)]
    content: Content,
    /// The cost of a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Cost>,
    /// Warnings for the author.
    warnings: Vec<Issue>,
}

/// The cost of a text message.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Cost {
    /// `gsm-7`, or `ucs-2` if a character is outside of GSM 03.38.
    encoding: &'static str,
    /// Its length in units of the encoding.
    units: usize,
    /// The number of messages that the operator counts.
    count: usize,
}

/// Renders a draft with sample data; nothing is stored or sent.
#[utoipa::path(
    post,
    path = "/v1/templates/{type}/{channel}/preview",
    tag = "templates",
    params(("type" = String, Path), ("channel" = String, Path), LocaleQuery),
    request_body = Sample,
    responses(
        (status = 200, description = "The message", body = Preview),
        (status = 404, description = "Neither published nor a draft", body = Problem),
        (status = 422, description = "It cannot be rendered: `errors` name the variable or part", body = Problem),
        (status = 429, description = "Many previews of the tenant wait already; `Retry-After` says when to try again", body = Problem),
    )
)]
pub(super) async fn preview(
    State(api): State<TemplatesApi>,
    Reads(tenant): Reads,
    Path((group, name)): Path<(String, String)>,
    QueryOf(query): QueryOf<LocaleQuery>,
    body: JsonBody,
) -> Result<Json<Preview>, Problem> {
    let name = name_of(&group, &name, query.locale.as_deref())?;
    let sample: Sample = body::read(body, MAX_TEMPLATE).await?;
    let Some(Kind::Template { event_type, channel }) = Kind::parse(&name.id) else {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "a partial is shown by a template that includes it",
        ));
    };
    if let Some(error) = data_error(&sample.data) {
        let detail = error.message.clone();
        let error = ProblemError {
            pointer: error.pointer,
            code: error.code,
            message: error.message,
        };
        return Err(Problem::new(ProblemKind::Validation, detail).with_errors(vec![error]));
    }
    let request = RenderRequest {
        tenant: tenant.clone(),
        event_type: event_type.into(),
        channel,
        locale: sample.locale.or_else(|| name.locale.clone()).map(Arc::from),
        timezone: sample.timezone.map(Arc::from),
        context: RenderContext {
            event_id: EventId::from("preview"),
            source: "/".into(),
            time: sample.time.unwrap_or(SAMPLE_TIME),
            data: Arc::from(sample.data),
            delivery_id: None,
            user_id: None,
            unsubscribe_url: None,
        },
    };
    let set = StoreTemplates::new(api.store.clone())
        .published(&tenant)
        .await
        .map_err(|error| errors::store(&error))?;
    let mut warnings = Vec::new();
    let engine = match shown(&api, &tenant, &name, sample.parts).await?.map(Arc::new) {
        Some(draft) => {
            let Judged { validation, engine } = gate::judge_aside(&api, set.clone(), &tenant, &draft).await?;
            if !validation.errors.is_empty() {
                return Err(errors::invalid(
                    &validation.errors,
                    "the template cannot be shown",
                ));
            }
            warnings = issues(&validation.warnings);
            Some(engine)
        }
        None => None,
    };
    let known = api.renderer.latest(&tenant);
    let rendering = move || {
        let engine = engine.unwrap_or_else(|| Arc::new(Engine::compile_beside(&set, known.as_deref())));
        engine.render(&request)
    };
    let rendered = api.renderer.work(&tenant, rendering).await;
    let rendered = rendered.map_err(|error| errors::work(&error))?;
    let Rendered { template, content } = rendered.map_err(|error| errors::render(&error))?;
    Ok(Json(Preview {
        locale: template.locale.to_string(),
        segments: cost(&content),
        content,
        warnings,
    }))
}

/// The fault in sample data, if it has one. Sample data follows the same rules as the data of an event.
fn data_error(data: &RawValue) -> Option<FieldError> {
    if !data.get().starts_with('{') {
        let text = format!("expected a JSON object, not {}", json_kind(data.get().as_bytes()));
        return Some(FieldError::new("/data", "type", text));
    }
    unsound("data", data)
}

/// 2026-01-01T00:00:00Z. A constant time makes a preview the same at each request.
const SAMPLE_TIME: Timestamp = match Timestamp::from_timestamp_secs(1_767_225_600) {
    Some(time) => time,
    None => Timestamp::UNIX_EPOCH,
};

/// The text that replaces the published one in the preview, if there is one: the caller's, or else the draft.
async fn shown(
    api: &TemplatesApi,
    tenant: &TenantId,
    name: &TemplateName,
    parts: Option<Parts>,
) -> Result<Option<TemplateDraft>, Problem> {
    if let Some(parts) = parts {
        return Ok(Some(TemplateDraft {
            name: name.clone(),
            parts: gate::without_marks(parts),
        }));
    }
    let draft = api
        .store
        .templates()
        .draft(tenant, name)
        .await
        .map_err(|error| errors::store(&error))?;
    Ok(draft.map(|draft| draft.value))
}

fn cost(content: &Content) -> Option<Cost> {
    let Content::Sms { text } = content else {
        return None;
    };
    let cost = segments(text);
    let encoding = match cost.encoding {
        Encoding::Gsm7 => "gsm-7",
        Encoding::Ucs2 => "ucs-2",
    };
    Some(Cost {
        encoding,
        units: cost.units,
        count: cost.count,
    })
}
