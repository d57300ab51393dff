//! `/u/{token}`: one-click unsubscribing (RFC 8058), and a page on which a person chooses messages by category and
//! channel without signing in. Only a POST changes something, because mail scanners open every link.

mod choices;
mod form;
mod page;
mod texts;

use std::convert::Infallible;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use carillon_domain::{
    Catalog, Preferences,
    compiled::CompiledCatalog,
    unsubscribe::{Subscription, UnsubscribeLinks},
};
use carillon_runtime::http::{Conditions, Path};
use carillon_store::StoreError;

use self::{
    form::{Form, Notice},
    page::{changed, unknown},
    texts::Texts,
};
use crate::{
    dashboard::{page::PageError, pages},
    state::GatewayState,
};

/// The largest body of a form, in bytes.
const MAX_FORM: usize = 64 << 10;

/// The routes; none if the configuration has no public URL, since there are no links then.
pub(crate) fn router(state: GatewayState) -> Router {
    let Some(links) = state.links.clone() else {
        return Router::new();
    };
    let routes = Router::new()
        .route("/u/{token}", get(show).post(change))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .with_state(Unsubscribing { state, links });
    pages(routes)
}

#[derive(Clone)]
struct Unsubscribing {
    state: GatewayState,
    links: UnsubscribeLinks,
}

/// Shows the user's choices.
async fn show(
    State(unsubscribing): State<Unsubscribing>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let Some(subscription) = unsubscribing.links.read(&token) else {
        return Ok(unknown(Texts::accepted(&headers)));
    };
    let store = &unsubscribing.state.store;
    let Some(user) = store
        .users()
        .get(&subscription.tenant, &subscription.user)
        .await?
    else {
        return Ok(unknown(Texts::accepted(&headers)));
    };
    let stored = store
        .preferences()
        .get(&subscription.tenant, &subscription.user)
        .await?;
    let preferences = stored.map(|stored| stored.value).unwrap_or_default();
    let texts = Texts::of(user.value.locale.as_deref(), &headers);
    unsubscribing.page(&subscription, &preferences, texts, None).await
}

/// Unsubscribes with one click, or saves the choices of the page.
async fn change(
    State(unsubscribing): State<Unsubscribing>,
    Path(token): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, PageError> {
    let Some(subscription) = unsubscribing.links.read(&token) else {
        return Ok(unknown(Texts::accepted(&headers)));
    };
    let state = &unsubscribing.state;
    let catalog = state.catalogs.get(&subscription.tenant).await?;
    let catalog = catalog.as_deref().map(CompiledCatalog::catalog);
    let changed_by_form = |before: &Preferences| -> Result<Preferences, Infallible> {
        Ok(form.apply(before, &subscription, catalog))
    };
    let written = state
        .store
        .preferences()
        .change(
            &subscription.tenant,
            &subscription.user,
            &Conditions::default(),
            changed_by_form,
        )
        .await;
    let preferences = match written {
        Ok(Ok(written)) => written.value,
        Ok(Err(never)) => match never {},
        // A person who was erased gets no more messages.
        Err(StoreError::NotFound { .. }) => return Ok(changed(Texts::accepted(&headers))),
        Err(error) => return Err(error.into()),
    };
    metrics::counter!("carillon_unsubscribe_forms_total", "form" => form.name()).increment(1);
    let user = state
        .store
        .users()
        .get(&subscription.tenant, &subscription.user)
        .await?;
    let locale = user.and_then(|user| user.value.locale);
    let texts = Texts::of(locale.as_deref(), &headers);
    unsubscribing
        .page(&subscription, &preferences, texts, Some(form.notice()))
        .await
}

impl Unsubscribing {
    async fn page(
        &self,
        subscription: &Subscription,
        preferences: &Preferences,
        texts: &'static Texts,
        notice: Option<Notice>,
    ) -> Result<Response, PageError> {
        let catalog = self.state.catalogs.get(&subscription.tenant).await?;
        let none = Catalog::default();
        let catalog = catalog.as_deref().map_or(&none, CompiledCatalog::catalog);
        Ok(page::choices(subscription, preferences, catalog, texts, notice))
    }
}
