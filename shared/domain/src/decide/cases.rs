//! Cases of decisions as a table: the conditions, and the decision about the message on each channel.
//!
//! Unless a row says otherwise, it is Tuesday, 24 November 2026, 10:00 UTC; the recipient is the user ada, who has an e-mail
//! address, a phone and one device and has set nothing; no limit is used up. The types of the catalog are:
//!
//! - `OrderShipped`: transactional (sent until opted out), by e-mail, text message and push.
//! - `Sale`: marketing (needs an opt-in, limited by e-mail), by push, or else by e-mail.
//! - `News`: newsletters (sent until opted out, limited), by e-mail.
//! - `Code`: security and critical, by text message, or else by e-mail.
//! - `Reminder`: reminders (limited by e-mail and text message, over which they wait), by e-mail and text message.
//! - `Alert`: alerts (collected by e-mail until 18:00 into an `AlertDigest`), by push and e-mail. `Watch`: by e-mail, or else by push.
//! - `Tip`: tips (limited by e-mail, over which they are collected for a day into a `TipDigest`), by e-mail.
//! - `Invite`: transactional, by push, by e-mail 30 minutes later, and by text message 1 hour after that. `Ask` likewise by push and
//!   e-mail, and critical. `Bid`: offers, by push, and by e-mail 30 minutes later.
//! - `Offer`: offers (limited by push and e-mail, over which the next channel is used), by push, e-mail, or text message.
//!
//! A limit that is used up has room again at 10:30.

use std::collections::HashMap;

use strum::VariantArray as _;

use super::*;
use crate::{
    catalog::Catalog,
    compiled::CompiledCatalog,
    contact::AddressKey,
    delivery_state::DeliveryStatus,
    event::Defaults,
    fallback::{Earlier, EarlierDelivery},
    ids::ContactPointId,
    waiting::WaitingPart,
};

const CATALOG: &str = r#"{"types": {
        "OrderShipped": {"category": "transactional", "channels": {"order": ["email", "sms", "push"]}},
        "Invite": {"category": "transactional", "channels": {"mode": "fallback", "order": ["push", "email", "sms"], "wait": {"email": "30m", "sms": "1h"}}},
        "Ask": {"category": "security", "critical": true, "channels": {"mode": "fallback", "order": ["push", "email"], "wait": {"email": "30m"}}},
        "Bid": {"category": "offers", "channels": {"mode": "fallback", "order": ["push", "email", "sms"], "wait": {"email": "30m"}}},
        "Sale": {"category": "marketing", "channels": {"mode": "fallback", "order": ["push", "email"]}},
        "News": {"category": "newsletters", "channels": {"order": ["email"]}},
        "Code": {"category": "security", "critical": true, "channels": {"mode": "fallback", "order": ["sms", "email"]}},
        "Alert": {"category": "alerts", "channels": {"order": ["push", "email"]}},
        "Watch": {"category": "alerts", "channels": {"mode": "fallback", "order": ["email", "push"]}},
        "AlertDigest": {"category": "alerts", "channels": {"order": ["email"]}},
        "Tip": {"category": "tips", "channels": {"order": ["email"]}},
        "TipDigest": {"category": "tips", "channels": {"order": ["email"]}},
        "Reminder": {"category": "reminders", "channels": {"order": ["email", "sms"]}},
        "Offer": {"category": "offers", "channels": {"mode": "fallback", "order": ["push", "email", "sms"]}}},
    "categories": {"transactional": {}, "security": {"limits": [{"channel": "sms", "max": 1, "per": "1h"}]},
        "reminders": {"overflow": "defer", "limits": [{"channel": "email", "max": 1, "per": "1h"}, {"channel": "sms", "max": 1, "per": "1h"}]},
        "alerts": {"digest": {"type": "AlertDigest", "at": ["18:00"]}},
        "tips": {"overflow": "digest", "limits": [{"channel": "email", "max": 1, "per": "1h"}], "digest": {"type": "TipDigest", "every": "1d"}},
        "offers": {"overflow": "downgrade", "limits": [{"channel": "push", "max": 1, "per": "1h"}, {"channel": "email", "max": 1, "per": "1h"}]},
        "newsletters": {"limits": [{"channel": "email", "max": 1, "per": "1h"}, {"channel": "email", "max": 3, "per": "1d"}]},
        "marketing": {"default": "opt_out", "limits": [{"channel": "email", "max": 1, "per": "1h"}]}}}"#;

