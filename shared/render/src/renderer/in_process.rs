//! Rendering in this process, from compiled snapshots that are read without a lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use carillon_domain::TenantId;
use tokio::sync::Mutex;
use tracing::{Instrument as _, field::Empty};

use super::{
    Renderer, TemplateSource,
    workshop::{Admission, NoResult, Workshop},
};
use crate::{Engine, RenderError, RenderRequest, Rendered};

/// The number of messages after which a batch lets other tasks of its thread run.
const TURN: usize = 32;
/// The maximum number of steps of a message that is rendered on the caller's thread: about half a millisecond. Nearly
/// every message takes fewer; one that needs more is started again in the workshop.
const AT_ONCE: u64 = 10_000;
/// The number of drafts' engines that are kept, so that the files of texts beside a draft are not read at each
/// preview.
const DRAFTS: usize = 8;
/// The size of event data, in bytes, at which even parsing it is done in the workshop.
const LARGE: usize = 64 * 1024;

/// The reason for which work is refused or has no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Too many callers of the tenant wait already.
    #[error("many checks and previews of this tenant's templates wait already")]
    Busy,
    /// The work failed.
    #[error(transparent)]
    Failed(#[from] RenderError),
}

type Snapshots = HashMap<TenantId, Arc<Engine>>;

/// Renders from compiled templates, loaded when a tenant is first met and again by [`InProcess::refresh`].
#[derive(Debug)]
pub struct InProcess {
    source: Arc<dyn TemplateSource>,
    snapshots: ArcSwap<Snapshots>,
    loading: Mutex<()>,
    /// The latest engines of drafts, oldest first.
    drafts: parking_lot::Mutex<VecDeque<(TenantId, Arc<Engine>)>>,
    workshop: Workshop,
}

impl InProcess {
    /// Starts without any tenant; each is loaded at its first use.
    #[must_use]
    pub fn new(source: Arc<dyn TemplateSource>) -> Self {
        Self {
            source,
            snapshots: ArcSwap::default(),
            loading: Mutex::new(()),
            drafts: parking_lot::Mutex::default(),
            workshop: Workshop::new(),
        }
    }

    /// The tenant's compiled templates, loaded at first use; concurrent callers load them once.
    pub async fn engine(&self, tenant: &TenantId) -> Result<Arc<Engine>, RenderError> {
        if let Some(engine) = self.snapshots.load().get(tenant) {
            return Ok(Arc::clone(engine));
        }
        let _turn = self.loading.lock().await;
        if let Some(engine) = self.snapshots.load().get(tenant) {
            return Ok(Arc::clone(engine));
        }
        self.load(tenant).await
    }

    /// An engine of the tenant that was compiled lately, for [`Engine::compile_beside`]. It may be of a draft or of
    /// a former revision. Nothing is loaded, so nothing waits for other tenants' work.
    #[must_use]
    pub fn latest(&self, tenant: &TenantId) -> Option<Arc<Engine>> {
        let drafts = self.drafts.lock();
        let draft = drafts.iter().rev().find(|(owner, _)| owner == tenant);
        let draft = draft.map(|(_, engine)| Arc::clone(engine));
        draft.or_else(|| self.snapshots.load().get(tenant).cloned())
    }

    /// Keeps the engine of a tenant's draft for [`Self::latest`].
    pub fn keep_draft(&self, tenant: &TenantId, engine: Arc<Engine>) {
        let mut drafts = self.drafts.lock();
        drafts.retain(|(owner, _)| owner != tenant);
        if drafts.len() == DRAFTS {
            drafts.pop_front();
        }
        drafts.push_back((tenant.clone(), engine));
    }

    /// Reloads every known tenant whose revision has changed, and returns how many were reloaded. A tenant whose
    /// templates cannot be loaded now keeps those that it has.
    pub async fn refresh(&self) -> usize {
        let _turn = self.loading.lock().await;
        let known = self.snapshots.load_full();
        let mut reloaded = 0;
        for (tenant, engine) in known.iter() {
            match self.source.revision(tenant).await {
                Ok(revision) if revision == engine.revision() => {}
                Ok(_) => reloaded += usize::from(self.load(tenant).await.is_ok()),
                Err(error) => {
                    tracing::warn!(%tenant, error = &error as &dyn std::error::Error, "templates were not refreshed");
                }
            }
        }
        reloaded
    }

