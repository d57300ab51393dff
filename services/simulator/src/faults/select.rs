//! Selects the sends to which a rule applies.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Fault, SmtpStep};
use crate::Provider;

/// The properties of a send by which rules select.
pub(crate) struct Sent<'a> {
    pub(crate) provider: Provider,
    pub(crate) step: SmtpStep,
    /// The recipients; empty before RCPT.
    pub(crate) to: &'a [&'a str],
}

impl Fault {
    /// Whether the rule applies to a send, apart from its probability.
    pub(super) fn is_about(&self, sent: &Sent<'_>) -> bool {
        let step = self.at.unwrap_or(if self.greylist_ms.is_some() {
            SmtpStep::Rcpt
        } else {
            SmtpStep::End
        });
        self.idle_ms.is_none()
            && self.provider.covers(sent.provider)
            && step == sent.step
            && (self.to.is_none() && self.recipients_percent.is_none()
                || sent.to.iter().any(|to| self.is_to(to)))
    }

    fn is_to(&self, to: &str) -> bool {
        let is_named = self.to.as_deref().is_none_or(|pattern| matches(pattern, to));
        is_named && self.recipients_percent.is_none_or(|percent| share(to) < percent)
    }
}

/// Whether a text matches a pattern in which `*` stands for any text. Case does not matter.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A recipient's hash as a percentage; it is the same in every process.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share(to: &str) -> f64 {
    let mut hasher = DefaultHasher::new();
    to.hash(&mut hasher);
    (hasher.finish() >> 12) as f64 / (1_u64 << 52) as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Target;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("a@b.example", "A@b.Example", true),
            ("a@b.example", "a@b.example.org", false),
            ("*@b.example", "a@b.example", true),
            ("*@b.example", "a@bb.example", false),
            ("ios-*", "ios-1", true),
            ("ios-*", "android-1", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_percentage_of_the_recipients_selects_the_same_ones_each_time() {
        let rule = Fault {
            recipients_percent: Some(30.0),
            ..Fault::every(Target::Twilio)
        };
        let is_hit = |number: &u32| {
            let to = format!("+49{number}");
            rule.is_about(&Sent {
                provider: Provider::Twilio,
                step: SmtpStep::End,
                to: &[&to],
            })
        };
        let hit: Vec<u32> = (0..10_000).filter(is_hit).collect();
        assert!((2_700..3_300).contains(&hit.len()), "{}", hit.len());
        assert_eq!(hit, (0..10_000).filter(is_hit).collect::<Vec<_>>());
    }
}
