//! A user with its addresses, and their entries in the suppression list.

use carillon_domain::{Platform, UserId, contact::SigningSecret};
use serde::{Deserialize, Serialize};

use crate::suppressions::SuppressionView;

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

/// A device of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisteredDevice {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// The token's entry in the suppression list, if it takes no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<SuppressionView>,
}

/// An endpoint that receives webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Its name, unique for the user.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The number of its secrets. The secrets themselves are not shown.
    pub secrets: usize,
    /// The URL's entry in the suppression list, if it takes no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<SuppressionView>,
}

/// The content of a `PUT` of an endpoint. The caller has checked the URL.
#[derive(Debug, Clone)]
pub struct EndpointPut {
    /// Its name, unique for the user.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Its secrets, the present one first; empty: those that it has.
    pub secrets: Vec<SigningSecret>,
    /// The secret of an endpoint that is new and has none yet.
    pub first_secret: SigningSecret,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The id by which the event source knows the user.
    pub id: UserId,
    /// E-mail address.
    pub email: Option<String>,
    /// The e-mail address's entry in the suppression list, if it takes no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_suppressed: Option<SuppressionView>,
    /// Phone, E.164.
    pub phone: Option<String>,
    /// The phone's entry in the suppression list, if it takes no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_suppressed: Option<SuppressionView>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
    /// Devices, in order of registration.
    pub devices: Vec<RegisteredDevice>,
    /// Endpoints that receive webhooks, by name.
    pub webhooks: Vec<Endpoint>,
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
