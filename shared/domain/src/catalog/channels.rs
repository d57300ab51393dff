//! The channels of an event type: all of them, or one after the other.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    channel::{Channel, by_channel},
    duration_text,
    fallback::{MAX_WAIT, MIN_WAIT},
    field_error::FieldError,
};

/// The channels of an event type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelPlan {
    /// Whether all channels are used, or the first possible one.
    #[serde(default)]
    pub mode: ChannelMode,
    /// The channels, first choice first.
    pub order: Vec<Channel>,
    /// The channels that follow an earlier one after a wait, unless the message has reached the recipient by then. A channel
    /// without a wait is used only if no earlier one can be.
    #[serde(
        default,
        deserialize_with = "by_channel",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub wait: BTreeMap<Channel, ChannelWait>,
}

/// The time for which a channel waits after the earlier ones, such as `30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelWait(#[serde(with = "duration_text")] pub Duration);

/// The use of an event type's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelMode {
    /// All channels.
    #[default]
    Fanout,
    /// The first channel on which the recipient can be reached.
    Fallback,
}

impl ChannelPlan {
    /// The wait of a channel after the earlier ones, if it follows them.
    #[must_use]
    pub fn wait_of(&self, channel: Channel) -> Option<Duration> {
        if self.mode != ChannelMode::Fallback {
            return None;
        }
        self.wait.get(&channel).map(|ChannelWait(wait)| *wait)
    }

    /// Checks what reading it does not; `at` is its place in the catalog.
    pub(super) fn validate(&self, at: &str, errors: &mut Vec<FieldError>) {
        let order = &self.order;
        let mut refuse = |field: &str, code: &str, expected: String| {
            errors.push(FieldError::new(format!("{at}/{field}"), code, expected));
        };
        if order.is_empty() {
            refuse("order", "required", "expected at least one channel".to_owned());
        }
        if (1..order.len()).any(|index| order[..index].contains(&order[index])) {
            refuse("order", "duplicate", "expected each channel once".to_owned());
        }
        if !self.wait.is_empty() && self.mode == ChannelMode::Fanout {
            let expected = "expected wait only beside mode fallback: a fanout uses all channels at once";
            refuse("wait", "exclusive", expected.to_owned());
            return;
        }
        for (channel, ChannelWait(wait)) in &self.wait {
            let field = format!("wait/{channel}");
            match order.iter().position(|other| other == channel) {
                None => {
                    let expected = format!("expected a channel of the order, not {channel}");
                    refuse(&field, "unknown", expected);
                }
                Some(0) => {
                    let expected = format!(
                        "expected a channel that follows another, not {channel}, which is the first of the order and would follow itself"
                    );
                    refuse(&field, "first", expected);
                }
                Some(_) if *wait < MIN_WAIT || *wait > MAX_WAIT => {
                    let expected = format!(
                        "expected a wait from {} to {}, not {}",
                        duration_text::format(MIN_WAIT),
                        duration_text::format(MAX_WAIT),
                        duration_text::format(*wait)
                    );
                    refuse(&field, "range", expected);
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn errors(plan: &Value) -> Vec<String> {
        let plan: ChannelPlan = serde_json::from_value(plan.clone()).unwrap();
        let mut errors = Vec::new();
        plan.validate("/channels", &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_wait_is_read_and_written_as_people_do_and_holds_in_a_fallback_only() {
        let json = json!({"mode": "fallback", "order": ["push", "email"], "wait": {"email": "30m"}});
        let plan: ChannelPlan = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(plan.wait_of(Channel::Email), Some(Duration::from_mins(30)));
        assert_eq!(plan.wait_of(Channel::Push), None);
        assert_eq!(serde_json::to_value(&plan).unwrap(), json);
        assert!(errors(&json).is_empty());
        let fanout = ChannelPlan {
            mode: ChannelMode::Fanout,
            ..plan
        };
        assert_eq!(fanout.wait_of(Channel::Email), None);
        let without = json!({"mode": "fallback", "order": ["push"]});
        let plan: ChannelPlan = serde_json::from_value(without.clone()).unwrap();
        assert_eq!(serde_json::to_value(&plan).unwrap(), without);
    }

    #[test]
    fn a_wait_that_cannot_be_meant_is_refused_with_its_place_and_the_reason() {
        let of =
            |wait: &Value| errors(&json!({"mode": "fallback", "order": ["push", "email"], "wait": wait}));
        let range = |given: &str| format!("/channels/wait/email: expected a wait from 1s to 7d, not {given}");
        assert_eq!(of(&json!({"email": "0s"})), [range("0ms")]);
        assert_eq!(of(&json!({"email": "999ms"})), [range("999ms")]);
        assert_eq!(of(&json!({"email": "8d"})), [range("8d")]);
        for fine in ["1s", "7d"] {
            assert!(of(&json!({"email": fine})).is_empty(), "{fine}");
        }
        assert_eq!(
            of(&json!({"push": "30m", "sms": "30m"})),
            [
                "/channels/wait/push: expected a channel that follows another, not push, which is the first of the order and would follow itself",
                "/channels/wait/sms: expected a channel of the order, not sms",
            ]
        );
        assert_eq!(
            errors(&json!({"order": ["push", "email"], "wait": {"email": "30m"}})),
            ["/channels/wait: expected wait only beside mode fallback: a fanout uses all channels at once"]
        );
        assert_eq!(
            errors(&json!({"mode": "fallback", "order": ["push", "push"], "wait": {"push": "30m"}}))[0],
            "/channels/order: expected each channel once"
        );
    }

    #[test]
    fn a_wait_on_a_channel_that_does_not_exist_is_refused_with_the_known_ones() {
        let plan = json!({"mode": "fallback", "order": ["push", "email"], "wait": {"fax": "30m"}});
        let error = serde_json::from_value::<ChannelPlan>(plan).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected push, email, sms or webhook, not \"fax\""
        );
        let plan = json!({"mode": "fallback", "order": ["push", "email"], "wait": {"email": "soon"}});
        let error = serde_json::from_value::<ChannelPlan>(plan).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("expected a duration such as 30s, 15m, 1h or 7d, not \"soon\""),
            "{error}"
        );
    }
}
