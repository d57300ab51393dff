//! Rendering by the templates role: `POST /v1/render`.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

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
pub struct BatchAnswer {
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
        }
    }

    async fn call(
        &self,
        requests: Vec<RenderRequest>,
    ) -> Result<Vec<Result<Rendered, RenderError>>, RenderError> {
        let asked = requests.len();
        let unavailable = |detail: String| RenderError::Unavailable { detail };
        let response = self
            .client
            .post(&self.endpoint)
            .bearer_auth(&self.token)
            .timeout(self.timeout)
            .json(&BatchRequest { requests })
            .send()
            .await
            .map_err(|error| unavailable(error.without_url().to_string()))?;
        let status = response.status();
        // The fault does not lie in a message: a role that is overloaded, misconfigured or partly rolled out is tried
        // again.
        if !status.is_success() {
            return Err(unavailable(format!("the templates role answered {status}")));
        }
        let answer: BatchAnswer = response
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