const CASES: &str = "
# Channels: a fan-out uses all of the type, a fallback the first possible one.
OrderShipped                                     | email sent; sms sent; push sent
OrderShipped, two devices                        | email sent; sms sent; push sent; push sent
Sale, marketing push on, marketing email on      | push sent; email not sent: fallback_not_needed
Sale, marketing email on                         | push not sent: not_opted_in; email sent
Sale, marketing push on, no push                 | push not sent: no_address; email not sent: not_opted_in
Code                                             | sms sent: critical; email not sent: fallback_not_needed
Code, no sms                                     | sms not sent: no_address; email sent: critical

# A channel with a wait follows those before it, counted from the time at which they are sent. Without one before it, it is first.
Invite                                           | push sent; email waits until 10:30, 24 Nov (UTC): fallback_waits; sms waits until 11:30, 24 Nov (UTC): fallback_waits
Invite, two devices, asks for push, asks for email | push sent; push sent; email waits until 10:30, 24 Nov (UTC): fallback_waits; sms not sent: channel_not_requested
Invite, zone Asia/Tokyo, no sms                  | push sent; email waits until 19:30, 24 Nov (Asia/Tokyo): fallback_waits; sms not sent: no_address
Invite, no push                                  | push not sent: no_address; email sent; sms waits until 11:00, 24 Nov (UTC): fallback_waits
Invite, no email                                 | push sent; email not sent: no_address; sms waits until 11:00, 24 Nov (UTC): fallback_waits
Invite, no push, no email                        | push not sent: no_address; email not sent: no_address; sms sent
Invite, Invite email off                         | push sent; email not sent: opted_out_type; sms waits until 11:00, 24 Nov (UTC): fallback_waits
Invite, quiet 22:00-07:00, at 23:00              | push waits until 07:00, 25 Nov (UTC): quiet_hours; email waits until 07:30, 25 Nov (UTC): fallback_waits; sms waits until 08:30, 25 Nov (UTC): fallback_waits
Invite, expires 11:00                            | push sent; email waits until 10:30, 24 Nov (UTC): fallback_waits; sms dropped: expires_in_fallback
Invite, expires 10:30                            | push sent; email dropped: expires_in_fallback; sms dropped: expires_in_fallback
Ask, global email off                            | push sent: critical; email waits until 10:30, 24 Nov (UTC): fallback_waits
Bid, push limit used up                          | push dropped: over_limit; email sent: downgraded; sms not sent: fallback_not_needed
Bid, email limit used up                         | push sent; email waits until 10:30, 24 Nov (UTC): fallback_waits; sms not sent: fallback_not_needed

# After its wait it is sent unless one of the earlier messages has reached the recipient; by the rules that hold then.
Invite, email followed push                      | email sent: fallback_used
Invite, email followed push delivered            | email not sent: fallback_reached
Invite, email followed push opened               | email not sent: fallback_reached
Invite, email followed push clicked              | email not sent: fallback_reached
Invite, email followed push acknowledged         | email not sent: fallback_reached
Invite, email followed push failed               | email sent: fallback_used
Invite, email followed push sent                 | email sent: fallback_used
Invite, email followed push cancelled            | email sent: fallback_used
Invite, email followed push sent, quiet 09:00-12:00 | email waits until 12:00, 24 Nov (UTC): quiet_hours
Invite, email followed push delivered, quiet 09:00-12:00 | email not sent: fallback_reached
Invite, email followed push sent, Invite email off | email not sent: opted_out_type
Invite, email followed push sent, expires 10:00  | email not sent: expired
Ask, email followed push sent                    | email sent: fallback_used
Ask, email followed push acknowledged            | email not sent: fallback_reached
Bid, email followed push sent, email limit used up | email dropped: over_limit; sms sent: downgraded
Invite, sms followed push failed, sms followed email delivered | sms not sent: fallback_reached
Invite, sms followed push failed, sms followed email failed | sms sent: fallback_used

# The event may name channels. Those that the type lacks have a decision too.
OrderShipped, asks for sms                       | email not sent: channel_not_requested; sms sent; push not sent: channel_not_requested
OrderShipped, asks for push, asks for email      | email sent; sms not sent: channel_not_requested; push sent
Sale, marketing email on, asks for email         | push not sent: channel_not_requested; email sent
Sale, marketing push on, asks for sms            | push not sent: channel_not_requested; email not sent: channel_not_requested; sms not sent: channel_not_of_type
News, asks for push, asks for push               | email not sent: channel_not_requested; push not sent: channel_not_of_type
Code, asks for email                             | sms not sent: channel_not_requested; email sent: critical

