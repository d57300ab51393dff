//! The recipients of events.

use serde::{Deserialize, Serialize};

use crate::{
    channel::Channel,
    contact::{self, AddressKey},
    field_error::{FieldError, quoted},
    ids::UserId,
    locale,
};

/// A recipient: a known user, or a guest whose address is in the event.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// The id of a known user; excludes an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// A guest's e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A guest's phone, E.164.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// BCP 47; overrides the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// IANA name; overrides the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recipient").field(&self.masked()).finish()
    }
}

impl Recipient {
    /// A known user.
    #[must_use]
    pub fn user(id: impl Into<UserId>) -> Self {
        Self {
            user_id: Some(id.into()),
            email: None,
            phone: None,
            locale: None,
            timezone: None,
        }
    }

    /// The text from which [`crate::NotificationId`] is derived. Guests are identified by the keyed hash of their
    /// addresses.
    #[must_use]
    pub fn identity(&self, key: &AddressKey) -> String {
        if let Some(user) = &self.user_id {
            format!("user:{user}")
        } else {
            let hash = |channel, address: &Option<String>| {
                address
                    .as_ref()
                    .map_or_else(String::new, |address| key.hash(channel, address).to_string())
            };
            format!(
                "inline:{}:{}",
                hash(Channel::Email, &self.email),
                hash(Channel::Sms, &self.phone)
            )
        }
    }

    /// The key that distinguishes the recipients of one event. As in [`Recipient::identity`], two spellings of an
    /// address are one recipient.
    #[must_use]
    pub fn distinction(&self) -> (Option<UserId>, Option<String>, Option<String>) {
        let normal = |channel, address: &Option<String>| {
            address
                .as_deref()
                .map(|address| contact::normalise(channel, address))
        };
        (
            self.user_id.clone(),
            normal(Channel::Email, &self.email),
            normal(Channel::Sms, &self.phone),
        )
    }

    /// The recipient for display, with addresses masked.
    #[must_use]
    pub fn masked(&self) -> String {
        if let Some(user) = &self.user_id {
            return user.to_string();
        }
        let email = self
            .email
            .iter()
            .map(|address| contact::mask(Channel::Email, address));
        let phone = self
            .phone
            .iter()
            .map(|address| contact::mask(Channel::Sms, address));
        email.chain(phone).collect::<Vec<_>>().join(", ")
    }

    /// The guest's address on a channel.
    #[must_use]
    pub fn inline_address(&self, channel: Channel) -> Option<&str> {
        match channel {
            Channel::Email => self.email.as_deref(),
            Channel::Sms => self.phone.as_deref(),
            Channel::Push | Channel::Webhook => None,
        }
    }

    /// Checks the recipient; `pointer` is its place in the input.
    pub fn validate(&self, pointer: &str, errors: &mut Vec<FieldError>) {
        match (&self.user_id, &self.email, &self.phone) {
            (None, None, None) => errors.push(FieldError::new(
                pointer,
                "required",
                "expected a user_id, or an inline email or phone",
            )),
            (Some(_), email, phone) if email.is_some() || phone.is_some() => errors.push(FieldError::new(
                pointer,
                "conflict",
                "expected either a user_id or an inline address, not both",
            )),
            _ => {}
        }
        if let Some(user) = &self.user_id {
            validate_user_id(user.as_str(), &format!("{pointer}/user_id"), errors);
        }
        for (field, channel, address) in [
            ("email", Channel::Email, &self.email),
            ("phone", Channel::Sms, &self.phone),
        ] {
            if let Some(address) = address {
                contact::check_field(channel, address, &format!("{pointer}/{field}"), errors);
            }
        }
        validate_locale(self.locale.as_deref(), &format!("{pointer}/locale"), errors);
        validate_timezone(self.timezone.as_deref(), &format!("{pointer}/timezone"), errors);
    }
}

impl Recipient {
    /// Checks a recipient that was written as a user id alone; `pointer` is the place of the id.
    pub(crate) fn validate_alone(&self, pointer: &str, errors: &mut Vec<FieldError>) {
        if let Some(user) = &self.user_id {
            validate_user_id(user.as_str(), pointer, errors);
        }
    }
}

/// Checks a user id, which is opaque: 1 to 255 bytes without control characters.
pub fn validate_user_id(id: &str, pointer: &str, errors: &mut Vec<FieldError>) {
    if !is_user_id(id) {
        let found = match id.len() {
            length if length > 255 => format!("{length} bytes"),
            _ => quoted(id),
        };
        errors.push(FieldError::new(
            pointer,
            "format",
            format!("expected 1 to 255 bytes without control characters, not {found}"),
        ));
    }
}

pub(crate) fn is_user_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 255 && !id.chars().any(char::is_control)
}

/// Checks a locale, which is a BCP 47 tag.
pub fn validate_locale(locale: Option<&str>, pointer: &str, errors: &mut Vec<FieldError>) {
    if let Some(tag) = locale
        && let Err(error) = locale::parse(tag)
    {
        let message = format!("{error}; got {}", quoted(tag));
        errors.push(FieldError::new(pointer, "format", message));
    }
}

/// Checks a timezone, which is an IANA name.
pub fn validate_timezone(timezone: Option<&str>, pointer: &str, errors: &mut Vec<FieldError>) {
    if let Some(name) = timezone
        && name.parse::<chrono_tz::Tz>().is_err()
    {
        let message = format!(
            "expected an IANA timezone, such as Europe/Berlin, not {}",
            quoted(name)
        );
        errors.push(FieldError::new(pointer, "format", message));
    }
}
