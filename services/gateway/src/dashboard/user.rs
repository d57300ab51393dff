//! `/users/{id}`: a user's addresses, why those on the suppression list take no messages, and the latest decisions about
//! the user, sent or not.

use askama::Template;
use axum::{extract::State, response::Response};
use carillon_domain::{Channel, UserId, contact};
use carillon_runtime::http::Path;
use carillon_store::{
    Page,
    api_keys::Role,
    read_model::{DecisionFilter, DecisionView},
    suppressions::SuppressionView,
    users::User,
};
use serde::Deserialize;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError, render},
    session::SignedIn,
};
use crate::{
    error::ApiError,
    input::Query,
    privacy::{mask_decision, mask_user},
};

/// A contact point of the page.
pub(super) struct ContactLine {
    pub(super) channel: Channel,
    platform: Option<&'static str>,
    /// The name of an endpoint.
    name: Option<String>,
    pub(super) address: String,
    suppressed: Option<SuppressionView>,
}

impl ContactLine {
    /// The address as everybody sees it.
    pub(super) fn masked(&self) -> String {
        contact::mask(self.channel, &self.address)
    }
}

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    /// What became of a form: `lifted`, `not_listed` or `stale`.
    result: Option<String>,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    frame: Option<Frame>,
    id: UserId,
    locale: Option<String>,
    timezone: Option<String>,
    /// The contact points, each with its masked address.
    contacts: Vec<(ContactLine, String)>,
    decisions: Vec<DecisionView>,
    /// Whether the user of the page may lift entries of the suppression list.
    may_change: bool,
    /// What became of a form.
    said: Option<&'static str>,
}

/// The number of decisions that the page shows.
const DECISIONS: u32 = 30;

/// Renders the page.
pub(crate) async fn show(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let Asked { result } = asked?.0;
    let id = UserId::from(id);
    let store = &dashboard.gateway.store;
    let users = store.users();
    let user = users.get(signed_in.caller.tenant(), &id).await?;
    let mut user = user.ok_or_else(|| ApiError::no_user(&id))?.value;
    let masked: Vec<String> = contacts(user.clone()).iter().map(ContactLine::masked).collect();
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
        contacts: contacts(user).into_iter().zip(masked).collect(),
        may_change: signed_in.role() >= Role::Operator,
        said: match result.as_deref() {
            Some("lifted") => Some("The address takes messages again. The audit log names your API key."),
            Some("not_listed") => Some("The address was not on the suppression list any more."),
            Some("stale") => Some("Nothing was lifted: the addresses were changed meanwhile."),
            _ => None,
        },
    }))
}

/// A user's contact points, in the order of the page.
pub(super) fn contacts(user: User) -> Vec<ContactLine> {
    let email = user.email.map(|address| ContactLine {
        channel: Channel::Email,
        platform: None,
        name: None,
        address,
        suppressed: user.email_suppressed,
    });
    let phone = user.phone.map(|address| ContactLine {
        channel: Channel::Sms,
        platform: None,
        name: None,
        address,
        suppressed: user.phone_suppressed,
    });
    let devices = user.devices.into_iter().map(|device| ContactLine {
        channel: Channel::Push,
        platform: Some(device.device.platform.into()),
        name: None,
        address: device.device.token,
        suppressed: device.suppressed,
    });
    let webhooks = user.webhooks.into_iter().map(|endpoint| ContactLine {
        channel: Channel::Webhook,
        platform: None,
        name: Some(endpoint.name),
        address: endpoint.url,
        suppressed: endpoint.suppressed,
    });
    email
        .into_iter()
        .chain(phone)
        .chain(devices)
        .chain(webhooks)
        .collect()
}