# An event that has expired is sent to nobody, critical or not.
News, expires 10:00                              | email not sent: expired
News, expires 10:00:01                           | email sent
News, expires 09:59                              | email not sent: expired
Code, expires 09:00                              | sms not sent: expired; email not sent: expired
Code, expires 09:00, asks for push               | sms not sent: expired; email not sent: expired; push not sent: channel_not_of_type

# The recipient is a user who is known, or a guest with an address.
News, to stranger                                | email not sent: unknown_user
Code, to stranger                                | sms not sent: unknown_user; email not sent: unknown_user
OrderShipped, to guest@example.com               | email sent; sms not sent: no_address; push not sent: no_address
OrderShipped, to +4915155501234                  | email not sent: no_address; sms sent; push not sent: no_address
Sale, to guest@example.com                       | push not sent: no_address; email not sent: not_opted_in
Code, to guest@example.com                       | sms not sent: no_address; email sent: critical
News, to ada, to ada                             | email sent; email not sent: repeated_recipient
News, to guest@example.com, to GUEST@Example.com | email sent; email not sent: repeated_recipient
News, to ada, to stranger                        | email sent; email not sent: unknown_user

# The recipient has an address on the channel, and gets the message there once.
OrderShipped, no email                           | email not sent: no_address; sms sent; push sent
OrderShipped, no email, no sms, no push          | email not sent: no_address; sms not sent: no_address; push not sent: no_address
News, to ada, to ada@example.com                 | email sent; email not sent: repeated_address
News, to ada@example.com, to ada                 | email not sent: repeated_address; email sent
News, newsletters email off, to ada, to ada@example.com | email not sent: opted_out_category; email sent

# A suppressed address takes no message, critical ones included. The reason is the weightiest of the channel's addresses.
News, email suppressed by hard_bounce            | email not sent: address_dead
News, email suppressed by complaint              | email not sent: complained
News, email suppressed by opted_out              | email not sent: stopped
News, email suppressed by manual                 | email not sent: suppressed
News, email suppressed by import                 | email not sent: suppressed
OrderShipped, sms suppressed by opted_out        | email sent; sms not sent: stopped; push sent
OrderShipped, asks for push, push suppressed by dead_token | email not sent: channel_not_requested; sms not sent: channel_not_requested; push not sent: address_dead
OrderShipped, asks for push, two devices, push suppressed by dead_token | email not sent: channel_not_requested; sms not sent: channel_not_requested; push sent
Code, sms suppressed by opted_out                | sms not sent: stopped; email sent: critical
Code, sms suppressed by opted_out, email suppressed by manual | sms not sent: stopped; email not sent: suppressed
Sale, marketing push on, marketing email on, push suppressed by dead_token | push not sent: address_dead; email sent
News, to guest@example.com, guest@example.com suppressed by complaint | email not sent: complained
News, to Guest@EXAMPLE.com, guest@example.com suppressed by manual | email not sent: suppressed
News, newsletters email off, email suppressed by opted_out | email not sent: stopped

# Preferences: type before category before channel before the category's default.
News, News email off                             | email not sent: opted_out_type
News, newsletters email off                      | email not sent: opted_out_category
News, global email off                           | email not sent: opted_out_channel
News, newsletters email off, News email on       | email sent
News, global email off, newsletters email on     | email sent
News, global email on, News email off            | email not sent: opted_out_type
News, newsletters sms off                        | email sent
Sale                                             | push not sent: not_opted_in; email not sent: not_opted_in
Sale, global push on                             | push sent; email not sent: fallback_not_needed
Sale, global push on, marketing push off         | push not sent: opted_out_category; email not sent: not_opted_in
OrderShipped, global sms off                     | email sent; sms not sent: opted_out_channel; push sent
Code, global sms off                             | sms sent: critical; email not sent: fallback_not_needed

