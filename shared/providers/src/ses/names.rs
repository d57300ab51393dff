//! Names that AWS gives: regions, access keys, configuration sets.

use std::str::FromStr;

use carillon_domain::field_error::quoted;
use serde::{Deserialize, Serialize};

use crate::setting::by_text;

/// An AWS region, such as `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

/// The id of an access key: `AKIA…` of a user, `ASIA…` with a session token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId(String);

/// The name of a configuration set: up to 64 letters, digits, `_` and `-`
/// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateConfigurationSet.html>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigurationSet(String);

/// The ARN of an SNS topic, such as `arn:aws:sns:eu-central-1:123456789012:receipts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicArn(String);

by_text!(Region, AccessKeyId, ConfigurationSet, TopicArn);

impl Region {
    /// The region's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host of the region's API. Regions in China have a domain of their own
    /// (<https://docs.aws.amazon.com/general/latest/gr/ses.html>).
    pub(super) fn host(&self) -> String {
        self.host_of("email")
    }

    fn host_of(&self, service: &str) -> String {
        let domain = if self.0.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("{service}.{}.{domain}", self.0)
    }
}

impl TopicArn {
    /// The ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SNS's own host for the topic's region.
    pub(super) fn host(&self) -> String {
        let region = self.0.split(':').nth(3).unwrap_or_default();
        Region(region.to_owned()).host_of("sns")
    }
}

impl FromStr for TopicArn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        if let ["arn", partition, "sns", region, account, name] = &parts[..]
            && partition.starts_with("aws")
            && region.parse::<Region>().is_ok()
            && account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && (1..=256).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected the ARN of a standard topic such as arn:aws:sns:eu-central-1:123456789012:receipts, not {}",
            quoted(text)
        ))
    }
}

impl AccessKeyId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConfigurationSet {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let labels: Vec<&str> = text.split('-').collect();
        let is_word = |label: &&str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_number = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
        match &labels[..] {
            [area, words @ .., number]
                if area.len() == 2
                    && is_word(area)
                    && !words.is_empty()
                    && words.iter().all(is_word)
                    && is_number(number)
                    && text.len() <= 40 =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(format!(
                "expected an AWS region such as eu-central-1, not {}",
                quoted(text)
            )),
        }
    }
}

impl FromStr for AccessKeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if (16..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Self(text.to_owned()));
        }
        // The value is left out, since it may be the secret that belongs to the id.
        Err(
            "expected the id of an access key: 16 to 128 letters and digits, such as AKIAIOSFODNN7EXAMPLE"
                .to_owned(),
        )
    }
}

impl FromStr for ConfigurationSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "expected the name of a configuration set, of up to 64 letters, digits, '_' and '-', not {}",
            quoted(text)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_the_form_of_one_and_chinas_have_a_domain_of_their_own() {
        for (region, host) in [
            ("eu-central-1", "email.eu-central-1.amazonaws.com"),
            ("us-gov-west-1", "email.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "email.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(region.parse::<Region>().unwrap().host(), host);
        }
        for text in [
            "",
            "eu",
            "eu-1",
            "Frankfurt",
            "EU-central-1",
            "eu-central",
            "eu-central-1.evil.example",
            "eu--1",
        ] {
            let said = text.parse::<Region>().unwrap_err();
            assert!(said.starts_with("expected an AWS region"), "{text}: {said}");
        }
    }

    #[test]
    fn a_topic_is_an_arn_whose_region_names_snss_host() {
        for (arn, host) in [
            (
                "arn:aws:sns:eu-central-1:123456789012:receipts",
                "sns.eu-central-1.amazonaws.com",
            ),
            (
                "arn:aws-us-gov:sns:us-gov-west-1:123456789012:a_b-1",
                "sns.us-gov-west-1.amazonaws.com",
            ),
            (
                "arn:aws-cn:sns:cn-north-1:123456789012:receipts",
                "sns.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            assert_eq!(arn.parse::<TopicArn>().unwrap().host(), host);
        }
        for text in [
            "",
            "receipts",
            "arn:aws:sqs:eu-central-1:123456789012:receipts",
            "arn:aws:sns:evil.example:123456789012:receipts",
            "arn:aws:sns:eu-central-1:12:receipts",
            "arn:aws:sns:eu-central-1:123456789012:",
            "arn:aws:sns:eu-central-1:123456789012:receipts.fifo",
            "arn:aws:sns:eu-central-1:123456789012:receipts:6b0e71bd-7e97-4d97-80ce-4a0994e55286",
        ] {
            let said = text.parse::<TopicArn>().unwrap_err();
            assert!(said.starts_with("expected the ARN"), "{text}: {said}");
        }
    }

    #[test]
    fn a_secret_in_the_place_of_an_id_is_not_shown() {
        "AKIAIOSFODNN7EXAMPLE".parse::<AccessKeyId>().unwrap();
        for text in ["", "AKIA", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"] {
            let said = text.parse::<AccessKeyId>().unwrap_err();
            assert!(
                text.is_empty() || !said.contains(text) || text == "AKIA",
                "{said}"
            );
        }
        "my_set-1".parse::<ConfigurationSet>().unwrap();
        for text in ["", "my set", &"x".repeat(65)] {
            assert!(text.parse::<ConfigurationSet>().is_err(), "{text}");
        }
    }
}
