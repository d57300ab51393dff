//! `/users/{id}`: a user's addresses, why those on the suppression list take no messages, and the latest decisions about
//! the user, sent or not.

use askama::Template;
use axum::{extract::State, response::Response};
use carillon_domain::{Channel, UserId};
use carillon_runtime::http::Path;
use carillon_store::{
    Page,
    read_model::{DecisionFilter, DecisionView},
    suppressions::SuppressionView,
    users::User,
};

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::NoQuery,
    privacy::{mask_decision, mask_user},
};

/// A contact point of the page.
struct ContactLine {
    channel: Channel,
    platform: Option<&'static str>,
    address: String,
    suppressed: Option<SuppressionView>,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    frame: Option<Frame>,
    id: UserId,
    locale: Option<String>,
    timezone: Option<String>,
    contacts: Vec<ContactLine>,
    decisions: Vec<DecisionView>,
}

/// The number of decisions that the page shows.
const DECISIONS: u32 = 30;

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    asked: Result<NoQuery, ApiError>,
) -> Result<Response, PageError> {
    let NoQuery = asked?;
    let id = UserId::from(id);
    let store = &dashboard.gateway.store;
    let users = store.users();
    let user = users.get(signed_in.caller.tenant(), &id).await?;
    let mut user = user.ok_or_else(|| ApiError::no_user(&id))?.value;
    if !signed_in.sight.is_revealed() {
        mask_user(&mut user);
    }
    let filter = DecisionFilter {
        user: vec![id.to_string()],
        ..DecisionFilter::default()
    };
    let page = Page {
        limit: DECISIONS,
        ..Page::default()
    };
    let model = store.read_model();
    let mut decisions = model
        .decisions(signed_in.caller.tenant(), &filter, page)
        .await?
        .items;
    decisions.iter_mut().for_each(mask_decision);
    Ok(render(&UserPage {
        decisions,
        frame: Some(signed_in.frame(NavSection::Deliveries)),
        id,
        locale: user.locale.clone(),
        timezone: user.timezone.clone(),
        contacts: contacts(user),
    }))
}

fn contacts(user: User) -> Vec<ContactLine> {
    let email = user.email.map(|address| ContactLine {
        channel: Channel::Email,
        platform: None,
        address,
        suppressed: user.email_suppressed,
    });
    let phone = user.phone.map(|address| ContactLine {
        channel: Channel::Sms,
        platform: None,
        address,
        suppressed: user.phone_suppressed,
    });
    let devices = user.devices.into_iter().map(|device| ContactLine {
        channel: Channel::Push,
        platform: Some(device.device.platform.into()),
        address: device.device.token,
        suppressed: device.suppressed,
    });
    let webhooks = user.webhooks.into_iter().map(|endpoint| ContactLine {
        channel: Channel::Webhook,
        platform: None,
        address: format!("{}: {}", endpoint.name, endpoint.url),
        suppressed: endpoint.suppressed,
    });
    email
        .into_iter()
        .chain(phone)
        .chain(devices)
        .chain(webhooks)
        .collect()
}
