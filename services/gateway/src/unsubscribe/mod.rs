//! `/u/{token}`: one-click unsubscribing (RFC 8058), and a page on which a person chooses messages by category and
//! channel without signing in. Only a POST changes something, because mail scanners open every link.

mod choices;
mod form;
mod page;
mod texts;

use std::convert::Infallible;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::get,
};
use carillon_domain::{
    Catalog, Preferences,
    compiled::CompiledCatalog,
    unsubscribe::{Subscription, UnsubscribeLinks},
};
use carillon_runtime::http::{Conditions, Path};
use carillon_store::{StoreError, users::User};

use self::{
    form::{Form, Notice},
    page::{changed, unavailable, unknown, unreadable},
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

/// Answers a failure in the language that the browser accepts.
fn answered(result: Result<Response, PageError>, headers: &HeaderMap) -> Response {
    result.unwrap_or_else(|error| unavailable(Texts::accepted(headers), error.status()))
}

/// The subscription of a link; `None` if Carillon has not made the link.
type Link = Result<Path<String>, <Path<String> as FromRequestParts<Unsubscribing>>::Rejection>;

/// Shows the user's choices.
async fn show(State(unsubscribing): State<Unsubscribing>, link: Link, headers: HeaderMap) -> Response {
    answered(unsubscribing.shown(link, &headers).await, &headers)
}

/// Unsubscribes with one click, or saves the choices of the page.
async fn change(
    State(unsubscribing): State<Unsubscribing>,
    link: Link,
    headers: HeaderMap,
    form: Result<Form, StatusCode>,
) -> Response {
    answered(unsubscribing.changed(link, form, &headers).await, &headers)
}

impl Unsubscribing {
    fn subscription(&self, link: Link) -> Option<Subscription> {
        let Path(token) = link.ok()?;
        self.links.read(&token)
    }

    async fn shown(&self, link: Link, headers: &HeaderMap) -> Result<Response, PageError> {
        let Some(subscription) = self.subscription(link) else {
            return Ok(unknown(Texts::accepted(headers)));
        };
        let Some(user) = self.user(&subscription).await? else {
            return Ok(unknown(Texts::accepted(headers)));
        };
        let preferences = self.state.store.preferences();
        let stored = preferences.get(&subscription.tenant, &subscription.user).await?;
        let preferences = stored.map(|stored| stored.value).unwrap_or_default();
        let texts = Texts::of(user.locale.as_deref(), headers);
        self.page(&subscription, &preferences, texts, None).await
    }

    async fn changed(
        &self,
        link: Link,
        form: Result<Form, StatusCode>,
        headers: &HeaderMap,
    ) -> Result<Response, PageError> {
        let Some(subscription) = self.subscription(link) else {
            return Ok(unknown(Texts::accepted(headers)));
        };
        let form = match form {
            Ok(form) => form,
            Err(status) => {
                let locale = self.user(&subscription).await?.and_then(|user| user.locale);
                return Ok(unreadable(Texts::of(locale.as_deref(), headers), status));
            }
        };
        let catalog = self.state.catalogs.get(&subscription.tenant).await?;
        let catalog = catalog.as_deref().map(CompiledCatalog::catalog);
        let changed_by_form = |before: &Preferences| -> Result<Preferences, Infallible> {
            Ok(form.apply(before, &subscription, catalog))
        };
        let preferences = self.state.store.preferences();
        let written = preferences
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
            Err(StoreError::NotFound { .. }) => return Ok(changed(Texts::accepted(headers))),
            Err(error) => return Err(error.into()),
        };
        metrics::counter!("carillon_unsubscribe_forms_total", "form" => form.name()).increment(1);
        let locale = self.user(&subscription).await?.and_then(|user| user.locale);
        let texts = Texts::of(locale.as_deref(), headers);
        self.page(&subscription, &preferences, texts, Some(form.notice()))
            .await
    }

    async fn user(&self, subscription: &Subscription) -> Result<Option<User>, PageError> {
        let users = self.state.store.users();
        let found = users.get(&subscription.tenant, &subscription.user).await?;
        Ok(found.map(|user| user.value))
    }

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
