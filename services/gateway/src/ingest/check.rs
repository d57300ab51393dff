//! Checking an event against its tenant's catalog and users.

use std::{collections::HashSet, sync::Arc};

use carillon_domain::{
    Event, FieldError, Lane, TenantId, Timestamp, UserId,
    catalog::RecipientRule,
    compiled::{CatalogType, CompiledCatalog, MAX_WORK},
    event::{Defaults, MAX_WIRE_BYTES},
    field_error::quoted,
};
use carillon_runtime::http::{Problem, ProblemError, ProblemKind};

use super::{
    aside::{SMALL, aside_if},
    patience::in_time,
};
use crate::{
    error::{ApiError, problem_of_fields},
    state::GatewayState,
};

/// The cost of an event besides its data, expressed in bytes of data. The cost is about 4 µs; 64 KiB of data take about
/// a millisecond.
const OVERHEAD: usize = 256;
/// The most work of schema checks on the answering thread, in units of [`CompiledCatalog::work`]: about a millisecond.
const AT_ONCE: u64 = 1 << 19;

type Read = (String, Result<Event, Vec<FieldError>>);

/// An event that may be published.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The event as the router will read it.
    pub(crate) event: Event,
    /// The name of its type in the catalog.
    pub(crate) type_name: Arc<str>,
    /// The bytes that are published.
    pub(crate) wire: Vec<u8>,
    pub(crate) lane: Lane,
    /// The fingerprint of its content, which distinguishes a repeat from another event of the same identity.
    pub(crate) fingerprint: [u8; 32],
}

/// Checks parsed events; returns one result for each, in order. In a batch, pointers begin with the item's index.
pub(crate) async fn check(
    state: &GatewayState,
    tenant: &TenantId,
    parsed: Vec<Read>,
) -> Result<Vec<Result<Checked, Problem>>, ApiError> {
    let events = parsed.iter().filter_map(|(_, event)| event.as_ref().ok());
    let types = events.map(|event| &*event.event_type);
    let catalog = state.catalogs.get_with(tenant, types).await?;
    check_by(state, tenant, catalog, state.clock.now(), parsed).await
}

/// Checks parsed events as [`check`] does, by a catalog and at a time.
pub(crate) async fn check_by(
    state: &GatewayState,
    tenant: &TenantId,
    catalog: Option<Arc<CompiledCatalog>>,
    now: Timestamp,
    parsed: Vec<Read>,
) -> Result<Vec<Result<Checked, Problem>>, ApiError> {
    let mut checked = Vec::new();
    let mut rest = parsed;
    while !rest.is_empty() {
        let (count, is_large) = turn(catalog.as_deref(), &rest);
        let later = rest.split_off(count);
        let (events, catalog) = (std::mem::replace(&mut rest, later), catalog.clone());
        let work = move || -> Vec<(String, Result<Checked, Problem>)> {
            let each = events.into_iter().map(|(prefix, event)| {
                let result = event
                    .map_err(|errors| problem_of_fields(errors, &prefix))
                    .and_then(|event| {
                        // The event may be valid later, with another catalog or at another time.
                        check_one(event, catalog.as_deref(), &prefix, now).map_err(Problem::passing)
                    });
                (prefix, result)
            });
            each.collect()
        };
        let done = aside_if(state, is_large, work).await;
        if checked.is_empty() {
            checked = done;
        } else {
            checked.extend(done);
        }
    }
    refuse_strangers(state, tenant, &mut checked).await?;
    Ok(checked.into_iter().map(|(_, result)| result).collect())
}

/// The number of events that are checked in one turn, so that other requests get turns between, and whether they are
/// too much work for the answering thread.
fn turn(catalog: Option<&CompiledCatalog>, events: &[Read]) -> (usize, bool) {
    let (mut bytes, mut work) = (0, 0_u64);
    for (index, (_, event)) in events.iter().enumerate() {
        let Ok(event) = event else { continue };
        let size = event.data.get().len();
        bytes += size + OVERHEAD;
        work += catalog.map_or(0, |catalog| catalog.work(&event.event_type, size).min(MAX_WORK));
        if work > MAX_WORK && index > 0 {
            return (index, true);
        }
    }
    (events.len(), bytes > SMALL || work > AT_ONCE)
}

fn check_one(
    mut event: Event,
    catalog: Option<&CompiledCatalog>,
    prefix: &str,
    now: Timestamp,
) -> Result<Checked, Problem> {
    let at = |errors: Vec<FieldError>| problem_of_fields(errors, prefix);
    let Some(CatalogType { name, definition, .. }) =
        catalog.and_then(|catalog| catalog.lookup(&event.event_type))
    else {
        let error = ProblemError {
            pointer: format!("{prefix}/type"),
            code: "unknown-event-type".to_owned(),
            message: format!(
                "expected an event type of the catalog, not {}",
                quoted(&*event.event_type)
            ),
        };
        let detail = error.message.clone();
        return Err(Problem::new(ProblemKind::UnknownEventType, detail).with_errors(vec![error]));
    };
    event
        .resolve_recipients(&definition.recipients_from)
        .map_err(at)?;
    if !event.unusable.is_empty() {
        return Err(at(event.recipient_errors()));
    }
    let names_nobody = event.recipients.is_empty();
    if names_nobody && definition.recipients == RecipientRule::Required && !event.is_deleted_row() {
        return Err(at(vec![event.no_recipient()]));
    }
    if let Some(error) = event.time_error(now) {
        return Err(at(vec![error]));
    }
    if let Some(error) = event.send_at_error(now) {
        return Err(at(vec![error]));
    }
    // The router skips an event without recipients and does not check its data; neither does the gateway.
    let errors = match catalog {
        Some(catalog) if !names_nobody => catalog.validate_data(name, &event.data),
        _ => Vec::new(),
    };
    if !errors.is_empty() {
        return Err(at(errors));
    }
    let lane = event.priority.or(definition.priority).unwrap_or_default();
    let (event, wire) = as_published(event, now).map_err(at)?;
    let fingerprint = event.fingerprint();
    Ok(Checked {
        event,
        type_name: Arc::clone(name),
        wire,
        lane,
        fingerprint,
    })
}

