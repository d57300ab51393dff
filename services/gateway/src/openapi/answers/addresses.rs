//! Schemas of answers about users, their addresses, and the suppression list.
#![expect(dead_code, reason = "only their schemas are used")]

use chrono::{DateTime, Utc};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::openapi::schemas::{ChannelName, PlatformName, SuppressionReasonName};

/// A user. Addresses are masked unless they are revealed.
#[derive(ToSchema)]
pub(crate) struct User {
    id: String,
    #[schema(required)]
    email: Option<String>,
    /// The e-mail address's entry in the suppression list; absent if it takes messages.
    #[schema(nullable = false)]
    email_suppressed: Option<Suppression>,
    /// E.164.
    #[schema(required)]
    phone: Option<String>,
    /// The phone's entry in the suppression list; absent if it takes messages.
    #[schema(nullable = false)]
    phone_suppressed: Option<Suppression>,
    /// BCP 47.
    #[schema(required)]
    locale: Option<String>,
    /// IANA name.
    #[schema(required)]
    timezone: Option<String>,
    /// In order of registration.
    devices: Vec<RegisteredDevice>,
    /// Endpoints that receive webhooks, by name.
    webhooks: Vec<Endpoint>,
}

/// An endpoint of a user.
#[derive(ToSchema)]
pub(crate) struct Endpoint {
    name: String,
    url: String,
    /// The number of secrets; the secrets themselves are never shown.
    secrets: usize,
    /// The URL's entry in the suppression list; absent if it takes messages.
    #[schema(nullable = false)]
    suppressed: Option<Suppression>,
}

/// An endpoint as it was written, its URL masked.
#[derive(ToSchema)]
pub(crate) struct RegisteredEndpoint {
    name: String,
    url: String,
    /// A generated secret, which is shown this once; absent if the caller gave the secrets, or the endpoint had some.
    #[schema(nullable = false)]
    secret: Option<String>,
}

/// A device of a user.
#[derive(ToSchema)]
pub(crate) struct RegisteredDevice {
    platform: PlatformName,
    token: String,
    /// The token's entry in the suppression list; absent if it takes messages.
    #[schema(nullable = false)]
    suppressed: Option<Suppression>,
}

/// A page of the suppression list, newest first.
#[derive(ToSchema)]
pub(crate) struct SuppressionPage {
    items: Vec<Suppression>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An entry of the suppression list: an address that takes no messages, and why.
#[derive(ToSchema)]
pub(crate) struct Suppression {
    channel: ChannelName,
    /// The address, masked; null after the user that had it was erased.
    #[schema(required)]
    address_masked: Option<String>,
    reason: SuppressionReasonName,
    /// The provider account whose answer is the cause, also of an entry that a person wrote over a provider's verdict.
    #[schema(required)]
    provider: Option<String>,
    /// The provider's structured code.
    #[schema(required)]
    code: Option<String>,
    /// The delivery that caused it.
    #[schema(required)]
    delivery_id: Option<Uuid>,
    /// The name of the API key with which a person gave the entry its reason.
    #[schema(required)]
    actor: Option<String>,
    /// A person's note.
    #[schema(required)]
    note: Option<String>,
    /// The time since which the address takes no messages.
    created_at: DateTime<Utc>,
    /// The time at which the entry stops counting; null: never.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
}
