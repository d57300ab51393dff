//! `/`: the counts of events and deliveries, the open dead letters, and the last deliveries.

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use carillon_store::{
    Cursor, Page,
    audit::{Accepted, AuditCounts},
    read_model::{DeliveryFilter, DeliveryView},
};

use super::{
    Dashboard, dead_letters,
    live_view::{LiveView, with_script},
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::NoQuery,
    letters::{self, GroupDocument, Hidden, Shown},
    privacy::mask_delivery,
};

/// The number of last deliveries in the list.
const LAST: u32 = 10;
/// The number of causes in the list.
const CAUSES: usize = 5;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Option<Frame>,
    /// The counts of the whole installation; only for the operator's own tenant.
    counts: Option<AuditCounts>,
    /// The accepted differences, for the same readers.
    accepted: Vec<Accepted>,
    open_letters: u64,
    causes: Vec<GroupDocument>,
    /// The causes that are left out because they are ignored.
    hidden: Hidden,
    items: Vec<DeliveryView>,
    live: Option<LiveView>,
}

/// The list of open dead letters.
const LETTERS: &str = "/dlq?state=open";

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    let NoQuery = asked?;
    let (store, tenant) = (&dashboard.gateway.store, signed_in.caller.tenant());
    let (counts, accepted) = if signed_in.caller.is_of_installation() {
        let audit = store.audit();
        (Some(audit.counts().await?), audit.accepted().await?)
    } else {
        (None, Vec::new())
    };
    let groups = letters::groups(&dashboard.gateway, tenant, Shown::False).await?;
    let mut causes = groups.items;
    causes.retain(|cause| cause.group.open > 0);
    let open_letters = causes.iter().map(|cause| cause.group.open).sum();
    causes.truncate(CAUSES);
    let last = Page {
        after: None,
        limit: LAST,
    };
    let mut deliveries = store
        .read_model()
        .deliveries(tenant, &DeliveryFilter::default(), last)
        .await?;
    deliveries.items.iter_mut().for_each(mask_delivery);
    let top = deliveries.items.first();
    let top = top.map(|top| Cursor::new(top.created_at, top.id.0));
    let open = dead_letters::listed(&dashboard.gateway, tenant, &Uri::from_static(LETTERS)).await?;
    let first = Page {
        after: None,
        limit: 1,
    };
    let letter = store.dead_letters().places(tenant, &open, first).await?;
    let letter = letter.items.first().copied();
    let live = LiveView::new(&dashboard, "/", &[("/deliveries", top), (LETTERS, letter)]);
    Ok(with_script(render(&OverviewPage {
        frame: Some(signed_in.frame(NavSection::Overview)),
        counts,
        accepted,
        open_letters,
        causes,
        hidden: groups.hidden,
        items: deliveries.items,
        live,
    })))
}