# Quiet hours: the message waits until they end, in the zone that the event names, or the user's, or the tenant's, or UTC.
News, quiet 22:00-07:00                          | email sent
News, quiet 22:00-07:00, at 21:59                | email sent
News, quiet 22:00-07:00, at 22:00                | email waits until 07:00, 25 Nov (UTC): quiet_hours
News, quiet 22:00-07:00, at 06:59                | email waits until 07:00, 24 Nov (UTC): quiet_hours
News, quiet 22:00-07:00, at 07:00                | email sent
News, quiet tue 22:00-07:00, at 23:00            | email waits until 07:00, 25 Nov (UTC): quiet_hours
News, quiet tue 22:00-07:00, at 06:00            | email sent
News, quiet mon 22:00-07:00, at 06:00            | email waits until 07:00, 24 Nov (UTC): quiet_hours
News, quiet 09:00-10:30, quiet 10:30-12:00       | email waits until 12:00, 24 Nov (UTC): quiet_hours
News, quiet 22:00-07:00, zone Europe/Berlin, at 21:30 | email waits until 07:00, 25 Nov (Europe/Berlin): quiet_hours
News, quiet 22:00-07:00, tenant zone Asia/Tokyo, at 13:00 | email waits until 07:00, 25 Nov (Asia/Tokyo): quiet_hours
News, quiet 22:00-07:00, tenant zone Asia/Tokyo, zone UTC, at 13:00 | email sent
News, quiet 22:00-07:00, event zone Asia/Tokyo, zone UTC, at 13:00 | email waits until 07:00, 25 Nov (Asia/Tokyo): quiet_hours
News, tenant quiet 22:00-07:00, at 23:00         | email waits until 07:00, 25 Nov (UTC): quiet_hours
News, tenant quiet 22:00-07:00, quiet 12:00-13:00, at 23:00 | email sent
News, tenant quiet 22:00-07:00, quiet none, at 23:00 | email sent
News, tenant quiet 22:00-07:00, to guest@example.com, at 23:00 | email waits until 07:00, 25 Nov (UTC): quiet_hours
Code, quiet 22:00-07:00, at 23:00                | sms sent: critical; email not sent: fallback_not_needed
News, newsletters email off, quiet 22:00-07:00, at 23:00 | email not sent: opted_out_category
News, email suppressed by manual, quiet 22:00-07:00, at 23:00 | email not sent: suppressed
Sale, marketing push on, marketing email on, quiet 22:00-07:00, at 23:00 | push waits until 07:00, 25 Nov (UTC): quiet_hours; email not sent: fallback_not_needed
OrderShipped, two devices, asks for push, quiet 22:00-07:00, at 23:00 | email not sent: channel_not_requested; sms not sent: channel_not_requested; push waits until 07:00, 25 Nov (UTC): quiet_hours; push waits until 07:00, 25 Nov (UTC): quiet_hours
News, quiet 22:00-07:00, at 23:00, to ada, to ada@example.com | email waits until 07:00, 25 Nov (UTC): quiet_hours; email not sent: repeated_address

# A message that would expire during the wait is dropped at once.
News, quiet 09:00-12:00, expires 11:59           | email dropped: expires_in_quiet_hours
News, quiet 09:00-12:00, expires 12:00           | email dropped: expires_in_quiet_hours
News, quiet 09:00-12:00, expires 12:01           | email waits until 12:00, 24 Nov (UTC): quiet_hours
Code, quiet 09:00-12:00, expires 11:00           | sms sent: critical; email not sent: fallback_not_needed

# A message that has waited is decided again from suppression on.
News, waited, quiet 22:00-07:00, at 07:00        | email sent
News, waited, newsletters email off              | email not sent: opted_out_category
News, waited, email suppressed by opted_out      | email not sent: stopped
News, waited, quiet 09:00-12:00                  | email waits until 12:00, 24 Nov (UTC): quiet_hours
News, waited, limit used up                      | email dropped: over_limit
News, waited, expires 09:00                      | email not sent: expired
News, waited, no email                           | email not sent: no_address
News, waited, to stranger                        | email not sent: unknown_user

# Limits come last. They are not asked about a critical message, nor about one that waits.
News, limit used up                              | email dropped: over_limit
News, limit unknown                              | email sent: limit_unknown
Sale, marketing email on, limit used up          | push not sent: not_opted_in; email dropped: over_limit
Sale, marketing push on, limit used up           | push sent; email not sent: fallback_not_needed
OrderShipped, limit used up                      | email sent; sms sent; push sent
Code, limit used up                              | sms sent: critical; email not sent: fallback_not_needed
News, limit used up, quiet 09:00-12:00           | email waits until 12:00, 24 Nov (UTC): quiet_hours
News, to guest@example.com, limit used up        | email dropped: over_limit
News, newsletters email off, limit used up       | email not sent: opted_out_category

