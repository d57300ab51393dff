//! Links by which a person unsubscribes from a category of e-mail (RFC 8058). The link contains the user, the category
//! and a signature over both. It therefore works without signing in, and cannot be forged for another person.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{
    contact::AddressKey,
    ids::{TenantId, UserId},
};

/// The length of a signature, in bytes.
const SIGNATURE: usize = 16;
/// The longest token that is accepted, in bytes.
const LONGEST: usize = 4_096;

/// A user's subscription to a category of e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The tenant.
    pub tenant: TenantId,
    /// The user.
    pub user: UserId,
    /// The category's name in the catalog.
    pub category: String,
}

/// Makes and reads the links of an installation.
#[derive(Clone)]
pub struct UnsubscribeLinks {
    /// The public URL of `/u/`, with the slash at its end.
    base: String,
    key: [u8; 32],
}

impl std::fmt::Debug for UnsubscribeLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnsubscribeLinks({}…)", self.base)
    }
}

impl UnsubscribeLinks {
    /// Links below `public_url`, the URL of the gateway as mail clients reach it. They are valid as long as `key` stays
    /// the same.
    #[must_use]
    pub fn new(public_url: &str, key: &AddressKey) -> Self {
        Self {
            base: format!("{}/u/", public_url.trim_end_matches('/')),
            key: key.derive("unsubscribe"),
        }
    }

    /// The link to a subscription, in ASCII.
    #[must_use]
    pub fn url(&self, subscription: &Subscription) -> String {
        format!("{}{}", self.base, self.token(subscription))
    }

    fn token(&self, subscription: &Subscription) -> String {
        let Subscription {
            tenant,
            user,
            category,
        } = subscription;
        let names = [tenant.as_str(), user.as_str(), category];
        // Strings always have a JSON form.
        let names = serde_json::to_vec(&names).unwrap_or_default();
        let mut token = self.signature(&names).finalize().into_bytes()[..SIGNATURE].to_vec();
        token.extend(names);
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    /// The subscription that a token names; `None` if this installation did not make the token.
    #[must_use]
    pub fn read(&self, token: &str) -> Option<Subscription> {
        if token.len() > LONGEST {
            return None;
        }
        let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signature, names) = token.split_at_checked(SIGNATURE)?;
        self.signature(names).verify_truncated_left(signature).ok()?;
        let (tenant, user, category): (String, String, String) = serde_json::from_slice(names).ok()?;
        Some(Subscription {
            tenant: tenant.into(),
            user: user.into(),
            category,
        })
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn signature(&self, names: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(names);
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links() -> UnsubscribeLinks {
        UnsubscribeLinks::new("https://notify.example/", &AddressKey::new([7; 32]))
    }

    fn token(url: &str) -> &str {
        url.strip_prefix("https://notify.example/u/").unwrap()
    }

    proptest! {
        #[test]
        fn a_link_leads_to_its_subscription(tenant in ".{1,9}", user in ".{1,99}", category in ".{0,99}") {
            let subscription = Subscription { tenant: tenant.into(), user: user.into(), category };
            let url = links().url(&subscription);
            prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{}", url);
            prop_assert_eq!(links().read(token(&url)), Some(subscription));
        }

        #[test]
        fn a_text_that_was_not_signed_is_no_link(token in "[A-Za-z0-9_-]{0,200}") {
            prop_assert_eq!(links().read(&token), None);
        }

        #[test]
        fn a_changed_link_leads_nowhere(at in 0_usize..80, to in "[A-Za-z0-9_-]") {
            let subscription = Subscription {
                tenant: "shop".into(),
                user: "u-42".into(),
                category: "marketing_and_news_of_the_shop_".to_owned(),
            };
            let url = links().url(&subscription);
            let mut changed = token(&url).to_owned();
            prop_assume!(changed.len() > at && changed[at..=at] != to);
            changed.replace_range(at..=at, &to);
            prop_assert_ne!(links().read(&changed), Some(Subscription { user: "u-43".into(), ..subscription.clone() }));
            prop_assert!(links().read(&changed).is_none_or(|read| read == subscription));
        }
    }

    #[test]
    fn another_key_makes_other_links_and_a_long_text_is_refused() {
        let subscription = Subscription {
            tenant: "shop".into(),
            user: "u-42".into(),
            category: "marketing".to_owned(),
        };
        let other = UnsubscribeLinks::new("https://notify.example", &AddressKey::new([8; 32]));
        let url = other.url(&subscription);
        assert_eq!(other.read(token(&url)), Some(subscription));
        assert_eq!(links().read(token(&url)), None);
        assert_eq!(links().read(&"A".repeat(100_000)), None);
    }
}
