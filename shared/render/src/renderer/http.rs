//! Rendering by the templates role: `POST /v1/render`.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tracing::{Instrument as _, field::Empty};

use super::{MAX_BATCH, Renderer};
use crate::{RenderError, RenderRequest, Rendered};

/// The most event data in a body, in bytes; the role accepts four times as much.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// The body of `POST /v1/render`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// The requests, at most [`MAX_BATCH`].
    pub requests: Vec<RenderRequest>,
}

/// The answer of `POST /v1/render`.
#[derive(Debug, Clone, Deserialize)]
pub struct RenderBatchAnswer {
    /// One answer for each request, in order.
    pub items: Vec<ItemAnswer>,
}

/// The answer to one request: a message, or a problem document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemAnswer {
    /// The message.
    Rendered(Rendered),
    /// The reason for which there is no message.
    Problem(ItemProblem),
}

/// The part of a problem document of `POST /v1/render` that the client reads.
#[derive(Debug, Clone, Deserialize)]
pub struct ItemProblem {
    /// The renderer's own error, an extension member of the document.
    pub render_error: RenderError,
}

/// Renders in another process.
#[derive(Clone)]
pub struct HttpRenderer {
    endpoint: String,
    client: reqwest::Client,
    token: String,
    timeout: Duration,
    /// The `traceparent` of the current span.
    traceparent: fn() -> Option<String>,
}

impl std::fmt::Debug for HttpRenderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRenderer")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl HttpRenderer {
    /// A client of the templates role at `base_url` (such as `http://templates:8082`) with a bearer token; `timeout`
    /// is the longest time of a batch, from the connection to the end of the answer.
    #[must_use]
    pub fn new(base_url: &str, client: reqwest::Client, token: impl Into<String>, timeout: Duration) -> Self {
        Self {
            endpoint: format!("{}/v1/render", base_url.trim_end_matches('/')),
            client,
            token: token.into(),
            timeout,
            traceparent: || None,
        }
    }

    /// The same renderer, whose requests carry the trace that the function names.
    #[must_use]
    pub fn traced(self, traceparent: fn() -> Option<String>) -> Self {
        Self { traceparent, ..self }
    }

    async fn call(
        &self,
        requests: Vec<RenderRequest>,
    ) -> Result<Vec<Result<Rendered, RenderError>>, RenderError> {
        let asked = requests.len();
        let unavailable = |detail: String| RenderError::Unavailable { detail };
        let span = tracing::debug_span!(
            "POST",
            otel.kind = "client",
            http.request.method = "POST",
            url.full = self.endpoint,
            http.response.status_code = Empty
        );
        let mut request = self
            .client
            .post(&self.endpoint)
            .bearer_auth(&self.token)
            .timeout(self.timeout)
            .json(&BatchRequest { requests });
        if let Some(traceparent) = span.in_scope(self.traceparent) {
            request = request.header("traceparent", traceparent);
        }
        let sending = request.send().instrument(span.clone()).await;
        let response = sending.map_err(|error| unavailable(error.without_url().to_string()))?;
        let status = response.status();
        span.record("http.response.status_code", status.as_u16());
        // The fault does not lie in a message: a role that is overloaded, misconfigured or partly rolled out is tried
        // again.
        if !status.is_success() {
            return Err(unavailable(format!("the templates role answered {status}")));
        }
        let answer: RenderBatchAnswer = response
            .json()
            .await
            .map_err(|error| unavailable(error.without_url().to_string()))?;
        if answer.items.len() != asked {
            return Err(unavailable(format!(
                "{asked} messages were requested, {} were answered",
                answer.items.len()
            )));
        }
        Ok(answer
            .items
            .into_iter()
            .map(|item| match item {
                ItemAnswer::Rendered(rendered) => Ok(rendered),
                ItemAnswer::Problem(problem) => Err(problem.render_error),
            })
            .collect())
    }
}

#[async_trait]
impl Renderer for HttpRenderer {
    async fn render(&self, batch: Vec<RenderRequest>) -> Vec<Result<Rendered, RenderError>> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let mut chunk = rest;
            rest = chunk.split_off(chunk_length(&chunk));
            let asked = chunk.len();
            match self.call(chunk).await {
                Ok(answered) => answers.extend(answered),
                Err(error) => answers.extend(std::iter::repeat_n(Err(error), asked)),
            }
        }
        answers
    }
}

/// The number of requests that fit into a body: at most [`MAX_BATCH`], and at most [`CHUNK_BYTES`] of data unless the
/// first alone has more.
fn chunk_length(batch: &[RenderRequest]) -> usize {
    let mut bytes = 0;
    let fit = batch.iter().take(MAX_BATCH).take_while(|request| {
        bytes += request.context.data.get().len();
        bytes <= CHUNK_BYTES
    });
    fit.count().max(1)
}