    /// Calls [`InProcess::refresh`] for ever; the caller drops it at shutdown.
    pub async fn refresh_every(&self, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.refresh().await;
        }
    }

    /// Admits work of a tenant, such as a preview. Only a few callers of each tenant are admitted at a time; the others
    /// are refused before their work costs anything.
    pub fn admit(&self, tenant: &TenantId) -> Result<Admission, WorkError> {
        self.workshop.admit(tenant).ok_or(WorkError::Busy)
    }

    /// Does admitted work away from the threads that answer requests, such as judging a draft. Tenants take turns.
    /// Dropping the future abandons the work.
    pub async fn work<T: Send + 'static>(
        &self,
        admission: &Admission,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let result = self.workshop.run_admitted(admission, work).await;
        result.map_err(|no_result| WorkError::Failed(no_result.error("the work")))
    }

    /// Renders a message in a span of its own.
    async fn render_one(
        &self,
        engine: &Arc<Engine>,
        request: &RenderRequest,
    ) -> Result<Rendered, RenderError> {
        let span = tracing::debug_span!(
            "render",
            carillon.event_type = &*request.event_type,
            carillon.channel = request.channel.as_str(),
            carillon.template = Empty,
            carillon.template.version = Empty,
            carillon.template.locale = Empty,
            otel.status_code = Empty,
            "error.type" = Empty
        );
        let rendered = self.render_in(engine, request).instrument(span.clone()).await;
        match &rendered {
            Ok(rendered) => {
                let template = &rendered.template;
                span.record("carillon.template", &*template.id);
                span.record("carillon.template.version", template.version);
                span.record("carillon.template.locale", &*template.locale);
            }
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", error.code());
            }
        }
        rendered
    }

    /// Renders on this thread if that takes less than about half a millisecond, otherwise in the workshop.
    async fn render_in(
        &self,
        engine: &Arc<Engine>,
        request: &RenderRequest,
    ) -> Result<Rendered, RenderError> {
        if request.context.data.get().len() < LARGE {
            match engine.render_within(request, AT_ONCE) {
                Err(RenderError::Budget { .. }) => {}
                answer => return answer,
            }
        }
        let (engine, asked) = (Arc::clone(engine), request.clone());
        let rendering = self.workshop.run(&request.tenant, move || engine.render(&asked));
        rendering.await.unwrap_or_else(|no_result| {
            Err(no_result.error(&format!("{}/{}", request.event_type, request.channel)))
        })
    }

    /// Loads and compiles a tenant's templates. The caller holds the lock `loading`.
    async fn load(&self, tenant: &TenantId) -> Result<Arc<Engine>, RenderError> {
        let set = self.source.load(tenant).await.map_err(|error| {
            tracing::warn!(%tenant, error = &error as &dyn std::error::Error, "templates were not loaded");
            RenderError::Unavailable {
                detail: error.to_string(),
            }
        })?;
        let compiling = self.workshop.run(tenant, move || Engine::compile(&set)).await;
        let engine = Arc::new(compiling.map_err(|no_result| no_result.error(tenant.as_str()))?);
        for issue in engine.issues() {
            tracing::error!(%tenant, %issue, "a published template cannot be used");
        }
        self.snapshots.rcu(|snapshots| {
            let mut snapshots = Snapshots::clone(snapshots);
            snapshots.insert(tenant.clone(), Arc::clone(&engine));
            snapshots
        });
        Ok(engine)
    }
}

impl NoResult {
    fn error(self, what: &str) -> RenderError {
        let unavailable = |detail: &str| RenderError::Unavailable {
            detail: detail.to_owned(),
        };
        match self {
            Self::Panicked => RenderError::Invalid {
                template: what.to_owned(),
                detail: "the renderer panicked; its log says where".to_owned(),
                pointer: Box::default(),
            },
            Self::Ending => unavailable("the process is ending"),
        }
    }
}

#[async_trait]
impl Renderer for InProcess {
    async fn render(&self, batch: Vec<RenderRequest>) -> Vec<Result<Rendered, RenderError>> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut current: Option<(TenantId, Result<Arc<Engine>, RenderError>)> = None;
        for (index, request) in batch.iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let engine = match current.take() {
                Some((tenant, engine)) if tenant == request.tenant => engine,
                _ => self.engine(&request.tenant).await,
            };
            answers.push(match &engine {
                Ok(engine) => self.render_one(engine, request).await,
                Err(error) => Err(error.clone()),
            });
            current = Some((request.tenant.clone(), engine));
        }
        answers
    }
}
