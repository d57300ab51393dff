//! Schemas of bodies whose types are in crates without OpenAPI. No body is parsed into these types; a test
//! compares them with the types that are used for parsing. Maps are written out, because all uses of an alias
//! would share one schema.
#![expect(dead_code, reason = "only their schemas are used")]

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An instant in RFC 3339, or a date, which means the instant at which it begins in UTC.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum MomentText {
    Instant(DateTime<Utc>),
    Date(NaiveDate),
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum ChannelName {
    Push,
    Email,
    Sms,
    Webhook,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum StatusName {
    Accepted,
    Deferred,
    Queued,
    Sending,
    Retrying,
    Uncertain,
    Sent,
    Failed,
    Expired,
    Cancelled,
    Suppressed,
    DeadLettered,
    Digested,
    Delivered,
    Bounced,
    Opened,
    Acknowledged,
    Clicked,
    Complained,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum OutcomeName {
    Send,
    Suppress,
    Defer,
    Digest,
    Drop,
    Duplicate,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ReasonName {
    Allowed,
    Critical,
    Expired,
    UnknownUser,
    NoAddress,
    AddressDead,
    Stopped,
    Complained,
    Suppressed,
    OptedOutType,
    OptedOutCategory,
    OptedOutChannel,
    NotOptedIn,
    FallbackNotNeeded,
    FallbackWaits,
    FallbackReached,
    FallbackUsed,
    ExpiresInFallback,
    ChannelNotRequested,
    ChannelNotOfType,
    RepeatedRecipient,
    RepeatedAddress,
    InvalidRecipient,
    QuietHours,
    ExpiresInQuietHours,
    Digest,
    ExpiresInDigest,
    OverLimit,
    Downgraded,
    LimitUnknown,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum DeadLetterStateName {
    Open,
    Replayed,
    Discarded,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum QueueName {
    Push,
    Email,
    Sms,
    Webhook,
    Events,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum FailureClassName {
    Unparseable,
    Invalid,
    Render,
    Terminal,
    AddressDead,
    RetriesExhausted,
    Uncertain,
    Bug,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum SuppressionReasonName {
    HardBounce,
    Complaint,
    OptedOut,
    DeadToken,
    Manual,
    Import,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum JobKindName {
    Replay,
    Discard,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum JobStateName {
    Running,
    Paused,
    /// Its canary has failed; it goes on only when it is resumed.
    Stopped,
    Done,
    Cancelled,
    Failed,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum CanaryPhaseName {
    /// Its letters are being put back.
    Sending,
    /// Some of its letters have not ended.
    Watching,
    /// No more letters failed than the tolerance allows.
    Passed,
    /// Too many have failed again; the job has stopped.
    Failed,
    /// It had failed, and a person let the job go on.
    Overruled,
}

/// The number of letters that go first, or `true` for 10.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum CanaryNumber {
    Wanted(bool),
    Letters(CanaryLetters),
}

/// The number of letters that go first.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 1000)]
pub(crate) struct CanaryLetters(u32);

/// An outcome, or `not_sent`: suppressed, dropped, or a duplicate.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ActivityOutcomeName {
    NotSent,
    Send,
    Suppress,
    Defer,
    Digest,
    Drop,
    Duplicate,
}

/// The causes that a list shows: those that are not ignored, the ignored ones, or any.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum IgnoredName {
    False,
    True,
    Any,
}

/// The name of an operation of RFC 6902.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum PatchName {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

/// An operation of a JSON Patch (RFC 6902).
#[derive(ToSchema)]
pub(crate) struct PatchOperation {
    op: PatchName,
    /// JSON pointer to the place.
    #[schema(example = "/data/carrier")]
    path: String,
    /// JSON pointer to the source of `move` and `copy`.
    #[schema(required = false, nullable = false)]
    from: Option<String>,
    /// The value of `add`, `replace` and `test`.
    #[schema(required = false)]
    value: serde_json::Value,
}

/// An operation of an edit, without its value.
#[derive(ToSchema)]
pub(crate) struct EditOperation {
    op: PatchName,
    /// JSON pointer to the place.
    path: String,
    /// JSON pointer to the source of `move` and `copy`.
    #[schema(required = false, nullable = false)]
    from: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum RoleName {
    Viewer,
    Operator,
    Admin,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum PlatformName {
    Android,
    Ios,
    Web,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum PriorityName {
    High,
    Normal,
    Bulk,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum DayName {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A recipient: a known user, or a guest with an address.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipientBody {
    /// A user's id; excludes an address.
    #[schema(min_length = 1, max_length = 255, example = "u-42")]
    user_id: Option<String>,
    /// A guest's e-mail address.
    #[schema(example = "guest@example.com")]
    email: Option<String>,
    /// A guest's phone, E.164.
    #[schema(example = "+4915112345678")]
    phone: Option<String>,
    /// BCP 47; overrides the user's own.
    #[schema(example = "fr-CA")]
    locale: Option<String>,
    /// IANA name; overrides the user's own.
    #[schema(example = "America/Montreal")]
    timezone: Option<String>,
}

/// An event in Carillon's plain form. It is closed: an unknown field is an error.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainEvent {
    /// Unique within its source. If absent, it is the request's `Idempotency-Key`, or else a new one, which the answer
    /// names: then a repeated request is another event.
    #[schema(min_length = 1, example = "order-1001-shipped")]
    id: Option<String>,
    /// The source of the event; `/` if absent.
    #[schema(min_length = 1, example = "/shop/orders")]
    source: Option<String>,
    /// A type of the catalog.
    #[schema(rename = "type", min_length = 1, example = "OrderShipped")]
    r#type: String,
    /// When it happened; now if absent.
    time: Option<DateTime<Utc>>,
    /// The recipients, at most 1,000. If absent, they are looked for in `data.recipients` and at the places that the
    /// catalog's type names.
    recipients: Option<Vec<RecipientBody>>,
    priority: Option<PriorityName>,
    /// The message is not sent before this time.
    sendat: Option<DateTime<Utc>>,
    /// The message is not sent after this time.
    expiresat: Option<DateTime<Utc>>,
    /// Restricts the catalog's channels. A channel that the type does not have gets a decision `channel_not_of_type`.
    channels: Option<Vec<ChannelName>>,
    /// The data for the templates; an empty object if absent.
    data: Option<Map<String, Value>>,
}

/// A CloudEvents 1.0 event in structured mode. It is open: unknown attributes are kept.
#[derive(ToSchema)]
pub(crate) struct CloudEvent {
    #[schema(pattern = "^1\\.0$", example = "1.0")]
    specversion: String,
    /// Unique within its source, and the same when the event is sent again. An event without it is refused.
    #[schema(min_length = 1, example = "order-1001-shipped")]
    id: String,
    #[schema(min_length = 1, example = "/shop/orders")]
    source: String,
    #[schema(min_length = 1, example = "OrderShipped")]
    r#type: String,
    time: Option<DateTime<Utc>>,
    /// User ids, comma-separated.
    #[schema(example = "u-42")]
    recipient: Option<String>,
    data: Option<Map<String, Value>>,
}

/// One event, or a list of events.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum EventOrBatch {
    Plain(PlainEvent),
    Cloud(CloudEvent),
    Batch(Vec<Map<String, Value>>),
}

/// One event, or an event with the conditions of its simulation.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum EventOrSimulation {
    Plain(PlainEvent),
    Cloud(CloudEvent),
    Simulation(Box<SimulationBody>),
}

/// An event with the conditions of its simulation.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimulationBody {
    /// The event.
    event: PlainOrCloudEvent,
    /// The time of the decisions; now if absent.
    at: Option<MomentText>,
    /// Changes that hold for the simulation only.
    as_if: Option<AsIfBody>,
}

/// An event in the plain form, or a CloudEvent.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum PlainOrCloudEvent {
    Plain(PlainEvent),
    Cloud(CloudEvent),
}

/// Changes that hold for a simulation only.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AsIfBody {
    /// The preferences of all users that the event names, in place of their own.
    preferences: Option<PreferencesBody>,
    /// The catalog, in place of the tenant's. Templates stay those that are published.
    catalog: Option<CatalogBody>,
}

/// A user's preferences; absent values are inherited.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreferencesBody {
    /// Choices by channel.
    #[schema(nullable = false)]
    global: Option<BTreeMap<ChannelName, bool>>,
    /// Choices by category and channel.
    #[schema(nullable = false)]
    categories: Option<BTreeMap<String, BTreeMap<ChannelName, bool>>>,
    /// Choices by event type and channel.
    #[schema(nullable = false)]
    types: Option<BTreeMap<String, BTreeMap<ChannelName, bool>>>,
    /// Quiet windows, in the user's timezone. Absent, those of the catalog hold; an empty list means none. No two overlap,
    /// and some time of the week is left.
    #[schema(max_items = 32)]
    quiet_hours: Option<Vec<QuietHoursBody>>,
}

/// A merge patch of preferences (RFC 7396): null removes a value, so that it is inherited.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreferencesPatch {
    /// Choices by channel.
    global: Option<BTreeMap<ChannelName, Option<bool>>>,
    /// Choices by category and channel.
    categories: Option<BTreeMap<String, BTreeMap<ChannelName, Option<bool>>>>,
    /// Choices by event type and channel.
    types: Option<BTreeMap<String, BTreeMap<ChannelName, Option<bool>>>>,
    /// All quiet windows; they replace the present ones. Null: those of the catalog hold.
    #[schema(max_items = 32)]
    quiet_hours: Option<Vec<QuietHoursBody>>,
}

/// A quiet window. If its end is before its start, it runs over midnight.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuietHoursBody {
    /// The days on which it starts; none means every day.
    #[schema(nullable = false)]
    days: Option<Vec<DayName>>,
    /// The local time at which it starts.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "22:00")]
    from: String,
    /// Local end, exclusive.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$", example = "07:00")]
    to: String,
}

/// A tenant's catalog; `examples/shop/catalog.yaml` shows each setting but `sources`, which `examples/orders/catalog.yaml` shows.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatalogBody {
    /// Event types by name: `category`, `channels` (`mode`, `order`, `wait`), `critical`, `priority`, `schema`, `match`, `recipients_from`, `sensitive`.
    #[schema(nullable = false)]
    types: Option<BTreeMap<String, Map<String, Value>>>,
    /// Categories by name: `title`, `default`, `limits`, `overflow`, `digest`, `on_uncertain`.
    #[schema(nullable = false)]
    categories: Option<BTreeMap<String, Map<String, Value>>>,
    /// The timezone (IANA name) of recipients whose own is not known; UTC if absent.
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// The quiet hours of recipients who have set none.
    #[schema(nullable = false, max_items = 32)]
    quiet_hours: Option<Vec<QuietHoursBody>>,
    /// The limits that hold for all categories.
    #[schema(nullable = false)]
    limits: Option<CatalogLimitsBody>,
    /// The rules by which records of other systems become events, by topic: `format` (`debezium` or `outbox`) and `rules`, each
    /// with `type`, `when` (`op`, `field`, `becomes`), `id`, `recipients`, `data` and `time`. `docs/sources.md` describes them.
    #[schema(nullable = false)]
    sources: Option<BTreeMap<String, Map<String, Value>>>,
}

/// Limits that hold for all categories. A message counts against all limits of its channel, or against none.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CatalogLimitsBody {
    /// Of the whole tenant: the messages to all recipients count together.
    #[schema(nullable = false)]
    tenant: Option<Vec<LimitBody>>,
    /// For each user.
    #[schema(nullable = false)]
    user: Option<Vec<LimitBody>>,
}

/// At most `max` messages on a channel in any period of length `per`.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitBody {
    channel: ChannelName,
    /// At least 1; at most 1,000,000 of a whole tenant.
    #[schema(minimum = 1)]
    max: u32,
    /// Such as `1h` or `7d`.
    #[schema(example = "1h")]
    per: String,
}

#[cfg(test)]
mod tests {
    use carillon_domain::{
        Catalog, Channel, DeliveryStatus, Event, Preferences,
        dead_letter::FailureClass,
        decide::{Outcome, Reason},
        event::Defaults,
        suppression::SuppressionReason,
    };
    use serde::Serialize;
    use serde_json::json;
    use strum::{IntoEnumIterator as _, VariantArray as _};
    use utoipa::PartialSchema;

    use super::*;
    use crate::api::dlq::Queue;

    fn names<T: PartialSchema>() -> Vec<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    fn told(values: impl Iterator<Item = impl Serialize>) -> Vec<String> {
        values
            .map(|value| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned())
            .collect()
    }

    fn sorted(mut names: Vec<String>) -> Vec<String> {
        names.sort();
        names
    }

    fn properties<T: PartialSchema>() -> Vec<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        assert!(schema["properties"].is_object(), "{schema}");
        sorted(
            schema["properties"]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect(),
        )
    }

    #[test]
    fn the_names_in_the_document_are_those_that_are_read() {
        assert_eq!(sorted(names::<ChannelName>()), sorted(told(Channel::iter())));
        assert_eq!(
            sorted(names::<StatusName>()),
            sorted(told(DeliveryStatus::iter()))
        );
        assert_eq!(sorted(names::<QueueName>()), sorted(told(Queue::iter())));
        assert_eq!(
            sorted(names::<OutcomeName>()),
            sorted(told(Outcome::VARIANTS.iter()))
        );
        assert_eq!(
            sorted(names::<ReasonName>()),
            sorted(told(Reason::VARIANTS.iter()))
        );
        assert_eq!(
            sorted(names::<FailureClassName>()),
            sorted(told(FailureClass::ALL.iter()))
        );
        assert_eq!(
            sorted(names::<SuppressionReasonName>()),
            sorted(told(SuppressionReason::VARIANTS.iter()))
        );
    }

    #[test]
    fn a_body_with_every_field_of_its_schema_is_read() {
        let preferences = json!({
            "global": {"email": true}, "categories": {"c": {"sms": false}}, "types": {"T": {"push": true}},
            "quiet_hours": [{"days": ["mon"], "from": "22:00", "to": "07:00"}],
        });
        assert_eq!(
            properties::<PreferencesBody>(),
            sorted(preferences.as_object().unwrap().keys().cloned().collect())
        );
        serde_json::from_value::<Preferences>(preferences).unwrap();
        let catalog = json!({"types": {}, "categories": {}, "timezone": "UTC",
            "quiet_hours": [{"days": ["mon"], "from": "22:00", "to": "07:00"}],
            "limits": {"tenant": [{"channel": "sms", "max": 1, "per": "1h"}], "user": []},
            "sources": {"shop.public.orders": {"format": "debezium", "rules": [{"type": "T", "when": {"op": ["update"],
                "field": "/status", "becomes": "shipped"}, "recipients": ["/after/customer_id"], "data": "/after"}]}}});
        assert_eq!(
            properties::<CatalogBody>(),
            sorted(catalog.as_object().unwrap().keys().cloned().collect())
        );
        serde_json::from_value::<Catalog>(catalog).unwrap();
        let event = json!({
            "id": "1", "source": "/", "type": "T", "time": "2026-11-24T10:00:00Z", "recipients": [{"user_id": "u"}],
            "priority": "high", "sendat": "2026-11-24T10:00:00Z", "expiresat": "2026-11-25T10:00:00Z",
            "channels": ["email"], "data": {},
        });
        assert_eq!(
            properties::<PlainEvent>(),
            sorted(event.as_object().unwrap().keys().cloned().collect())
        );
        let now = "2026-11-24T10:00:00Z".parse().unwrap();
        Event::from_plain(event.to_string().as_bytes(), Defaults::at(now)).unwrap();
    }
}
