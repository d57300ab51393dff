//! The settings of the sources.

use std::{fmt, str::FromStr};

use carillon_domain::{TenantId, field_error::quoted, source::is_topic};
use carillon_runtime::config::comma_separated;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Settings of the sources.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesConfig {
    /// The topics of other systems that are read. A catalog has the rules, but the operator decides which tenant may read
    /// which topic.
    #[serde(deserialize_with = "topics")]
    pub topics: Vec<SourceTopic>,
}

/// A topic of another system, and the tenant whose catalog has its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTopic {
    /// The topic's name.
    pub topic: String,
    /// The tenant, to which the events belong.
    pub tenant: TenantId,
}

impl SourcesConfig {
    /// Checks that no topic is listed twice, and none is one of the installation's own. Returns the mistakes, each as the key
    /// within `[sources]` and the expected value.
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        for (index, SourceTopic { topic, .. }) in self.topics.iter().enumerate() {
            let expected = if self.topics[..index].iter().any(|earlier| earlier.topic == *topic) {
                format!("expected each topic once, not {} again", quoted(topic))
            } else if topic
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('.'))
            {
                format!(
                    "expected topics of other systems, not {}, which begins like Carillon's own (bus.prefix)",
                    quoted(topic)
                )
            } else {
                continue;
            };
            mistakes.push(("topics".to_owned(), expected));
        }
        mistakes
    }

    /// The names of the topics.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.topics.iter().map(|source| source.topic.clone()).collect()
    }
}

/// The error of a text that names no source.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected the name of a topic, or TOPIC@TENANT, such as shop.public.orders or billing.invoices@acme, not {0}"
)]
pub struct NoSource(String);

impl FromStr for SourceTopic {
    type Err = NoSource;

    fn from_str(text: &str) -> Result<Self, NoSource> {
        let (topic, tenant) = match text.split_once('@') {
            Some((topic, tenant)) => (
                topic,
                TenantId::parse(tenant).map_err(|_| NoSource(quoted(text)))?,
            ),
            None => (text, TenantId::default()),
        };
        if !is_topic(topic) {
            return Err(NoSource(quoted(text)));
        }
        Ok(Self {
            topic: topic.to_owned(),
            tenant,
        })
    }
}

impl fmt::Display for SourceTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.topic)?;
        if self.tenant != TenantId::default() {
            write!(f, "@{}", self.tenant)?;
        }
        Ok(())
    }
}

impl Serialize for SourceTopic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a list, or one text with commas.
fn topics<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SourceTopic>, D::Error> {
    let texts = comma_separated::deserialize(deserializer)?;
    let topics = texts.iter().map(|text| text.parse());
    topics.collect::<Result<_, NoSource>>().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(topics: &str) -> Result<SourcesConfig, String> {
        let json = serde_json::json!({"topics": topics});
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn topics_belong_to_the_default_tenant_unless_they_name_another_and_are_written_as_they_are_read() {
        let read = config("shop.public.orders, billing.invoices@acme").unwrap();
        assert_eq!(read.topics[0].tenant, TenantId::default());
        assert_eq!(read.topics[1].topic, "billing.invoices");
        assert_eq!(read.topics[1].tenant, TenantId::from("acme"));
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(
            written,
            serde_json::json!({"topics": ["shop.public.orders", "billing.invoices@acme"]})
        );
        assert_eq!(serde_json::from_value::<SourcesConfig>(written).unwrap(), read);
    }

    #[test]
    fn a_text_that_names_no_topic_or_no_tenant_is_refused_with_its_value() {
        for wrong in ["a b", "orders@", "orders@a|b", "..", "@acme"] {
            let error = config(wrong).unwrap_err();
            assert!(
                error.contains("expected the name of a topic, or TOPIC@TENANT") && error.contains(wrong),
                "{error}"
            );
        }
    }

    #[test]
    fn a_topic_is_listed_once_and_is_none_of_carillons_own() {
        let wrong = config("orders, orders@acme, notifications.events, notifications-2").unwrap();
        let mistakes = wrong.validate("notifications");
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert_eq!(mistakes[0].1, "expected each topic once, not \"orders\" again");
        assert!(
            mistakes[1].1.contains("not \"notifications.events\""),
            "{mistakes:?}"
        );
    }
}
