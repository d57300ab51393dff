//! The list of providers, with one line for each. Everything else follows from the line and from its
//! settings, which implement [`ProviderSettings`].

use std::{fmt, num::NonZeroU32, time::Duration};

use carillon_domain::{Channel, Platform};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    SettingError, apns::ApnsConfig, fcm::FcmConfig, receipt::Receipts, sendgrid::SendGridConfig,
    ses::SesConfig, setting::ProviderSettings, smtp::SmtpConfig, twilio::TwilioConfig,
    webhook::WebhookConfig,
};

macro_rules! kinds {
    ($($Kind:ident($Config:ident),)+) => {
        /// A kind of provider.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[expect(missing_docs, reason = "a kind is described at its settings")]
        pub enum ProviderKind {
            $($Kind,)+
        }

        impl ProviderKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$Kind,)+];

            /// The channel of the kind's messages.
            #[must_use]
            pub fn channel(self) -> Channel {
                match self {
                    $(Self::$Kind => $Config::CHANNEL,)+
                }
            }
        }

        impl ProviderKind {
            /// The platforms of devices that the kind is the first choice for.
            #[must_use]
            pub fn platforms(self) -> &'static [Platform] {
                match self {
                    $(Self::$Kind => $Config::PLATFORMS,)+
                }
            }

            /// The platforms that it reaches through another provider.
            #[must_use]
            pub fn platforms_of_others(self) -> &'static [Platform] {
                match self {
                    $(Self::$Kind => $Config::PLATFORMS_OF_OTHERS,)+
                }
            }
        }

        /// The settings of an account at a provider.
        #[derive(Debug, Clone, Serialize)]
        #[serde(tag = "kind", rename_all = "lowercase")]
        #[expect(missing_docs, reason = "a kind is described at its settings")]
        pub enum ProviderConfig {
            $($Kind($Config),)+
        }

        impl ProviderConfig {
            /// The provider.
            #[must_use]
            pub fn kind(&self) -> ProviderKind {
                match self {
                    $(Self::$Kind(_) => ProviderKind::$Kind,)+
                }
            }

            /// The longest time of a call that has a connection.
            #[must_use]
            pub fn longest_call(&self) -> Duration {
                match self {
                    $(Self::$Kind(config) => config.longest_call(),)+
                }
            }

            /// The most messages a second; without it, no limit.
            #[must_use]
            pub fn rate_per_second(&self) -> Option<NonZeroU32> {
                match self {
                    $(Self::$Kind(config) => config.rate_per_second(),)+
                }
            }

            /// Checks the rules that involve several settings. `account` is the account's name.
            pub(crate) fn check(&self, account: &str) -> Result<(), SettingError> {
                match self {
                    $(Self::$Kind(config) => config.check(account),)+
                }
            }

            /// The warning about a valid setting that is probably a mistake, if there is one.
            pub(crate) fn warning(&self) -> Option<SettingError> {
                match self {
                    $(Self::$Kind(config) => config.warning(),)+
                }
            }

            /// The way in which receipts reach the account. `account` is the account's name.
            pub fn receipts(&self, account: &str) -> Result<Receipts, SettingError> {
                match self {
                    $(Self::$Kind(config) => config.receipts(account),)+
                }
            }

            /// Reads the settings of a kind.
            fn read<'de, D: Deserializer<'de>>(kind: ProviderKind, settings: D) -> Result<Self, D::Error> {
                Ok(match kind {
                    $(ProviderKind::$Kind => Self::$Kind($Config::deserialize(settings)?),)+
                })
            }
        }

        $(
            impl From<$Config> for ProviderConfig {
                fn from(config: $Config) -> Self {
                    Self::$Kind(config)
                }
            }
        )+
    };
}

kinds! {
    Apns(ApnsConfig),
    Fcm(FcmConfig),
    SendGrid(SendGridConfig),
    Ses(SesConfig),
    Smtp(SmtpConfig),
    Twilio(TwilioConfig),
    Webhook(WebhookConfig),
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Reads `kind`, then the settings of that kind. `kind` must come first, because settings that are buffered until the kind
/// is known lose their paths, which errors name. The reader of the configuration yields it first.
impl<'de> Deserialize<'de> for ProviderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AccountVisitor;

        impl<'de> Visitor<'de> for AccountVisitor {
            type Value = ProviderConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section with the settings of an account")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut settings: M) -> Result<ProviderConfig, M::Error> {
                if settings.next_key::<String>()?.as_deref() != Some("kind") {
                    let kinds: Vec<String> = ProviderKind::ALL.iter().map(ToString::to_string).collect();
                    let missing = format!("kind is missing; expected one of {}", kinds.join(", "));
                    return Err(M::Error::custom(missing));
                }
                let kind = settings.next_value()?;
                ProviderConfig::read(kind, MapAccessDeserializer::new(settings))
            }
        }

        deserializer.deserialize_map(AccountVisitor)
    }
}