# Digests: the message is collected until the window ends, on the channels of the digest's type. The digest itself is not collected.
Alert                                            | push sent; email collected until 18:00, 24 Nov (UTC): digest
Alert, at 17:59                                  | push sent; email collected until 18:00, 24 Nov (UTC): digest
Alert, at 18:00                                  | push sent; email collected until 18:00, 25 Nov (UTC): digest
Alert, zone Asia/Tokyo                           | push sent; email collected until 18:00, 25 Nov (Asia/Tokyo): digest
Alert, event zone America/New_York, zone Asia/Tokyo | push sent; email collected until 18:00, 24 Nov (America/New_York): digest
Alert, tenant zone Europe/Berlin, to guest@example.com | push not sent: no_address; email collected until 18:00, 24 Nov (Europe/Berlin): digest
Alert, expires 18:00                             | push sent; email dropped: expires_in_digest
Alert, expires 18:01                             | push sent; email collected until 18:00, 24 Nov (UTC): digest
Alert, alerts email off                          | push sent; email not sent: opted_out_category
Alert, email suppressed by manual                | push sent; email not sent: suppressed
Alert, quiet 09:00-12:00                         | push waits until 12:00, 24 Nov (UTC): quiet_hours; email waits until 12:00, 24 Nov (UTC): quiet_hours
Alert, waited                                    | push sent; email collected until 18:00, 24 Nov (UTC): digest
Alert, to ada, to ada@example.com                | push sent; email collected until 18:00, 24 Nov (UTC): digest; push not sent: no_address; email not sent: repeated_address
Watch                                            | email collected until 18:00, 24 Nov (UTC): digest; push not sent: fallback_not_needed
Watch, no email                                  | email not sent: no_address; push sent
AlertDigest                                      | email sent
AlertDigest, quiet 09:00-12:00                   | email waits until 12:00, 24 Nov (UTC): quiet_hours

# A member whose digest is about to be sent is decided again from suppression on, without waits.
Watch, collected                                 | email sent; push sent
Watch, collected, quiet 09:00-12:00, asks for email | email sent; push sent
Watch, collected, Watch email off                | email not sent: opted_out_type; push sent
Watch, collected, email suppressed by opted_out  | email not sent: stopped; push sent
Watch, collected, expires 09:00                  | email not sent: expired; push not sent: expired
Watch, collected, to stranger                    | email not sent: unknown_user; push not sent: unknown_user

# Overflow `digest`: only messages over the limit are collected. The digest itself waits if it is over the limit.
Tip                                              | email sent
Tip, limit used up                               | email collected until 00:00, 25 Nov (UTC): over_limit
Tip, limit used up, expires 23:59                | email dropped: expires_in_digest
Tip, limit unknown                               | email sent: limit_unknown
TipDigest, limit used up                         | email waits until 10:30, 24 Nov (UTC): over_limit
TipDigest, limit used up, expires 10:30          | email dropped: over_limit

# Overflow `defer`: the message waits until the limit has room, unless it would expire by then.
Reminder                                         | email sent; sms sent
Reminder, limit used up                          | email waits until 10:30, 24 Nov (UTC): over_limit; sms waits until 10:30, 24 Nov (UTC): over_limit
Reminder, sms limit used up                      | email sent; sms waits until 10:30, 24 Nov (UTC): over_limit
Reminder, sms limit used up, zone Asia/Tokyo     | email sent; sms waits until 19:30, 24 Nov (Asia/Tokyo): over_limit
Reminder, sms limit used up, expires 10:30       | email sent; sms dropped: over_limit
Reminder, sms limit used up, expires 10:31       | email sent; sms waits until 10:30, 24 Nov (UTC): over_limit
Reminder, sms limit used up, waited              | email sent; sms waits until 10:30, 24 Nov (UTC): over_limit
Reminder, sms limit used up, quiet 09:00-12:00   | email waits until 12:00, 24 Nov (UTC): quiet_hours; sms waits until 12:00, 24 Nov (UTC): quiet_hours
Reminder, limit unknown                          | email sent: limit_unknown; sms sent: limit_unknown

