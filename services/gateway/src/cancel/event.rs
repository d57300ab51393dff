//! Cancelling events. An event that no router has decided, or that waits for its `sendat`, is cancelled as a whole. If it
//! is decided, its deliveries that no worker has claimed are cancelled.

use std::{sync::Arc, time::Duration};

use carillon_domain::{
    EventId, StatusRecord, UserId,
    status::{EventDecided, EventVerdict, Origin, ReleaseOf, STATUS_VERSION},
    waiting::{Waiting, WaitingKind},
};
use carillon_store::{
    api_keys::Principal,
    events::EventKey,
    outbox::OutboxRecord,
    read_model::EventView,
    waiting::{Cancellation, EventCancel},
};

use super::{
    CancelCounts, CancelResult, EventCancelled,
    delivery::{Ending, deliveries},
    not_yet, record,
};
use crate::{
    api::event_get::{only_source, status_of},
    error::ApiError,
    ingest::in_time,
    state::GatewayState,
};

/// The longest wait for the decision of an event that a router has claimed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval at which the decision is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Cancels an event.
pub(crate) async fn event(
    state: &GatewayState,
    who: &Principal,
    id: &EventId,
    source: Option<&str>,
    route: &str,
) -> Result<EventCancelled, ApiError> {
    let cancelling = async {
        loop {
            if let Some(answer) = try_once(state, who, id, source, route).await? {
                return Ok(answer);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    match tokio::time::timeout(PATIENCE, cancelling).await {
        Ok(answer) => answer,
        Err(_) => Err(not_yet(
            "the event is being decided at this moment: repeat the request",
        )),
    }
}

/// `None` while a router has claimed the event and its decision is not known yet.
async fn try_once(
    state: &GatewayState,
    who: &Principal,
    id: &EventId,
    source: Option<&str>,
    route: &str,
) -> Result<Option<EventCancelled>, ApiError> {
    let tenant = &who.tenant;
    let mut views = in_time(state.store.read_model().event(tenant, id, source)).await?;
    let claims = in_time(state.store.events().find(tenant, id, source)).await?;
    only_source(&views, &claims)?;
    let view = views.pop();
    let (source, event_type): (Arc<str>, String) = match (&view, claims.into_iter().next()) {
        (Some(view), _) => (view.source.as_str().into(), view.event_type.clone()),
        (None, Some(claim)) => (claim.key.source, claim.event_type),
        (None, None) => return Err(ApiError::no_event(id, source)),
    };
    let key = EventKey {
        tenant: tenant.clone(),
        event_id: id.clone(),
        source,
    };
    let status = status(state, &key, &event_type);
    let cancellation = Cancellation {
        key: &key,
        event_type: &event_type,
        is_scheduled: view
            .as_ref()
            .is_some_and(|view| view.verdict == EventVerdict::Scheduled),
        status: &status,
        who,
        route,
    };
    let whole = |result| {
        Ok(Some(EventCancelled {
            result,
            status: "cancelled",
            deliveries: CancelCounts::default(),
        }))
    };
    match in_time(state.store.waiting().cancel_event(&cancellation)).await? {
        EventCancel::Cancelled => return whole(CancelResult::Cancelled),
        EventCancel::AlreadyCancelled => return whole(CancelResult::AlreadyFinal),
        EventCancel::Claimed | EventCancel::Unknown => {}
    }
    match view {
        Some(view) => of_decided(state, who, &view, route).await,
        None => Ok(None),
    }
}

/// Cancels the waiting events whose only recipient is an erased user, and ends the windows of the user's digests. Their
/// content is thus erased at once.
pub(crate) async fn of_erased(
    state: &GatewayState,
    who: &Principal,
    user: &UserId,
    route: &str,
) -> Result<(), ApiError> {
    let waiting = state.store.waiting();
    for (key, event_type) in in_time(waiting.of_user(&who.tenant, user)).await? {
        let status = status(state, &key, &event_type);
        in_time(waiting.cancel_event(&Cancellation {
            key: &key,
            event_type: &event_type,
            is_scheduled: false,
            status: &status,
            who,
            route,
        }))
        .await?;
    }
    in_time(state.store.digests().end_of_user(&who.tenant, user)).await?;
    Ok(())
}

/// Cancels the deliveries of a decided event.
async fn of_decided(
    state: &GatewayState,
    who: &Principal,
    view: &EventView,
    route: &str,
) -> Result<Option<EventCancelled>, ApiError> {
    match view.verdict {
        // Its release is being decided, or some of its decisions are on their way.
        EventVerdict::Scheduled => return Ok(None),
        EventVerdict::Routed if !view.is_complete => return Ok(None),
        _ => {}
    }
    let ids = view.decisions.iter().filter_map(|decision| decision.delivery_id);
    let found = in_time(state.store.read_model().by_ids(&who.tenant, ids)).await?;
    let mut counts = CancelCounts::default();
    let ending = Ending::cancelled(state, who, route);
    for answer in deliveries(state, &ending, &found).await? {
        counts.add(answer.result);
    }
    Ok(Some(EventCancelled {
        result: counts.result(),
        status: status_of(view.verdict),
        deliveries: counts,
    }))
}

/// The status record of an event that is cancelled while it waits. Its origin is no record's, so that the event's own
/// records have their rows beside it.
fn status(state: &GatewayState, key: &EventKey, event_type: &str) -> OutboxRecord {
    let id = Waiting::id_of_event(&key.tenant, &key.source, &key.event_id);
    let now = state.clock.now();
    let decided = StatusRecord::EventDecided(EventDecided {
        v: STATUS_VERSION,
        tenant: key.tenant.clone(),
        event_id: key.event_id.clone(),
        source: Arc::clone(&key.source),
        event_type: event_type.into(),
        at: now,
        accepted_at: now,
        verdict: EventVerdict::Cancelled,
        origin: Origin {
            topic: format!("waiting/{id}").into(),
            partition: 0,
            offset: 0,
        },
        part: 0,
        parts: 1,
        via_gateway: false,
        release: Some(ReleaseOf {
            id,
            number: 1,
            kind: WaitingKind::Event,
            deliveries: Vec::new(),
        }),
        due: None,
        user_id: None,
        event: None,
        decisions: Vec::new(),
    });
    let record = record(state, &key.tenant, &decided);
    OutboxRecord {
        topic: record.topic,
        key: record.key.map(Into::into),
        headers: record.headers.encode(),
        value: record.value.into(),
    }
}
