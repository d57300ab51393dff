//! The evidence of a run, and its violations.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use carillon_domain::{Timestamp, clock::later};

use super::{
    answers::{Delivery, Duplicate, Message, Stats, Step},
    stage::RETRY_AFTER,
};

/// The time after a throttle within which a worker may still hand over a message that it had begun with.
const UNDER_WAY: Duration = Duration::from_millis(20);
/// The greatest difference between the beginning of a pause and the time of the step about it.
const SLACK: Duration = Duration::from_millis(50);
/// The codes of throttles with a `Retry-After` that concern the whole account, and the account. SendGrid's throttle has no code of its own,
/// and only its account answers so.
const THROTTLES: [(&str, &str); 4] = [
    ("QUOTA_EXCEEDED", "fcm"),
    ("20429", "twilio"),
    ("http-429", "mails"),
    ("TooManyRequestsException", "amazon"),
];
/// APNs throttles one device.
const THROTTLE_OF_DEVICE: &str = "TooManyRequests";
/// The providers of the run.
const PROVIDERS: [&str; 6] = ["amazon", "apns", "fcm", "mails", "smtp", "twilio"];
/// The cause of a park after a run of failures, as the log names it: a broken connection of APNs or a relay takes all of its messages with it.
const FAILURES: &str = "many consecutive failures";

/// The evidence of a run.
pub(super) struct Evidence {
    /// The number of deliveries.
    pub(super) expected: usize,
    pub(super) deliveries: Vec<Delivery>,
    /// By the delivery's id.
    pub(super) timelines: HashMap<String, Vec<Step>>,
    pub(super) messages: Vec<Message>,
    pub(super) duplicates: Vec<Duplicate>,
    pub(super) stats: Stats,
    /// The lines of the logs about parked accounts.
    pub(super) parks: Vec<String>,
}

impl Evidence {
    /// The run in a few lines.
    pub(super) fn story(&self) -> Vec<String> {
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for delivery in &self.deliveries {
            let provider = delivery.provider.as_deref().unwrap_or("none");
            *ends.entry(format!("{provider} {}", delivery.status)).or_default() += 1;
        }
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        for code in self.steps().filter_map(|step| step.code.as_deref()) {
            *codes.entry(code).or_default() += 1;
        }
        let list = |counts: Vec<String>| counts.join(", ");
        vec![
            format!(
                "ends: {}",
                list(ends.iter().map(|(end, count)| format!("{count} {end}")).collect())
            ),
            format!(
                "codes: {}",
                list(
                    codes
                        .iter()
                        .map(|(code, count)| format!("{count} {code}"))
                        .collect()
                )
            ),
            format!(
                "{} messages, {} deliveries more than once; differences {} and {}; {} parks",
                self.messages.len(),
                self.duplicates.len(),
                self.stats.events_difference,
                self.stats.deliveries_difference,
                self.parks.len()
            ),
        ]
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.timelines.values().flatten()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        self.check_books(&mut violations);
        self.check_ends(&mut violations);
        self.check_doubles(&mut violations);
        self.check_throttles(&mut violations);
        self.check_devices(&mut violations);
        let parks = self.parks.iter().filter(|line| !line.contains(FAILURES));
        violations.extend(
            parks.map(|line| format!("an account was parked by its recipients or its operator: {line}")),
        );
        violations
    }

    fn check_books(&self, violations: &mut Vec<String>) {
        let (stats, expected) = (&self.stats, self.expected as u64);
        if (stats.events_difference, stats.deliveries_difference) != (0, 0) {
            violations.push(format!("the books do not balance: {stats:?}"));
        }
        if (
            stats.deliveries_produced,
            stats.ended,
            self.deliveries.len() as u64,
        ) != (expected, expected, expected)
        {
            violations.push(format!(
                "{expected} deliveries were asked for; {} are listed: {stats:?}",
                self.deliveries.len()
            ));
        }
        for provider in PROVIDERS {
            let has_sent = |delivery: &Delivery| delivery.provider.as_deref() == Some(provider);
            if !self.deliveries.iter().any(has_sent) {
                violations.push(format!("the account {provider} has sent nothing"));
            }
        }
        // A run without faults shows nothing.
        for (what, has_met) in [
            (
                "an uncertain attempt",
                self.steps().any(|step| step.status == "uncertain"),
            ),
            (
                "a throttle",
                self.steps().any(|step| throttled_account(step).is_some()),
            ),
            (
                "a dead address",
                self.deliveries.iter().any(|delivery| delivery.status == "failed"),
            ),
        ] {
            if !has_met {
                violations.push(format!("the run has not met {what}: more deliveries are needed"));
            }
        }
    }

