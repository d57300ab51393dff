//! The installation, the load and the faults of the outcome suite.

use std::time::Duration;

use carillon_testkit::installation::free_port;
use serde_json::{Value, json};

/// The wait that the providers name with a throttle.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The number of users among whom one has a dead address on a channel.
const ONE_IN: usize = 50;

/// The settings of the mail accounts besides the SMTP relay, with reports of each message's fate.
pub(super) fn settings(is_real: bool) -> Vec<(String, String)> {
    let shop = "Shop <shop@example.com>";
    let mut settings = vec![
        // Each attempt fails with a probability of about a tenth.
        ("RETRY__MAX_ATTEMPTS", "10"),
        // Greylisted mails wait for seconds instead of minutes.
        ("WORKERS__LONGEST_BACK_OFF", "5s"),
        ("SIMULATOR__RECEIPTS_AFTER", "300ms"),
        ("CHANNELS__EMAIL__ACCOUNTS", "smtp,mails,amazon"),
        ("CHANNELS__EMAIL__WEIGHTS__SMTP", "1"),
        ("CHANNELS__EMAIL__WEIGHTS__MAILS", "1"),
        ("CHANNELS__EMAIL__WEIGHTS__AMAZON", "1"),
        ("PROVIDERS__MAILS__KIND", "sendgrid"),
        ("PROVIDERS__MAILS__API_KEY", "SG.simulator-api-key"),
        ("PROVIDERS__MAILS__FROM", shop),
        ("PROVIDERS__MAILS__BASE_URL", "{simulator}"),
        ("PROVIDERS__MAILS__REQUEST_TIMEOUT", "4s"),
        (
            "PROVIDERS__MAILS__WEBHOOK_KEY",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyKRVIiN/VbUw0ergYWh/2ZVy/JmoPaaBs9j3PQ7f0wugvBW04/e3lVdGtiaoFMm1JbeGjdf3PFfVXbC+8re4Wg==",
        ),
        ("SIMULATOR__SENDGRID_WEBHOOK_URL", "{gateway}/v1/receipts/mails"),
        ("PROVIDERS__AMAZON__KIND", "ses"),
        ("PROVIDERS__AMAZON__REGION", "eu-central-1"),
        ("PROVIDERS__AMAZON__ACCESS_KEY_ID", "AKIASIMULATOR0000000"),
        (
            "PROVIDERS__AMAZON__SECRET_ACCESS_KEY",
            "simulator-secret-access-key",
        ),
        ("PROVIDERS__AMAZON__CONFIGURATION_SET", "receipts"),
        ("PROVIDERS__AMAZON__FROM", shop),
        ("PROVIDERS__AMAZON__BASE_URL", "{simulator}"),
        ("PROVIDERS__AMAZON__REQUEST_TIMEOUT", "4s"),
        (
            "PROVIDERS__AMAZON__RECEIPTS_TOPIC",
            "arn:aws:sns:eu-central-1:000000000000:receipts",
        ),
        ("PROVIDERS__AMAZON__SNS_ENDPOINT", "{simulator}"),
        ("SIMULATOR__SNS_SUBSCRIBER_URL", "{gateway}/v1/receipts/amazon"),
    ];
    // The embedded mode makes an account of SMTP only if mails have no other.
    let relay = format!("{}", free_port());
    let listen = format!("127.0.0.1:{relay}");
    if !is_real {
        settings.extend([
            ("SIMULATOR__SMTP_LISTEN", &*listen),
            ("PROVIDERS__SMTP__KIND", "smtp"),
            ("PROVIDERS__SMTP__HOST", "127.0.0.1"),
            ("PROVIDERS__SMTP__PORT", &*relay),
            ("PROVIDERS__SMTP__TLS", "none"),
            ("PROVIDERS__SMTP__FROM", shop),
            ("PROVIDERS__SMTP__REQUEST_TIMEOUT", "4s"),
        ]);
    }
    settings.push(("PROVIDERS__SMTP__MAX_CONNECTIONS", "32"));
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The faults: 5 % failures of the provider, 2 % throttles, 1 % without an answer, 1 % broken connections, 2 % greylisted mailboxes over SMTP;
/// and the dead addresses. Half of the messages without an answer, and half of those with broken connections, are accepted all the same.
pub(super) fn faults() -> Value {
    let seconds = RETRY_AFTER.as_secs();
    let mut rules = vec![
        // Dead addresses come first: nothing else hides them.
        json!({"provider": "fcm", "to": "unregistered*", "status": 404, "code": "UNREGISTERED"}),
        json!({"provider": "apns", "to": "dead*", "status": 410, "code": "Unregistered"}),
        json!({"provider": "twilio", "to": "+49159*", "status": 400, "code": "21614"}),
        json!({"provider": "sendgrid", "to": "no-such-user*", "receipt": {"report": "bounce"}}),
        json!({"provider": "ses", "to": "no-such-user*", "receipt": {"report": "Bounce"}}),
        json!({"provider": "smtp", "recipients_percent": 2, "greylist_ms": 1_000}),
        json!({"provider": "smtp", "percent": 5, "status": 432, "code": "4.3.2"}),
        // SMTP has no `Retry-After`.
        json!({"provider": "smtp", "percent": 2, "status": 421, "code": "4.7.0", "action": "goaway"}),
        json!({"provider": "fcm", "percent": 5, "status": 503, "code": "UNAVAILABLE"}),
        // Without a subject the quota might be a device's, and would not pause the account.
        json!({"provider": "fcm", "percent": 2, "status": 429, "code": "QUOTA_EXCEEDED", "field": "project:shop",
            "retry_after": seconds}),
        json!({"provider": "apns", "percent": 5, "status": 503, "code": "ServiceUnavailable"}),
        json!({"provider": "apns", "percent": 2, "status": 429, "code": "TooManyRequests", "retry_after": seconds}),
        json!({"provider": "twilio", "percent": 5, "status": 503}),
        json!({"provider": "twilio", "percent": 2, "status": 429, "code": "20429", "retry_after": seconds}),
    ];
    for provider in ["sendgrid", "ses"] {
        rules.push(json!({"provider": provider, "percent": 5, "status": 503}));
        rules.push(json!({"provider": provider, "percent": 2, "status": 429, "retry_after": seconds}));
    }
    for (action, recorded) in [("hang", true), ("hang", false), ("reset", true), ("reset", false)] {
        rules.push(json!({"provider": "*", "percent": 0.5, "action": action, "recorded": recorded}));
    }
    Value::Array(rules)
}

pub(super) fn user_id(user: usize) -> String {
    format!("outcome-{user}")
}

pub(super) fn event_id(user: usize) -> String {
    format!("outcome-{user}")
}

/// The user of an event.
pub(super) fn user_of(event_id: &str) -> Option<usize> {
    event_id.strip_prefix("outcome-")?.parse().ok()
}

/// Whether a user's address on a channel is dead.
pub(super) fn is_dead(user: usize, channel: &str) -> bool {
    match channel {
        "email" => user % ONE_IN == 7,
        "sms" => user % ONE_IN == 23,
        // Every second device is an iPhone, and of both platforms some are dead.
        _ => user / 2 % ONE_IN == 20,
    }
}

/// A user with a mailbox, a phone and a device. Every second device is an iPhone.
pub(super) fn profile(user: usize) -> Value {
    let mailbox = if is_dead(user, "email") {
        "no-such-user"
    } else {
        "user"
    };
    let phone = if is_dead(user, "sms") { "+49159" } else { "+49151" };
    let device = match (user % 2, is_dead(user, "push")) {
        (0, true) => json!({"platform": "android", "token": format!("unregistered-{user}")}),
        (0, false) => json!({"platform": "android", "token": format!("outcome-device-{user}")}),
        // A device token of APNs is 32 bytes.
        (_, true) => json!({"platform": "ios", "token": format!("dead{user:060x}")}),
        (_, false) => json!({"platform": "ios", "token": format!("a11e{user:060x}")}),
    };
    json!({
        // A greylisted mailbox lets the mails to its domain wait, so there are many domains.
        "email": format!("{mailbox}-{user}@d{}.example", user / 4),
        "phone": format!("{phone}{:08}", 10_000_000 + user),
        "locale": "en-GB",
        "devices": [device],
    })
}

/// The event for a user, which leads to a mail, a text message and a push.
pub(super) fn event(user: usize) -> Value {
    json!({"id": event_id(user), "source": "/outcomes", "type": "OrderShipped",
        "recipients": [{"user_id": user_id(user)}],
        "data": {"order_id": user.to_string(), "carrier": "DHL"}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_in_fifty_of_each_channel_is_dead_on_both_platforms() {
        for channel in ["email", "sms", "push"] {
            let dead: Vec<usize> = (0..5_000).filter(|user| is_dead(*user, channel)).collect();
            assert_eq!(dead.len(), 100, "{channel}");
        }
        let devices: Vec<Value> = (0..5_000)
            .filter(|user| is_dead(*user, "push"))
            .map(|user| profile(user)["devices"][0]["platform"].clone())
            .collect();
        assert!(devices.contains(&json!("ios")) && devices.contains(&json!("android")));
        assert_eq!(user_of(&event_id(41)), Some(41));
    }
}
