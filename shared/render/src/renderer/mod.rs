//! Renderers: in this process, or the templates role over HTTP.

mod http;
mod in_process;
mod source;
mod workshop;

use async_trait::async_trait;

pub use self::{
    http::{BatchRequest, HttpRenderer, ItemAnswer, ItemProblem, RenderBatchAnswer},
    in_process::{InProcess, WorkError},
    source::{SourceError, TemplateSource},
    workshop::Admission,
};
use crate::{RenderError, RenderRequest, Rendered};

/// The most requests in one HTTP batch.
pub const MAX_BATCH: usize = 500;

/// Renders the messages of events.
#[async_trait]
pub trait Renderer: Send + Sync + std::fmt::Debug {
    /// Renders a batch of any size; returns one result for each request, in order.
    async fn render(&self, batch: Vec<RenderRequest>) -> Vec<Result<Rendered, RenderError>>;
}
