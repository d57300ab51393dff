//! Limits: those of a category, of each user over all categories, and of the whole tenant.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use crate::{channel::Channel, duration_text, field_error::FieldError};

/// The most messages of a limit of the whole tenant: each message in the period is kept in memory.
const MAX_OF_TENANT: u32 = 1_000_000;

/// A limit: at most `max` messages on `channel` in any period of length `per`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitDef {
    /// The channel whose messages count.
    pub channel: Channel,
    /// The most messages, at least 1.
    pub max: u32,
    /// The length of the period, such as `1h`.
    #[serde(with = "duration_text")]
    pub per: Duration,
}

/// The limits of a catalog that hold for all categories.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogLimits {
    /// Limits of the whole tenant: the messages to all recipients count together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tenant: Vec<LimitDef>,
    /// Limits for each user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<LimitDef>,
}

/// The messages that a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LimitScope {
    /// Those of a category to a recipient.
    Category,
    /// Those to a recipient.
    User,
    /// All of the tenant.
    Tenant,
}

impl CatalogLimits {
    pub(super) fn is_empty(&self) -> bool {
        self.tenant.is_empty() && self.user.is_empty()
    }

    /// Checks the limits; `at` is their place in the catalog.
    pub(super) fn validate(&self, at: &str, errors: &mut Vec<FieldError>) {
        for (index, limit) in self.tenant.iter().enumerate() {
            let at = format!("{at}/tenant/{index}");
            validate(limit, &at, errors);
            if limit.max > MAX_OF_TENANT {
                let expected = format!("expected at most {MAX_OF_TENANT} messages, not {}", limit.max);
                errors.push(FieldError::new(format!("{at}/max"), "range", expected));
            }
        }
        for (index, limit) in self.user.iter().enumerate() {
            validate(limit, &format!("{at}/user/{index}"), errors);
        }
    }
}

/// Checks a limit at a pointer.
pub(super) fn validate(limit: &LimitDef, at: &str, errors: &mut Vec<FieldError>) {
    if limit.max == 0 {
        let expected = "expected at least 1 message, not 0";
        errors.push(FieldError::new(format!("{at}/max"), "range", expected));
    }
    if limit.per.is_zero() {
        let expected = format!(
            "expected a period longer than 0s, not {}",
            duration_text::format(limit.per)
        );
        errors.push(FieldError::new(format!("{at}/per"), "range", expected));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::catalog::Catalog;

    #[test]
    fn limits_of_the_tenant_and_of_users_are_refused_with_field_and_value() {
        let catalog = |limits: serde_json::Value| -> Catalog {
            serde_json::from_value(json!({"limits": limits})).unwrap()
        };
        let errors = |limits| -> Vec<String> {
            catalog(limits)
                .validate()
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        let fine = json!({"tenant": [{"channel": "sms", "max": 1_000_000, "per": "1d"}],
            "user": [{"channel": "push", "max": 5, "per": "1h"}]});
        assert!(errors(fine.clone()).is_empty());
        assert_eq!(
            serde_json::to_value(catalog(fine.clone())).unwrap()["limits"],
            fine
        );
        assert_eq!(
            errors(
                json!({"tenant": [{"channel": "sms", "max": 1_000_001, "per": "0s"}],
                "user": [{"channel": "push", "max": 0, "per": "1h"}]})
            ),
            [
                "/limits/tenant/0/per: expected a period longer than 0s, not 0ms",
                "/limits/tenant/0/max: expected at most 1000000 messages, not 1000001",
                "/limits/user/0/max: expected at least 1 message, not 0",
            ]
        );
        let none = serde_json::to_value(Catalog::default()).unwrap();
        assert!(none.get("limits").is_none(), "{none}");
        let unknown = json!({"limits": {"category": []}});
        let error = serde_json::from_value::<Catalog>(unknown).unwrap_err();
        assert!(
            error.to_string().contains("expected `tenant` or `user`"),
            "{error}"
        );
    }
}