# Overflow `downgrade`: the next channel of the type is in turn, by the same rules and with its own limits.
Offer                                            | push sent; email not sent: fallback_not_needed; sms not sent: fallback_not_needed
Offer, push limit used up                        | push dropped: over_limit; email sent: downgraded; sms not sent: fallback_not_needed
Offer, push limit used up, email limit used up   | push dropped: over_limit; email dropped: over_limit; sms sent: downgraded
Offer, push limit used up, email limit used up, no sms | push dropped: over_limit; email dropped: over_limit; sms not sent: no_address
Offer, push limit used up, Offer email off       | push dropped: over_limit; email not sent: opted_out_type; sms sent: downgraded
Offer, push limit used up, two devices           | push dropped: over_limit; email sent: downgraded; sms not sent: fallback_not_needed
Offer, push limit used up, asks for push         | push dropped: over_limit; email not sent: channel_not_requested; sms not sent: channel_not_requested
Offer, no push, email limit used up              | push not sent: no_address; email dropped: over_limit; sms sent: downgraded
Offer, limit unknown                             | push sent: limit_unknown; email not sent: fallback_not_needed; sms not sent: fallback_not_needed
Offer, to ada@example.com, to ada, push limit used up | push not sent: no_address; email not sent: repeated_address; sms not sent: fallback_not_needed; push dropped: over_limit; email sent: downgraded; sms not sent: fallback_not_needed
";

/// The conditions of a row.
struct Given {
    event: serde_json::Value,
    catalog: serde_json::Value,
    preferences: serde_json::Value,
    zone: Option<String>,
    event_zone: Option<String>,
    suppressed: HashMap<String, SuppressionReason>,
    contacts: Vec<(Channel, &'static str)>,
    recipients: Vec<String>,
    now: Timestamp,
    verdict: LimitVerdict,
    /// The channels whose limits alone are used up.
    used_up: Vec<Channel>,
    entry: Entry,
    /// Channels that have waited: each with an earlier channel that it followed, and the status of the message on that
    /// one.
    followed: Vec<(Channel, Channel, Option<DeliveryStatus>)>,
}

/// The verdict of a limit that is used up.
fn exceeded() -> LimitVerdict {
    LimitVerdict::Exceeded(today("10:30"))
}

fn today(time: &str) -> Timestamp {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-11-24T{time}{seconds}Z").parse().unwrap()
}

/// Reads `22:00-07:00` or `tue 22:00-07:00`.
fn window(text: &str) -> serde_json::Value {
    let (days, hours) = match text.split_once(' ') {
        Some((day, hours)) => (vec![day], hours),
        None => (Vec::new(), text),
    };
    let (from, to) = hours.split_once('-').unwrap();
    serde_json::json!({"days": days, "from": from, "to": to})
}

impl Given {
    fn read(conditions: &str) -> Self {
        let mut words = conditions.split(", ").map(str::trim);
        let event_type = words.next().unwrap();
        let mut given = Self {
            event: serde_json::json!({"id": "1", "type": event_type, "data": {}}),
            catalog: serde_json::from_str(CATALOG).unwrap(),
            preferences: serde_json::json!({}),
            zone: None,
            event_zone: None,
            suppressed: HashMap::new(),
            contacts: vec![
                (Channel::Email, "ada@example.com"),
                (Channel::Sms, "+4915112345678"),
                (Channel::Push, "device-1"),
            ],
            recipients: Vec::new(),
            now: today("10:00"),
            verdict: LimitVerdict::Allowed,
            used_up: Vec::new(),
            entry: Entry::Start,
            followed: Vec::new(),
        };
        for condition in words {
            given.apply(condition);
        }
        if given.recipients.is_empty() {
            given.recipients.push("ada".to_owned());
        }
        given
    }

