//! `POST /v1/templates/{type}/{channel}/preview`.

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_domain::{
    DeliveryId, EventId, FieldError, TenantId, Timestamp, UserId,
    compiled::CompiledCatalog,
    event::{json_kind, read_time, time_error, unsound},
    field_error::echo,
    recipient,
};
use carillon_render::{
    Content, Engine, RenderContext, RenderRequest, Rendered,
    limits::{Encoding, segments},
};
use carillon_runtime::http::{JsonBody, Path, Problem, ProblemError, ProblemKind};
use carillon_store::templates::{Parts, TemplateDraft, TemplateName};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Issue, LocaleQuery, MAX_TEMPLATE, TemplatesApi, issues, name_of, outdated};
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
    /// The sample event's data. Properties that the type's schema requires may be missing, with a warning; those that are
    /// there have to fit it.
    #[schema(value_type = Object, example = json!({"order_id": "1001", "carrier": "DHL"}))]
    data: Box<RawValue>,
    /// The template's text; without it, the draft is shown, or the published version if there is no draft.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    parts: Option<Parts>,
    /// The recipient's locale, BCP 47, which the template has to serve. Without it, the one that the template serves,
    /// or the default locale.
    #[serde(default)]
    #[schema(example = "fr-CA")]
    locale: Option<String>,
    /// The recipient's timezone, IANA; UTC without it.
    #[serde(default)]
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// The sample event's time, by the rules of an event's `time`; 2026-01-01T00:00:00Z without it.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<Box<RawValue>>,
    /// The recipient, as `{{user.id}}` shows it: `sample-user` without it. Null is a recipient who is no known user,
    /// for whom `user.id` is absent.
    #[serde(default, deserialize_with = "recipient_of")]
    #[schema(value_type = Option<SampleUser>)]
    user: SampleRecipient,
}

/// The recipient of a preview.
#[derive(Debug, Default)]
enum SampleRecipient {
    /// The request names none.
    #[default]
    Sample,
    User(SampleUser),
    /// A recipient who is no known user.
    Guest,
}

/// A recipient who is a known user.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleUser {
    /// 1 to 255 bytes without control characters.
    #[schema(example = "u-42", min_length = 1, max_length = 255)]
    id: String,
}

/// Reads a recipient that the request names.
fn recipient_of<'de, D: Deserializer<'de>>(json: D) -> Result<SampleRecipient, D::Error> {
    let given = Option::deserialize(json)?;
    Ok(given.map_or(SampleRecipient::Guest, SampleRecipient::User))
}

/// A message, as its recipient would get it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Preview {
    /// The locale that serves the recipient's.
    locale: String,
    /// The text that is shown.
    shows: Shows,
    /// The message by its channel: `subject`, `text`, `html` | `text` | `title`, `body`, `data`.
    #[schema(value_type = Object)]
    content: Content,
    /// The cost of a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Cost>,
    /// Warnings for the author, about the template and about properties that the data lack.
    warnings: Vec<Issue>,
}

/// The text that a preview shows.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Shows {
    /// The `parts` of the request.
    Parts,
    /// The stored draft.
    Draft,
    /// The version in use.
    Published,
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

/// Renders a template with sample data; nothing is stored or sent.
#[utoipa::path(
    post,
    path = "/v1/templates/{type}/{channel}/preview",
    tag = "templates",
    params(("type" = String, Path), ("channel" = String, Path), LocaleQuery),
    request_body = Sample,
    responses(
        (status = 200, description = "The message", body = Preview),
        (status = 404, description = "Neither published nor a draft", body = Problem),
        (status = 422, description = "A field is not as expected, the data do not fit the type's schema (properties may be missing), the template does not serve the locale, or it cannot be rendered: `errors` name the field, variable or part", body = Problem),
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
    let time = checked(&sample, api.store.now())?;
    let user = match sample.user {
        SampleRecipient::Sample => Some(UserId::from(SAMPLE_USER)),
        SampleRecipient::User(user) => Some(UserId::from(user.id)),
        SampleRecipient::Guest => None,
    };
    let request = RenderRequest {
        tenant: tenant.clone(),
        event_type: event_type.into(),
        channel,
        locale: sample.locale.or_else(|| name.locale.clone()).map(Arc::from),
        timezone: sample.timezone.map(Arc::from),
        context: RenderContext {
            event_id: EventId::from("preview"),
            source: "/".into(),
            time,
            data: Arc::from(sample.data),
            delivery_id: Some(SAMPLE_DELIVERY),
            user_id: user,
            unsubscribe_url: None,
        },
    };
    let admission = api
        .renderer
        .admit(&tenant)
        .map_err(|error| errors::work(&error))?;
    let set = StoreTemplates::new(api.store.clone())
        .published(&tenant)
        .await
        .map_err(|error| Problem::of_store(&error))?;
    let catalog = api.store.catalog().get(&tenant).await;
    let catalog = catalog.map_err(|error| Problem::of_store(&error))?;
    let mut warnings = Vec::new();
    let instead = shown(&api, &tenant, &name, sample.parts, &mut warnings).await?;
    let (shows, engine) = match instead {
        Some((shows, draft)) => {
            let draft = Arc::new(draft);
            let Judged { validation, engine } =
                gate::judge_aside(&api, &admission, set.clone(), &tenant, &draft).await?;
            if !validation.errors.is_empty() {
                return Err(errors::invalid(
                    &validation.errors,
                    "the template cannot be shown",
                ));
            }
            warnings.extend(issues(&validation.warnings));
            (shows, Some(engine))
        }
        None => (Shows::Published, None),
    };
    let known = api.renderer.latest(&tenant);
    let rendering = move || {
        let event_type = &request.event_type;
        let catalog = catalog.and_then(|catalog| CompiledCatalog::of_type(&catalog.value, event_type));
        let masked = catalog
            .as_ref()
            .and_then(|catalog| catalog.mask(event_type).data(request.context.data.get()));
        let (missing, wrong) = catalog
            .map(|catalog| catalog.validate_sample(event_type, &request.context.data))
            .unwrap_or_default();
        if !wrong.is_empty() {
            return Err(refused(wrong));
        }
        let engine = engine.unwrap_or_else(|| Arc::new(Engine::compile_beside(&set, known.as_deref())));
        match engine.serving(&request) {
            Some(serving) if serving != name.locale.as_deref() => Err(elsewhere(&name, serving, &request)),
            _ => match engine.render(&request) {
                Ok(rendered) => Ok((rendered, missing)),
                Err(error) => Err(errors::render_sample(&error, masked.as_deref(), missing)),
            },
        }
    };
    let rendered = api.renderer.work(&admission, rendering).await;
    let (Rendered { template, content }, missing) = rendered.map_err(|error| errors::work(&error))??;
    warnings.extend(missing.into_iter().map(|error| Issue {
        pointer: error.pointer,
        code: error.code,
        message: format!("an event with these data is refused: {}", error.message),
    }));
    Ok(Json(Preview {
        locale: template.locale.to_string(),
        shows,
        segments: cost(&content),
        content,
        warnings,
    }))
}

