//! Decides which personal data each role sees. Sensitive values and addresses are masked for all roles. An
//! admin may reveal them, which is noted in the audit log first.

use axum::http::Uri;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use carillon_bus::dead_letter;
use carillon_domain::{
    Channel, TenantId, Timestamp, contact,
    decide::Decision,
    mask::{HIDDEN, Mask, mask_addresses},
};
use carillon_runtime::http::ProblemKind;
use carillon_store::{
    api_keys::Role,
    audit_log::AuditAction,
    dead_letters::{DeadLetterGroup, DeadLetterView},
    read_model::{DecisionView, DeliveryView, StepView},
    suppressions::SuppressionView,
    users::User,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{auth::Caller, error::ApiError, letters::VerdictDocument, state::GatewayState};

/// The extent to which an answer may show personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Events and messages with sensitive values and addresses masked; dead letters without their records.
    Viewer,
    /// Like [`Self::Viewer`], with the masked records of dead letters.
    Masked,
    /// All data, for an admin who has requested it.
    Revealed,
}

/// The query parameter by which an admin reveals hidden values.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reveal {
    pub(crate) reveal: bool,
}

impl Sight {
    /// The extent for a role without a reveal.
    pub(crate) fn of(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator | Role::Admin => Self::Masked,
        }
    }

    /// The extent for this request. A reveal needs an admin's key, and is noted before it is answered.
    pub(crate) async fn asked(
        state: &GatewayState,
        caller: &Caller,
        reveal: bool,
        uri: &Uri,
    ) -> Result<Self, ApiError> {
        if !reveal {
            return Ok(Self::of(caller.0.role));
        }
        let route = uri.path_and_query().map_or("/", |path| path.as_str());
        Self::reveal(state, caller, route).await
    }

    /// Notes that an admin reveals the hidden values at `route`.
    pub(crate) async fn reveal(state: &GatewayState, caller: &Caller, route: &str) -> Result<Self, ApiError> {
        if caller.0.role < Role::Admin {
            let text = format!(
                "reveal: this needs the role admin; the key has the role {}",
                caller.0.role
            );
            return Err(ApiError::new(ProblemKind::Forbidden, text));
        }
        state
            .store
            .audit_log()
            .note(&caller.0, AuditAction::Reveal, route)
            .await?;
        Ok(Self::Revealed)
    }

    pub(crate) fn is_revealed(self) -> bool {
        self == Self::Revealed
    }
}

/// The mask of an event type, by the tenant's present catalog and all former ones.
pub(crate) async fn mask_of(
    state: &GatewayState,
    tenant: &TenantId,
    event_type: Option<&str>,
) -> Result<Mask, ApiError> {
    let catalog = state.catalogs.get(tenant).await?;
    Ok(match catalog.as_ref().zip(event_type) {
        Some((catalog, event_type)) => catalog.mask(event_type),
        None => Mask::of(None),
    })
}

fn mask_text(text: &mut String) {
    *text = mask_addresses(text).into_owned();
}

/// Masks a delivery. Its sentences are Carillon's own, not a provider's, but addresses are masked in them
/// too.
pub(crate) fn mask_delivery(delivery: &mut DeliveryView) {
    delivery.detail.as_mut().map(mask_text);
}

pub(crate) fn mask_timeline(timeline: &mut [StepView]) {
    for step in timeline {
        step.detail.as_mut().map(mask_text);
    }
}

/// Removes the hashes of addresses, which serve searches only.
pub(crate) fn without_hashes(decisions: &mut [Decision]) {
    for decision in decisions {
        decision.address_hash = None;
    }
}

pub(crate) fn mask_decisions(decisions: &mut [Decision]) {
    for decision in decisions {
        mask_text(&mut decision.sentence);
        if decision.user_id.is_none() {
            mask_text(&mut decision.recipient);
        }
    }
}

/// A decision of a list.
pub(crate) fn mask_decision(decision: &mut DecisionView) {
    mask_text(&mut decision.sentence);
    if decision.user_id.is_none() {
        mask_text(&mut decision.recipient);
    }
}

pub(crate) fn mask_group(group: &mut DeadLetterGroup) {
    mask_text(&mut group.sample_reason);
}

/// A text that a person has written for others.
pub(crate) fn masked(text: &str) -> String {
    mask_addresses(text).into_owned()
}

/// A dead letter without its record.
pub(crate) fn mask_letter(letter: &mut DeadLetterView) {
    mask_text(&mut letter.reason);
    letter.headers.clear();
    letter.value.clear();
}

/// An entry of the suppression list. Its address is stored masked, and a note may contain one.
pub(crate) fn mask_suppression(entry: &mut SuppressionView) {
    entry.note.as_mut().map(mask_text);
}

