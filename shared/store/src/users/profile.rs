//! A user with its addresses, and the verdicts on these.

use std::sync::Arc;

use carillon_domain::{
    ContactPoint, ContactPointId, DeliveryId, Platform, TenantId, Timestamp, UserId,
    contact::{Death, DeathReason},
};
use serde::{Deserialize, Serialize};

/// A device that receives push messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its platform.
    pub platform: Platform,
    /// The registration token.
    pub token: String,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

/// The reason for which an address receives no more messages: the provider's verdict, and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obituary {
    /// The reason.
    pub reason: DeathReason,
    /// The provider's structured code.
    pub code: String,
    /// The provider account that returned the verdict.
    pub provider: Option<String>,
    /// The time at which it was recorded.
    pub at: Timestamp,
    /// The delivery that caused it.
    pub delivery_id: Option<DeliveryId>,
}

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisteredDevice {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Set if the device receives no more messages; registering it again revives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<Obituary>,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The id by which the event source knows the user.
    pub id: UserId,
    /// E-mail address.
    pub email: Option<String>,
    /// Set if the e-mail address receives no more messages; setting it again revives it, unless the owner opted out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_dead: Option<Obituary>,
    /// Phone, E.164.
    pub phone: Option<String>,
    /// Set if the phone receives no more messages; setting it again revives it, unless the owner opted out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_dead: Option<Obituary>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// Devices, in order of registration.
    pub devices: Vec<RegisteredDevice>,
}

/// The content of a `PUT` of a user. The caller has checked the addresses.
#[derive(Clone, Default)]
pub struct UserPut {
    /// E-mail address; `None` removes it.
    pub email: Option<String>,
    /// Phone, E.164; `None` removes it.
    pub phone: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// All devices; `None` leaves them as they are.
    pub devices: Option<Vec<Device>>,
}

/// An address that a provider has declared dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadContact {
    /// The tenant.
    pub tenant: TenantId,
    /// The contact point.
    pub id: ContactPointId,
    /// The provider's structured code.
    pub code: String,
    /// The reason.
    pub reason: DeathReason,
    /// The provider account that returned the verdict.
    pub provider: Arc<str>,
    /// The delivery that caused it.
    pub delivery_id: DeliveryId,
    /// The time of the message that failed; an address registered since then is not marked.
    pub seen_at: Timestamp,
}

/// A contact point, looked up for sending.
#[derive(Debug, Clone)]
pub struct ResolvedContact {
    /// The address.
    pub point: ContactPoint,
    /// The provider's verdict, if it has declared the address dead.
    pub dead: Option<Death>,
}