/// The refusal of a locale whose readers get another template than the one that is asked for.
fn elsewhere(name: &TemplateName, serving: Option<&str>, request: &RenderRequest) -> Problem {
    let locale = request.locale.as_deref();
    let readers = locale.map_or_else(|| "the default locale".to_owned(), echo);
    let other = TemplateName {
        id: name.id.clone(),
        locale: serving.map(ToOwned::to_owned),
    };
    let instead = match serving {
        Some(serving) => format!("with ?locale={serving}"),
        None => "without ?locale=".to_owned(),
    };
    let detail = format!(
        "expected a locale that {name} serves, not {readers}, whose readers get {other}: preview that one {instead}"
    );
    refused(vec![FieldError::new("/locale", "not-served", detail)])
}

/// Checks all fields of a sample, and returns the time of the event. A sample follows the rules of events and users.
fn checked(sample: &Sample, now: Timestamp) -> Result<Timestamp, Problem> {
    let mut errors: Vec<FieldError> = data_error(&sample.data).into_iter().collect();
    recipient::validate_locale(sample.locale.as_deref(), "/locale", &mut errors);
    recipient::validate_timezone(sample.timezone.as_deref(), "/timezone", &mut errors);
    let time = match sample.time.as_deref().map(|time| read_time(time, "/time")) {
        None => SAMPLE_TIME,
        Some(Ok(time)) => {
            errors.extend(time_error(time, now));
            time
        }
        Some(Err(error)) => {
            errors.push(error);
            SAMPLE_TIME
        }
    };
    if let SampleRecipient::User(user) = &sample.user {
        recipient::validate_user_id(&user.id, "/user/id", &mut errors);
    }
    if errors.is_empty() {
        Ok(time)
    } else {
        Err(refused(errors))
    }
}

fn refused(errors: Vec<FieldError>) -> Problem {
    let detail = errors
        .first()
        .map_or_else(String::new, |error| error.message.clone());
    let errors = errors.into_iter().map(|error| ProblemError {
        pointer: error.pointer,
        code: error.code,
        message: error.message,
    });
    Problem::new(ProblemKind::Validation, detail).with_errors(errors.collect())
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

/// The recipient of a preview that names none.
const SAMPLE_USER: &str = "sample-user";

/// The delivery of a preview. Each preview is of the same one, so that it is the same at each request.
const SAMPLE_DELIVERY: DeliveryId = DeliveryId::SAMPLE;

/// The text that replaces the published one in the preview, if there is one: the caller's, or else the draft. An
/// outdated draft is shown with a warning.
async fn shown(
    api: &TemplatesApi,
    tenant: &TenantId,
    name: &TemplateName,
    parts: Option<Parts>,
    warnings: &mut Vec<Issue>,
) -> Result<Option<(Shows, TemplateDraft)>, Problem> {
    let of = |parts| TemplateDraft {
        name: name.clone(),
        parts,
    };
    if let Some(parts) = parts {
        return Ok(Some((Shows::Parts, of(gate::without_marks(parts)))));
    }
    let state = api.store.templates().state(tenant, name).await;
    let state = state.map_err(|error| Problem::of_store(&error))?;
    if !state.exists() {
        let text = format!("there is no template {name}");
        return Err(Problem::new(ProblemKind::NotFound, text));
    }
    if let Some(draft) = state.draft.as_ref().filter(|_| state.is_outdated()) {
        let published = state.published.as_ref().map(|row| row.version);
        warnings.push(outdated(name, draft, published));
    }
    Ok(state.draft.map(|draft| (Shows::Draft, of(draft.parts))))
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