    fn check_ends(&self, violations: &mut Vec<String>) {
        let mut arrived: HashMap<&str, usize> = HashMap::new();
        for message in &self.messages {
            match message.delivery_id.as_deref() {
                Some(id) => *arrived.entry(id).or_default() += 1,
                None => violations.push("a message without a delivery's id".to_owned()),
            }
        }
        for delivery in &self.deliveries {
            if !delivery.has_right_end() {
                violations.push(format!(
                    "a wrong end: {delivery:?}: {:?}",
                    self.timelines.get(&delivery.id)
                ));
            }
            let has_arrived = arrived.remove(&*delivery.id).is_some();
            let was_accepted = ["sent", "delivered", "bounced"].contains(&&*delivery.status);
            if was_accepted && !has_arrived {
                violations.push(format!("it never arrived: {delivery:?}"));
            }
        }
        violations.extend(
            arrived
                .keys()
                .map(|id| format!("a message of the unknown delivery {id}")),
        );
    }

    fn check_doubles(&self, violations: &mut Vec<String>) {
        for duplicate in &self.duplicates {
            let timeline = self.timelines.get(&duplicate.delivery_id);
            let uncertain = timeline.map_or(0, |steps| {
                steps.iter().filter(|step| step.status == "uncertain").count()
            });
            if (duplicate.count as usize) > uncertain + 1 {
                violations.push(format!(
                    "it arrived {} times, with {uncertain} uncertain attempts: {timeline:?}",
                    duplicate.count
                ));
            }
        }
    }

    /// No message may be handed to an account in the time that its `Retry-After` named.
    fn check_throttles(&self, violations: &mut Vec<String>) {
        for (_, account) in THROTTLES {
            let mut sent: Vec<Timestamp> = self
                .steps()
                .filter(|step| step.sent_to() == Some(account))
                .map(|step| step.at)
                .collect();
            sent.sort_unstable();
            for at in self.throttles_of(account) {
                let from = later(at, UNDER_WAY);
                let until = later(at, RETRY_AFTER.saturating_sub(SLACK));
                let first = sent.partition_point(|sent| *sent <= from);
                if let Some(sent) = sent.get(first).filter(|sent| **sent < until) {
                    violations.push(format!(
                        "{account} throttled at {at} for {RETRY_AFTER:?}, and was handed a message at {sent}"
                    ));
                }
            }
        }
    }

    /// The times at which an account throttled. An attempt that finds no other account ends with the same code, later.
    fn throttles_of(&self, account: &str) -> Vec<Timestamp> {
        let mut throttles = Vec::new();
        for steps in self.timelines.values() {
            let mut attempt = None;
            for step in steps
                .iter()
                .filter(|step| throttled_account(step) == Some(account))
            {
                if attempt.replace(step.attempt) != Some(step.attempt) {
                    throttles.push(step.at);
                }
            }
        }
        throttles
    }

    /// A message to a device that APNs throttled waits for as long as APNs said.
    fn check_devices(&self, violations: &mut Vec<String>) {
        for (id, steps) in &self.timelines {
            for (place, step) in steps.iter().enumerate() {
                if step.code.as_deref() != Some(THROTTLE_OF_DEVICE) {
                    continue;
                }
                let next = steps.iter().skip(place + 1).find(|next| next.status == "sending");
                let end = later(step.at, RETRY_AFTER.saturating_sub(SLACK));
                if let Some(next) = next.filter(|next| next.at < end) {
                    violations.push(format!(
                        "the device of {id} was throttled at {} for {RETRY_AFTER:?}, and asked again at {}",
                        step.at, next.at
                    ));
                }
            }
        }
    }
}

/// The account that has throttled, by a step's code.
fn throttled_account(step: &Step) -> Option<&'static str> {
    let code = step.code.as_deref()?;
    THROTTLES
        .into_iter()
        .find(|(throttle, _)| *throttle == code)
        .map(|(_, account)| account)
}