/// The bytes that are published, and the event that the router will read from them. An event that the router would
/// refuse is refused here, because after a 202 the client no longer expects a refusal.
fn as_published(event: Event, now: Timestamp) -> Result<(Event, Vec<u8>), Vec<FieldError>> {
    let wire = event.to_wire();
    if wire.len() > MAX_WIRE_BYTES {
        let text =
            format!("expected an event of at most {MAX_WIRE_BYTES} bytes with its recipients written out");
        return Err(vec![FieldError::new("", "too-large", text)]);
    }
    // The wire form of an event with recipients is the same event (a property test of the domain). Without recipients
    // a CloudEvent's reader also looks for them in the data.
    if !event.recipients.is_empty() && event.extensions.is_empty() {
        return Ok((event, wire));
    }
    let read = Event::from_cloudevent(&wire, Defaults::at(now))?;
    // The client knows its own spelling of the event only. A reader finds recipients elsewhere only if the event has none.
    let places = if event.recipients.is_empty() {
        read.places.clone()
    } else {
        event.places
    };
    Ok((Event { places, ..read }, wire))
}

/// Refuses an event whose recipients are all unknown users. If one is known, the decisions report the others.
async fn refuse_strangers(
    state: &GatewayState,
    tenant: &TenantId,
    checked: &mut [(String, Result<Checked, Problem>)],
) -> Result<(), ApiError> {
    let known = &state.0.known_users;
    let is_known = |user: &UserId| known.contains(tenant, user);
    let mut asked: HashSet<UserId> = HashSet::new();
    for checked in checked.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        let users = users_alone(&checked.event);
        if !users.is_empty() && !users.iter().any(|user| is_known(user)) {
            asked.extend(users.into_iter().cloned());
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let asked: Vec<UserId> = asked.into_iter().collect();
    let users = state.store.users();
    let found = in_time(users.load_facts(tenant, &asked)).await?;
    for user in found.into_keys() {
        known.insert(tenant, user);
    }
    for (prefix, result) in checked.iter_mut() {
        let Ok(event) = result else { continue };
        let users = users_alone(&event.event);
        if !users.is_empty() && !users.iter().any(|user| is_known(user)) {
            let errors = users.iter().enumerate().map(|(index, user)| ProblemError {
                pointer: format!("{prefix}{}", event.event.places.user_pointer(index)),
                code: "unknown-user".to_owned(),
                message: format!("expected an existing user, not {}", quoted(user.as_str())),
            });
            let errors = errors.take(20).collect();
            let detail = "expected at least one existing user";
            let problem = Problem::new(ProblemKind::UnknownUser, detail).with_errors(errors);
            *result = Err(problem.passing());
        }
    }
    Ok(())
}

/// The users of an event that has no guest among its recipients.
fn users_alone(event: &Event) -> Vec<&UserId> {
    let users: Vec<&UserId> = event
        .recipients
        .iter()
        .filter_map(|recipient| recipient.user_id.as_ref())
        .collect();
    if users.len() == event.recipients.len() {
        users
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use carillon_domain::catalog::Catalog;
    use serde_json::{Value, json};

    use super::*;

    fn catalog() -> CompiledCatalog {
        let branches: Vec<Value> = (0..900)
            .map(|n| json!({"properties": {format!("p{n}"): {}}}))
            .collect();
        let of = |schema: &Value| json!({"category": "c", "channels": {"order": ["sms"]}, "schema": schema});
        let ordinary = json!({"type": "object", "required": ["order_id"], "properties": {
            "order_id": {"type": "string", "pattern": "^[0-9]+$"}, "mail": {"format": "email"},
            "lines": {"items": {"required": ["sku"], "properties": {"sku": {"type": "string"}}}}}});
        let document = json!({"categories": {"c": {}}, "types": {
            "Costly": of(&json!({"allOf": branches, "unevaluatedProperties": {"type": "string"}})),
            "Ordinary": of(&ordinary)}});
        CompiledCatalog::new(serde_json::from_value::<Catalog>(document).unwrap())
    }

    fn event(event_type: &str, bytes: usize) -> Read {
        let json =
            json!({"type": event_type, "recipients": ["u-1"], "data": {"order_id": "1".repeat(bytes)}});
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        let event = Event::from_plain(json.to_string().as_bytes(), Defaults::at(now));
        (String::new(), event)
    }

    #[test]
    fn small_data_of_a_costly_schema_is_not_checked_on_the_answering_thread() {
        let catalog = catalog();
        let is_large = |event_type, bytes| turn(Some(&catalog), &[event(event_type, bytes)]).1;
        assert!(is_large("Costly", 200));
        assert!(!is_large("Ordinary", 10_000));
        assert!(is_large("Ordinary", 70_000));
        assert!(!is_large("Unknown", 10_000));
    }

    #[test]
    fn a_batch_of_costly_checks_takes_several_turns() {
        let catalog = catalog();
        let costly: Vec<Read> = (0..10).map(|_| event("Costly", 10_000)).collect();
        assert_eq!(turn(Some(&catalog), &costly), (1, true));
        let ordinary: Vec<Read> = (0..50).map(|_| event("Ordinary", 100)).collect();
        assert_eq!(turn(Some(&catalog), &ordinary), (50, false));
    }
}