    fn apply(&mut self, condition: &str) {
        fn push(list: &mut serde_json::Value, item: serde_json::Value) {
            if list.is_null() {
                *list = serde_json::json!([]);
            }
            list.as_array_mut().unwrap().push(item);
        }
        let first = |prefix: &str| condition.strip_prefix(prefix);
        if let Some(who) = first("to ") {
            self.recipients.push(who.to_owned());
        } else if let Some(channel) = first("asks for ") {
            push(&mut self.event["channels"], channel.into());
        } else if let Some(time) = first("expires ") {
            self.event["expiresat"] = today(time).to_rfc3339().into();
        } else if let Some(time) = first("at ") {
            self.now = today(time);
        } else if let Some(channel) = first("no ") {
            let channel: Channel = channel.parse().unwrap();
            self.contacts.retain(|(known, _)| *known != channel);
        } else if let Some(name) = first("zone ") {
            self.zone = Some(name.to_owned());
        } else if let Some(name) = first("event zone ") {
            self.event_zone = Some(name.to_owned());
        } else if let Some(name) = first("tenant zone ") {
            self.catalog["timezone"] = name.into();
        } else if let Some(text) = first("tenant quiet ") {
            push(&mut self.catalog["quiet_hours"], window(text));
        } else if condition == "quiet none" {
            self.preferences["quiet_hours"] = serde_json::json!([]);
        } else if let Some(text) = first("quiet ") {
            push(&mut self.preferences["quiet_hours"], window(text));
        } else if condition == "two devices" {
            self.contacts.push((Channel::Push, "device-2"));
        } else if condition == "waited" {
            self.entry = Entry::Suppression;
        } else if let Some((channel, earlier)) = condition.split_once(" followed ") {
            let (earlier, status) = match earlier.split_once(' ') {
                Some((earlier, status)) => (earlier, Some(status.parse().unwrap())),
                None => (earlier, None),
            };
            self.entry = Entry::Suppression;
            self.followed
                .push((channel.parse().unwrap(), earlier.parse().unwrap(), status));
        } else if condition == "collected" {
            self.entry = Entry::Digest;
        } else if condition == "limit used up" {
            self.verdict = exceeded();
        } else if condition == "limit unknown" {
            self.verdict = LimitVerdict::Unavailable;
        } else if let Some(channel) = condition.strip_suffix(" limit used up") {
            self.used_up.push(channel.parse().unwrap());
        } else if let Some((what, reason)) = condition.split_once(" suppressed by ") {
            self.suppressed.insert(what.to_owned(), reason.parse().unwrap());
        } else {
            let words: Vec<&str> = condition.split(' ').collect();
            let [place, channel, choice] = words[..] else {
                panic!("no such condition: {condition}")
            };
            let wanted = choice == "on";
            assert!(wanted || choice == "off", "{condition}");
            let at = match place {
                "global" => vec!["global", channel],
                category if category.starts_with(char::is_lowercase) => vec!["categories", category, channel],
                event_type => vec!["types", event_type, channel],
            };
            let choice = at
                .into_iter()
                .fold(&mut self.preferences, |at, name| &mut at[name]);
            *choice = wanted.into();
        }
    }

    /// The first address of a channel is suppressed by the channel's name.
    fn ada(&self) -> UserFacts {
        let mut named = std::collections::HashSet::new();
        let contacts = self.contacts.iter().map(|(channel, address)| {
            let id = ContactPointId::device(&TenantId::default(), &"ada".into(), address);
            let is_first = named.insert(*channel);
            let reason = self.suppressed.get(channel.as_str()).filter(|_| is_first);
            Contact {
                point: ContactPoint {
                    id,
                    channel: *channel,
                    address: (*address).into(),
                    platform: None,
                },
                suppressed: reason.map(|reason| suppression(*reason)),
            }
        });
        UserFacts {
            locale: None,
            timezone: self.zone.as_deref().map(Arc::from),
            contacts: contacts.collect(),
            preferences: Arc::new(serde_json::from_value(self.preferences.clone()).unwrap()),
        }
    }

    fn decide(&self) -> Vec<Decision> {
        let mut event = self.event.clone();
        let recipients = self.recipients.iter().map(|who| {
            let mut recipient = match who.as_str() {
                email if email.contains('@') => serde_json::json!({"email": email}),
                phone if phone.starts_with('+') => serde_json::json!({"phone": phone}),
                user => serde_json::json!({"user_id": user}),
            };
            if let Some(zone) = &self.event_zone {
                recipient["timezone"] = zone.as_str().into();
            }
            recipient
        });
        event["recipients"] = recipients.collect();
        let mut event = Event::from_plain(event.to_string().as_bytes(), Defaults::at(self.now)).unwrap();
        let catalog: Catalog = serde_json::from_value(self.catalog.clone()).unwrap();
        assert_eq!(catalog.validate(), []);
        let catalog = CompiledCatalog::new(catalog);
        let key = AddressKey::new([1; 32]);
        let guests = self.suppressed.iter().filter(|(what, _)| what.contains('@'));
        let guests =
            guests.map(|(address, reason)| (key.hash(Channel::Email, address), suppression(*reason)));
        let repeated = take_repeated(&mut event);
        let (tenant, users) = (TenantId::default(), [("ada".into(), self.ada())].into());
        let suppressed_guests = guests.collect();
        let mut downgrades = Downgrades::default();
        loop {
            let facts = EventFacts {
                tenant: &tenant,
                event: &event,
                repeated: &repeated,
                catalog_type: catalog.lookup(&event.event_type).unwrap(),
                users: &users,
                suppressed_guests: &suppressed_guests,
                address_key: &key,
                entry: self.entry,
                release: None,
                releases: 0,
                downgrades: &downgrades,
                accepted_at: self.now,
                now: self.now,
            };
            let drafts = self.drafts(&facts);
            let checks = drafts.iter().flat_map(Draft::checks);
            let verdicts: Vec<LimitVerdict> = checks.map(|check| self.verdict_on(check)).collect();
            if !downgrades.add(drafts.iter(), &verdicts) {
                let concluded = conclude(drafts, &mut verdicts.into_iter());
                return concluded.decisions.decisions;
            }
        }
    }

