//! The search for events, as the API and the dashboard ask for it.

use carillon_domain::{Channel, DeliveryId, FieldError, TenantId, UserId};
use carillon_store::read_model::activity::{ActivityCursor, ActivityFilter, ActivityPage, Recipients};
use serde::Serialize;
use strum::IntoStaticStr;
use utoipa::ToSchema;

use crate::{error::ApiError, state::GatewayState};

/// A search for events.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// An id, an address or a code.
    pub(crate) q: Option<String>,
    /// An address of a recipient.
    pub(crate) address: Option<String>,
    /// A recipient.
    pub(crate) user: Option<String>,
    /// The other conditions.
    pub(crate) filter: ActivityFilter,
    pub(crate) limit: u32,
    pub(crate) after: Option<ActivityCursor>,
}

/// The meaning of a searched text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub(crate) enum FoundAs {
    Event,
    Delivery,
    EmailAddress,
    PhoneNumber,
    User,
    ProviderMessageId,
    DeviceToken,
    Code,
}

/// The events that were found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) page: ActivityPage,
    /// The meaning of the searched text; `None` without a text, or if no event has it.
    pub(crate) found_as: Option<FoundAs>,
}

/// Searches for events.
pub(crate) async fn search(
    state: &GatewayState,
    tenant: &TenantId,
    mut search: Search,
) -> Result<Found, ApiError> {
    refuse_contradictions(&search)?;
    let q = search.q.take().map(|q| q.trim().to_owned());
    let mut who = None;
    if let Some(address) = &search.address {
        who = Some(people(state, tenant, channel_of(address.trim()), address.trim()).await?);
    }
    if let Some(user) = search.user.take() {
        who = Some(match who {
            // Only this user, if the address is the user's.
            Some(people) => Recipients {
                users: people.users.into_iter().filter(|one| *one == user).collect(),
                guests: Vec::new(),
            },
            None => Recipients {
                users: vec![user],
                guests: Vec::new(),
            },
        });
    }
    search.filter.who = who;
    let Some(q) = q.filter(|q| !q.is_empty()) else {
        let page = read(state, tenant, &search, &search.filter).await?;
        return Ok(Found { page, found_as: None });
    };
    for meaning in meanings(&q) {
        let Some(filter) = filter_of(state, tenant, &search.filter, meaning, &q).await? else {
            continue;
        };
        let page = read(state, tenant, &search, &filter).await?;
        if !page.items.is_empty() {
            let found_as = Some(meaning);
            return Ok(Found { page, found_as });
        }
    }
    let page = ActivityPage {
        items: Vec::new(),
        next: None,
    };
    Ok(Found { page, found_as: None })
}

async fn read(
    state: &GatewayState,
    tenant: &TenantId,
    search: &Search,
    filter: &ActivityFilter,
) -> Result<ActivityPage, ApiError> {
    let model = state.store.read_model();
    Ok(model
        .activity(tenant, filter, search.after.as_ref(), search.limit)
        .await?)
}

fn refuse_contradictions(search: &Search) -> Result<(), ApiError> {
    let filter = &search.filter;
    let wrong = |name: &str, text: &str| {
        let message = format!("the parameter {name}: {text}");
        Err(ApiError::fields(vec![FieldError::new(
            format!("/{name}"),
            "selection",
            message,
        )]))
    };
    let is_decided = filter.outcome.is_some() || filter.reason.is_some();
    for (name, value) in [
        ("code", &filter.code),
        ("provider_message_id", &filter.provider_message_id),
    ] {
        if value.is_some() && is_decided {
            return wrong(
                name,
                "expected no outcome or reason beside it: only messages that were to be sent have it",
            );
        }
        if value.is_some() && search.address.is_some() {
            return wrong(name, "expected no address beside it");
        }
    }
    if let (Some(from), Some(to)) = (filter.from, filter.to)
        && to <= from
    {
        return wrong("to", "expected a time after from");
    }
    Ok(())
}

/// The possible meanings of a text, in the order in which they are searched.
fn meanings(q: &str) -> Vec<FoundAs> {
    let is_number = q.len() > 1
        && q.strip_prefix('+')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let mut meanings = vec![FoundAs::Event];
    if q.parse::<uuid::Uuid>().is_ok() {
        meanings.push(FoundAs::Delivery);
    }
    if q.contains('@') {
        meanings.push(FoundAs::EmailAddress);
    }
    if is_number {
        meanings.push(FoundAs::PhoneNumber);
    }
    meanings.extend([
        FoundAs::User,
        FoundAs::ProviderMessageId,
        FoundAs::DeviceToken,
        FoundAs::Code,
    ]);
    meanings
}

/// The filter for a meaning of a text beside other conditions; `None` if it contradicts them, or nothing has it.
async fn filter_of(
    state: &GatewayState,
    tenant: &TenantId,
    beside: &ActivityFilter,
    meaning: FoundAs,
    q: &str,
) -> Result<Option<ActivityFilter>, ApiError> {
    let mut filter = beside.clone();
    let text = Some(q.to_owned());
    let is_decided = filter.outcome.is_some() || filter.reason.is_some();
    let is_of_delivery = filter.code.is_some() || filter.provider_message_id.is_some();
    match meaning {
        FoundAs::Event if filter.event.is_none() => filter.event = text,
        FoundAs::Delivery if filter.event.is_none() => {
            let Ok(id) = q.parse() else { return Ok(None) };
            let delivery = state.store.read_model().delivery(tenant, DeliveryId(id)).await?;
            let Some(delivery) = delivery else { return Ok(None) };
            filter.event = Some(delivery.event_id.as_str().to_owned());
        }
        FoundAs::EmailAddress | FoundAs::PhoneNumber | FoundAs::DeviceToken
            if filter.who.is_none() && !is_of_delivery =>
        {
            let channel = match meaning {
                FoundAs::EmailAddress => Channel::Email,
                FoundAs::PhoneNumber => Channel::Sms,
                _ => Channel::Push,
            };
            filter.who = Some(people(state, tenant, channel, q).await?);
        }
        FoundAs::User if filter.who.is_none() => {
            filter.who = Some(Recipients {
                users: vec![q.to_owned()],
                guests: Vec::new(),
            });
        }
        FoundAs::ProviderMessageId if !is_decided && filter.provider_message_id.is_none() => {
            filter.provider_message_id = text;
        }
        FoundAs::Code if !is_decided && filter.code.is_none() => filter.code = text,
        _ => return Ok(None),
    }
    Ok(Some(filter))
}

/// The channel of an address by its form.
fn channel_of(address: &str) -> Channel {
    if address.contains('@') {
        Channel::Email
    } else if address.starts_with('+') {
        Channel::Sms
    } else {
        Channel::Push
    }
}

/// The users who have an address now, and the guests with it.
async fn people(
    state: &GatewayState,
    tenant: &TenantId,
    channel: Channel,
    address: &str,
) -> Result<Recipients, ApiError> {
    let hash = state.store.address_key().hash(channel, address);
    let users = state.store.users().with_address(tenant, hash).await?;
    // Guests have no devices.
    let guests = if channel == Channel::Push {
        Vec::new()
    } else {
        vec![hash]
    };
    Ok(Recipients {
        users: users.iter().map(UserId::as_str).map(str::to_owned).collect(),
        guests,
    })
}