#[cfg(test)]
mod tests {
    use super::{super::answers::TO_ACCOUNT, *};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(1_800_000_000_000 + millis).unwrap()
    }

    fn step(millis: i64, status: &str, code: Option<&str>) -> Step {
        Step {
            at: at(millis),
            status: status.to_owned(),
            code: code.map(str::to_owned),
            detail: None,
            provider: None,
            attempt: 1,
        }
    }

    fn delivery(user: usize, channel: &str, provider: &str, status: &str) -> Delivery {
        Delivery {
            id: format!("{user}-{channel}"),
            event_id: super::super::stage::event_id(user),
            channel: channel.to_owned(),
            status: status.to_owned(),
            provider: Some(provider.to_owned()),
        }
    }

    fn message(delivery: &Delivery) -> Message {
        Message {
            delivery_id: Some(delivery.id.clone()),
        }
    }

    /// A message that is handed to an account.
    fn sending(millis: i64, account: &str) -> Step {
        Step {
            detail: Some(format!("{TO_ACCOUNT}{account} of the channel's usual accounts")),
            ..step(millis, "sending", None)
        }
    }

    fn evidence() -> Evidence {
        let deliveries = vec![
            delivery(1, "email", "smtp", "sent"),
            delivery(2, "email", "mails", "delivered"),
            delivery(3, "email", "amazon", "delivered"),
            delivery(1, "sms", "twilio", "delivered"),
            delivery(2, "push", "fcm", "sent"),
            delivery(3, "push", "apns", "sent"),
            // The number of the user 23 is dead.
            delivery(23, "sms", "twilio", "failed"),
        ];
        let mut messages: Vec<Message> = deliveries.iter().take(6).map(message).collect();
        // The text message of the user 1 arrived twice.
        messages.push(message(&deliveries[3]));
        let timelines = [
            (
                "1-sms",
                vec![
                    step(4_900, "sending", None),
                    step(6_000, "uncertain", Some("timeout")),
                    step(8_900, "sending", None),
                ],
            ),
            (
                "2-push",
                vec![
                    step(100, "retrying", Some("QUOTA_EXCEEDED")),
                    sending(2_200, "fcm"),
                ],
            ),
            (
                "3-push",
                vec![
                    step(100, "retrying", Some("TooManyRequests")),
                    step(2_200, "sending", None),
                ],
            ),
        ];
        Evidence {
            expected: deliveries.len(),
            stats: Stats {
                acknowledged: 7,
                pending: 0,
                waiting: 0,
                ended: 7,
                deliveries_produced: 7,
                events_difference: 0,
                deliveries_difference: 0,
            },
            duplicates: vec![Duplicate {
                delivery_id: "1-sms".to_owned(),
                count: 2,
            }],
            timelines: timelines
                .into_iter()
                .map(|(id, steps)| (id.to_owned(), steps))
                .collect(),
            parks: Vec::new(),
            deliveries,
            messages,
        }
    }

    #[test]
    fn each_broken_promise_is_found() {
        assert_eq!(evidence().violations(), Vec::<String>::new());
        let broken: [fn(&mut Evidence); 11] = [
            |evidence| evidence.deliveries[0].status = "dead_lettered".to_owned(),
            |evidence| evidence.deliveries[1].status = "sent".to_owned(),
            |evidence| evidence.deliveries[6].status = "delivered".to_owned(),
            |evidence| drop(evidence.messages.remove(0)),
            |evidence| evidence.messages[0].delivery_id = Some("stranger".to_owned()),
            |evidence| evidence.duplicates[0].count = 3,
            |evidence| evidence.stats.deliveries_difference = 1,
            |evidence| evidence.stats.deliveries_produced = 8,
            |evidence| evidence.timelines.get_mut("2-push").unwrap()[1].at = at(1_500),
            |evidence| evidence.timelines.get_mut("3-push").unwrap()[1].at = at(1_500),
            |evidence| evidence.parks.push("the provider account is parked".to_owned()),
        ];
        for (number, breaks) in broken.into_iter().enumerate() {
            let mut found = evidence();
            breaks(&mut found);
            assert!(!found.violations().is_empty(), "{number}");
        }
    }

    #[test]
    fn a_park_after_a_run_of_failures_is_no_recipients_fault() {
        let mut found = evidence();
        found
            .parks
            .push(format!("the provider account is parked cause={FAILURES:?}"));
        assert_eq!(found.violations(), Vec::<String>::new());
    }

    #[test]
    fn a_message_handed_over_before_the_throttle_is_no_violation_and_the_end_of_an_attempt_is_no_further_throttle()
     {
        let mut found = evidence();
        let steps = found.timelines.get_mut("2-push").unwrap();
        // The attempt waited for another account until it ended with the code of the throttle.
        steps.insert(0, step(-700, "sending", Some("QUOTA_EXCEEDED")));
        steps[2].at = at(1_400);
        found.timelines.insert(
            "other".to_owned(),
            vec![sending(-690, "fcm"), sending(90, "twilio")],
        );
        assert_eq!(found.violations(), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_met_no_fault_is_no_success() {
        let mut found = evidence();
        found.timelines.clear();
        found.duplicates.clear();
        assert_eq!(found.violations().len(), 2, "{:?}", found.violations());
    }
}