    /// All drafts of the event, or those of the channel that has waited for others.
    fn drafts(&self, facts: &EventFacts<'_>) -> Vec<Draft> {
        let Some((channel, ..)) = self.followed.first() else {
            return facts.drafts();
        };
        let id =
            |channel: Channel| DeliveryId(Uuid::new_v5(&Uuid::NAMESPACE_OID, channel.as_str().as_bytes()));
        let known = self.followed.iter().filter_map(|(_, earlier, status)| {
            let state = Earlier::of((*status)?, []);
            let channel = *earlier;
            Some((id(channel), EarlierDelivery { channel, state }))
        });
        let ada = NotificationId::derive(facts.tenant, &facts.event.source, &facts.event.id, "user:ada");
        let part = WaitingPart {
            notification_id: ada,
            user_id: Some("ada".into()),
            channel: *channel,
            deliveries: Vec::new(),
            after: self.followed.iter().map(|(_, earlier, _)| id(*earlier)).collect(),
        };
        let (drafts, lost) = facts.drafts_of(std::slice::from_ref(&part), &known.collect());
        assert!(lost.is_empty(), "{lost:?}");
        drafts.into_iter().map(|(draft, _)| draft).collect()
    }

    fn verdict_on(&self, check: &LimitCheck) -> LimitVerdict {
        if self.used_up.contains(&check.limit.channel) {
            exceeded()
        } else {
            self.verdict
        }
    }
}

fn suppression(reason: SuppressionReason) -> Suppression {
    Suppression {
        reason,
        since: today("08:00"),
    }
}

/// A decision as the table says it.
fn told(decision: &Decision) -> String {
    let (channel, reason) = (decision.channel, decision.reason);
    match (decision.outcome, reason) {
        (Outcome::Send, Reason::Allowed) => format!("{channel} sent"),
        (Outcome::Send, _) => format!("{channel} sent: {reason}"),
        (Outcome::Suppress, _) => format!("{channel} not sent: {reason}"),
        (Outcome::Drop, _) => format!("{channel} dropped: {reason}"),
        (Outcome::Defer, _) => {
            let sentence = decision.sentence.strip_prefix("Held back until ").unwrap();
            let (until, _) = sentence.split_once(": ").unwrap();
            format!("{channel} waits until {until}: {reason}")
        }
        (Outcome::Digest, _) => {
            let sentence = decision.sentence.strip_prefix("Collected until ").unwrap();
            let (until, digest) = sentence.split_once(", in digest ").unwrap();
            assert!(
                digest.starts_with(&decision.digest_id.unwrap().to_string()),
                "{digest}"
            );
            format!("{channel} collected until {until}: {reason}")
        }
        (other, _) => panic!("no rule has the outcome {other}"),
    }
}

#[test]
fn each_case_of_the_table_is_decided_as_it_says() {
    let rows: Vec<(&str, &str)> = CASES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" | ").unwrap_or_else(|| panic!("no bar: {line}")))
        .collect();
    assert!(rows.len() >= 80, "{}", rows.len());
    let mut wrong = Vec::new();
    let mut reasons = std::collections::HashSet::new();
    for (conditions, expected) in rows {
        let decisions = Given::read(conditions.trim()).decide();
        for decision in &decisions {
            reasons.insert(decision.reason);
            assert!(
                !decision.sentence.is_empty() && decision.sentence.ends_with('.'),
                "{conditions}"
            );
            assert_eq!(
                decision.delivery_id.is_some(),
                matches!(decision.outcome, Outcome::Send | Outcome::Defer | Outcome::Digest),
                "{conditions}"
            );
        }
        let found: Vec<String> = decisions.iter().map(told).collect();
        let found = found.join("; ");
        if found != expected.trim() {
            wrong.push(format!(
                "{}\n  expected {}\n  found    {found}",
                conditions.trim(),
                expected.trim()
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // An invalid recipient comes only from Kafka; its decisions have a test of their own.
    let missing: Vec<&Reason> = Reason::VARIANTS
        .iter()
        .filter(|reason| **reason != Reason::InvalidRecipient && !reasons.contains(reason))
        .collect();
    assert!(missing.is_empty(), "no case has {missing:?}");
}
