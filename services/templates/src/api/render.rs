//! `POST /v1/render`.

use axum::{Json, extract::State};
use carillon_render::{BatchRequest, MAX_BATCH, Rendered, Renderer as _};
use carillon_runtime::http::{JsonBody, Problem, ProblemKind};
use serde::Serialize;

use super::TemplatesApi;
use crate::{access::TemplateCaller, body, errors::RenderProblem};

/// The longest body, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// The body in the OpenAPI document; `BatchRequest` parses it.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct RenderBody {
    /// At most 500.
    #[schema(max_items = 500)]
    requests: Vec<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RenderResponse {
    /// One answer for each request, in order.
    items: Vec<Item>,
}

/// The answer to one request.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Item {
    /// The message, and the template that it was rendered from.
    #[schema(value_type = Object)]
    Rendered(Rendered),
    /// The reason for which there is no message.
    Problem(RenderProblem),
}

/// Renders messages in batches.
#[utoipa::path(
    post,
    path = "/v1/render",
    tag = "templates",
    request_body(
        content = RenderBody,
        description = "`requests`: at most 500 of `{tenant, type, channel, locale?, timezone?, context: {event_id, \
                       source, time, data, delivery_id?, user_id?, unsubscribe_url?}}`"
    ),
    responses(
        (status = 200, description = "One answer for each request, in order", body = RenderResponse),
        (status = 413, description = "Too many requests in the batch, or too many bytes", body = Problem),
        (status = 422, description = "A field is not as expected", body = Problem),
    )
)]
pub(super) async fn render(
    State(api): State<TemplatesApi>,
    caller: TemplateCaller,
    body: JsonBody,
) -> Result<Json<RenderResponse>, Problem> {
    let BatchRequest { mut requests } = body::read(body, MAX_BODY).await?;
    if requests.len() > MAX_BATCH {
        return Err(Problem::new(
            ProblemKind::BatchTooLarge,
            format!("expected at most {MAX_BATCH} requests, not {}", requests.len()),
        ));
    }
    if let TemplateCaller::Tenant { tenant, .. } = caller {
        for request in &mut requests {
            request.tenant.clone_from(&tenant);
        }
    }
    let answers = api.renderer.render(requests).await.into_iter();
    let items = answers.map(|answer| match answer {
        Ok(rendered) => Item::Rendered(rendered),
        Err(error) => Item::Problem(error.into()),
    });
    Ok(Json(RenderResponse {
        items: items.collect(),
    }))
}
