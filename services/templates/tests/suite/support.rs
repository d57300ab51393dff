//! A store for each test, with the shop in it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use carillon_domain::{Channel, SystemClock, TenantId};
use carillon_render::{InProcess, RenderContext, RenderRequest};
use carillon_store::{Store, StoreConfig};
use carillon_templates::{StoreTemplates, TemplateCaller, TemplatesApi, catalog_folder, router};
use http_body_util::BodyExt as _;
use serde_json::{Value, value::RawValue};
use tower::ServiceExt as _;

pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) renderer: Arc<InProcess>,
    _folder: tempfile::TempDir,
}

pub(crate) fn shop() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl House {
    pub(crate) async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = StoreConfig::sqlite(&folder.path().join("store.db"));
        let store = Store::connect(&config, Arc::new(SystemClock)).await.unwrap();
        let renderer = Arc::new(InProcess::new(Arc::new(StoreTemplates::new(store.clone()))));
        Self {
            store,
            renderer,
            _folder: folder,
        }
    }

    pub(crate) async fn with_shop() -> Self {
        let house = Self::empty().await;
        let folder = catalog_folder::load(&shop()).unwrap();
        catalog_folder::apply(&house.store, &TenantId::default(), &folder)
            .await
            .unwrap();
        house
    }

    /// The routes for a caller.
    pub(crate) fn routes(&self, caller: Option<TemplateCaller>) -> Router {
        let api = TemplatesApi {
            store: self.store.clone(),
            renderer: Arc::clone(&self.renderer),
        };
        let (routes, _) = router::<()>(api).split_for_parts();
        match caller {
            Some(caller) => routes.layer(axum::Extension(caller)),
            None => routes,
        }
    }

    pub(crate) fn as_admin(&self) -> Client {
        Client(self.routes(Some(TemplateCaller::Tenant {
            tenant: TenantId::default(),
            refusal: None,
        })))
    }
}

pub(crate) struct Client(pub(crate) Router);

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) etag: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(tag) = if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        let response = self
            .0
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let named = |name| {
            let value: Option<&header::HeaderValue> = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let (etag, retry_after) = (named(header::ETAG), named(header::RETRY_AFTER));
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            etag,
            retry_after,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, None, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, if_match: Option<&str>, body: &Value) -> Answer {
        self.send(Method::PUT, path, if_match, body.to_string()).await
    }
}

pub(crate) fn request(event_type: &str, channel: Channel, locale: &str, data: &Value) -> RenderRequest {
    RenderRequest {
        tenant: TenantId::default(),
        event_type: event_type.into(),
        channel,
        locale: Some(locale.into()),
        timezone: Some("Europe/Paris".into()),
        context: RenderContext {
            event_id: "e-1".into(),
            source: "/shop".into(),
            time: "2026-11-24T10:00:00Z".parse().unwrap(),
            data: Arc::from(RawValue::from_string(data.to_string()).unwrap()),
            delivery_id: None,
            user_id: Some("u-42".into()),
            unsubscribe_url: None,
        },
    }
}