/// A user with every address masked.
pub(crate) fn mask_user(user: &mut User) {
    let devices = user.devices.iter_mut().map(|device| &mut device.suppressed);
    let endpoints = user.webhooks.iter_mut().map(|endpoint| &mut endpoint.suppressed);
    let others = [&mut user.email_suppressed, &mut user.phone_suppressed];
    for entry in devices.chain(endpoints).chain(others) {
        entry.as_mut().map(mask_suppression);
    }
    let mask = |channel, address: &mut String| *address = contact::mask(channel, address);
    if let Some(email) = &mut user.email {
        mask(Channel::Email, email);
    }
    if let Some(phone) = &mut user.phone {
        mask(Channel::Sms, phone);
    }
    for device in &mut user.devices {
        mask(Channel::Push, &mut device.device.token);
    }
    for endpoint in &mut user.webhooks {
        mask(Channel::Webhook, &mut endpoint.url);
    }
}

/// A dead letter as a caller may see it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeadLetterDocument {
    #[serde(flatten)]
    pub(crate) letter: DeadLetterView,
    /// The verdict; null if the letter is open.
    pub(crate) verdict: Option<VerdictDocument>,
    /// The partition that the record came from; null if the record does not say it.
    pub(crate) source_partition: Option<i32>,
    /// The offset that the record came from; null if the record does not say it.
    pub(crate) source_offset: Option<i64>,
    /// The time of the record at that place; null if the record does not say it.
    pub(crate) source_timestamp: Option<Timestamp>,
    /// The record's headers, in order; null for viewers.
    pub(crate) headers: Option<Vec<(String, String)>>,
    /// The record's bytes, base64; null if they are not shown.
    pub(crate) value_base64: Option<String>,
    /// The reason for which the record is hidden or masked; null if it is shown unchanged.
    pub(crate) hidden: Option<&'static str>,
    #[serde(skip)]
    pub(crate) value: Option<Vec<u8>>,
}

/// A dead letter as the caller may see it: viewers get no record; others get the masked record if it can be
/// parsed.
pub(crate) async fn show_dead_letter(
    state: &GatewayState,
    tenant: &TenantId,
    sight: Sight,
    mut letter: DeadLetterView,
    verdict: Option<VerdictDocument>,
) -> Result<DeadLetterDocument, ApiError> {
    let value = std::mem::take(&mut letter.value);
    let mut headers = std::mem::take(&mut letter.headers);
    let Place {
        partition: source_partition,
        offset: source_offset,
        timestamp: source_timestamp,
    } = Place::of(&headers);
    if !sight.is_revealed() {
        mask_text(&mut letter.reason);
    }
    let (headers, value, hidden) = match sight {
        Sight::Revealed => (Some(headers), Some(value), None),
        Sight::Viewer => (None, None, Some("viewers are not shown records")),
        Sight::Masked => {
            let mask = mask_of(state, tenant, letter.event_type.as_deref()).await?;
            let is_binary = headers.iter().any(|(name, _)| name == "ce_type");
            let masked = masked_value(&mask, is_binary, &value);
            for (name, value) in &mut headers {
                mask_header(&mask, name, value);
            }
            let hidden = if masked.is_some() {
                "sensitive values and addresses are masked"
            } else {
                "the record cannot be read, so its sensitive values are unknown"
            };
            (Some(headers), masked, Some(hidden))
        }
    };
    Ok(DeadLetterDocument {
        letter,
        verdict,
        source_partition,
        source_offset,
        source_timestamp,
        headers,
        value_base64: value.as_ref().map(|value| STANDARD.encode(value)),
        hidden,
        value,
    })
}

/// The place that a record came from, as far as its headers say it. Each role sees it, because it contains no personal
/// data, and because a record with hidden content can be found by its place only.
#[derive(Default)]
struct Place {
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<Timestamp>,
}

impl Place {
    fn of(headers: &[(String, String)]) -> Self {
        let mut place = Self::default();
        for (name, value) in headers {
            place.read(name, value);
        }
        place
    }

    /// Whether the header is a part of the place. Its value has to be a number; other bytes may contain personal data.
    fn read(&mut self, name: &str, value: &str) -> bool {
        let bytes = || match value.strip_prefix("base64:") {
            Some(encoded) => STANDARD.decode(encoded).ok(),
            None => Some(value.as_bytes().to_vec()),
        };
        let long = || Some(i64::from_be_bytes(bytes()?.try_into().ok()?));
        match name {
            dead_letter::PARTITION => {
                let read = bytes().and_then(|bytes| Some(i32::from_be_bytes(bytes.try_into().ok()?)));
                self.partition = read;
                read.is_some()
            }
            dead_letter::OFFSET => {
                self.offset = long();
                self.offset.is_some()
            }
            dead_letter::TIMESTAMP => {
                self.timestamp = long().and_then(Timestamp::from_timestamp_millis);
                self.timestamp.is_some()
            }
            _ => false,
        }
    }
}

fn masked_value(mask: &Mask, is_binary: bool, value: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    let masked: Box<RawValue> = if is_binary {
        mask.binary(text)
    } else {
        mask.event(text)
    }?;
    Some(masked.get().as_bytes().to_vec())
}

fn mask_header(mask: &Mask, name: &str, value: &mut String) {
    if Place::default().read(name, value) {
        return;
    }
    if value.starts_with("base64:") {
        HIDDEN.clone_into(value);
    } else if let Some(attribute) = name.strip_prefix("ce_") {
        *value = mask.attribute(attribute, value);
    } else {
        mask_text(value);
    }
}
