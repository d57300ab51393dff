//! The sentences of decisions. A sentence announces the delivery ("To be sent by sms"), so it stays true in each of the
//! delivery's states.

use super::{Decision, Facts, Reason};
use crate::{
    catalog::LimitScope,
    channel::Channel,
    clock::Timestamp,
    delivery_state::DeliveryStatus,
    digest::Digest,
    fallback::Earlier,
    field_error::FieldError,
    quiet_hours::{Zone, until_text},
    suppression::Suppression,
};

/// A wait, with the timezone in which its end is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    pub(super) until: Timestamp,
    pub(super) zone: Zone,
}

/// The earlier channels that a message follows, and the state of the messages on them.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) channels: Vec<Channel>,
    pub(super) state: Earlier,
}

impl Followed {
    /// `the message by push`, or with more channels `one of the messages by push and email`.
    fn messages(&self) -> String {
        let names: Vec<&str> = self.channels.iter().map(|channel| channel.as_str()).collect();
        match names.split_last() {
            None => "the message on an earlier channel".to_owned(),
            Some((only, [])) => format!("the message by {only}"),
            Some((last, first)) => format!("one of the messages by {} and {last}", first.join(", ")),
        }
    }
}

/// The reason as a sentence, for a reader who looks at one recipient.
pub(super) fn sentence(reason: Reason, facts: &Facts<'_>, channel: Channel) -> String {
    let event_type = facts.type_name;
    let category = &facts.definition.category;
    match reason {
        Reason::Allowed => format!("To be sent by {channel}: no rule forbids it."),
        Reason::Critical => {
            format!(
                "To be sent by {channel}: {event_type} is critical, so preferences, quiet hours, digests and limits do not apply."
            )
        }
        Reason::Expired => "Not sent: the event had expired before it was decided.".to_owned(),
        Reason::UnknownUser => "Not sent: no user of this id is known.".to_owned(),
        Reason::NoAddress => format!("Not sent: the recipient has no address for {channel}."),
        // These have a suppression, whose sentence says more.
        Reason::AddressDead | Reason::Stopped | Reason::Complained | Reason::Suppressed => {
            format!("Not sent: no {channel} address of the recipient takes messages.")
        }
        Reason::OptedOutType => format!("Not sent: the user turned off {event_type} by {channel}."),
        Reason::OptedOutCategory => {
            format!("Not sent: the user turned off the category {category} by {channel}.")
        }
        Reason::OptedOutChannel => format!("Not sent: the user turned off {channel}."),
        Reason::NotOptedIn => {
            format!(
                "Not sent: the category {category} needs the user's consent for {channel}, which they did not give."
            )
        }
        Reason::FallbackNotNeeded => "Not sent: an earlier channel of the fallback order is used.".to_owned(),
        // These have earlier channels, which the sentence names.
        Reason::FallbackWaits
        | Reason::FallbackReached
        | Reason::FallbackUsed
        | Reason::ExpiresInFallback => followed(reason, None, None, channel),
        Reason::ChannelNotRequested => format!("Not sent: the event does not request {channel}."),
        Reason::ChannelNotOfType => {
            format!("Not sent: the event requests {channel}, which the type {event_type} does not use.")
        }
        Reason::RepeatedRecipient => "Not sent: the event names this recipient more than once.".to_owned(),
        Reason::RepeatedAddress => {
            "Not sent: another recipient of the event is reached at this address.".to_owned()
        }
        Reason::InvalidRecipient => invalid_recipient(&[]),
        // These have an end, which the sentence names.
        Reason::QuietHours => "Held back: quiet hours.".to_owned(),
        Reason::ExpiresInQuietHours => "Dropped: the event expires during quiet hours.".to_owned(),
        Reason::Digest => "Collected into a digest.".to_owned(),
        Reason::ExpiresInDigest => "Dropped: the event expires before its digest is sent.".to_owned(),
        // This has a limit, which the sentence names.
        Reason::OverLimit => over_limit_of(LimitScope::Category, category, channel),
        // This has an earlier channel, which the sentence names.
        Reason::Downgraded => downgraded(None, channel),
        Reason::LimitUnknown => limit_unknown_of(channel),
    }
}

/// The sentence of a decision that a suppression has stopped.
pub(super) fn suppressed(suppression: &Suppression, channel: Channel) -> String {
    format!("Not sent by {channel}: {}.", suppression.sentence())
}

/// The sentence of a message that waits.
pub(super) fn held_back(wait: &Wait) -> String {
    format!(
        "Held back until {}: quiet hours.",
        until_text(wait.until, wait.zone)
    )
}

/// The sentence of a message that follows one on an earlier channel of a fallback order.
pub(super) fn followed(
    reason: Reason,
    followed: Option<&Followed>,
    wait: Option<&Wait>,
    channel: Channel,
) -> String {
    let none = Followed {
        channels: Vec::new(),
        state: Earlier::Open,
    };
    let followed = followed.unwrap_or(&none);
    let messages = followed.messages();
    let until = wait.map_or_else(|| "its turn".to_owned(), |wait| until_text(wait.until, wait.zone));
    match (reason, followed.state) {
        (Reason::FallbackReached, Earlier::Reached(status)) => {
            format!("Not sent by {channel}: {messages} was {}.", reached_text(status))
        }
        (Reason::FallbackReached, _) => {
            format!("Not sent by {channel}: {messages} has reached the recipient.")
        }
        (Reason::FallbackUsed, Earlier::Failed) if followed.channels.len() > 1 => {
            format!("To be sent by {channel}: all messages on earlier channels have failed.")
        }
        (Reason::FallbackUsed, Earlier::Failed) => format!("To be sent by {channel}: {messages} has failed."),
        (Reason::FallbackUsed, _) => {
            format!(
                "To be sent by {channel}: there was no sign in time that {messages} was delivered or seen."
            )
        }
        (Reason::ExpiresInFallback, _) => {
            format!("Dropped: the event expires before {channel} is in turn at {until}.")
        }
        _ => format!(
            "Held back until {until}: sent then unless {messages} is delivered, opened or acknowledged before."
        ),
    }
}

/// The word for a message that has reached its recipient, by its status.
fn reached_text(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Complained => "answered with a complaint",
        DeliveryStatus::Clicked => "clicked",
        DeliveryStatus::Opened => "opened",
        DeliveryStatus::Acknowledged => "acknowledged",
        _ => "delivered",
    }
}

/// The sentence of a message that would expire while it waits.
pub(super) fn expires_in_wait(wait: &Wait) -> String {
    let end = until_text(wait.until, wait.zone);
    format!("Dropped: the event expires before the end of the recipient's quiet hours at {end}.")
}

/// The sentence of a message that joins a digest.
pub(super) fn collected(digest: &Digest, zone: Zone) -> String {
    format!("{}.", collected_until(digest, zone))
}

/// The sentence of a message that joins a digest because a limit has no room.
pub(super) fn collected_over_limit(
    decision: &Decision,
    scope: LimitScope,
    digest: &Digest,
    zone: Zone,
) -> String {
    format!(
        "{}: {}.",
        collected_until(digest, zone),
        used_up(scope, &decision.category, decision.channel)
    )
}

fn collected_until(digest: &Digest, zone: Zone) -> String {
    format!(
        "Collected until {}, in digest {}",
        until_text(digest.window.end, zone),
        digest.id
    )
}

/// The sentence of a message that would expire before its digest is sent.
pub(super) fn expires_in_digest(wait: &Wait) -> String {
    let end = until_text(wait.until, wait.zone);
    format!("Dropped: the event expires before its digest is sent at {end}.")
}

/// The sentence of a decision about an invalid recipient.
pub(super) fn invalid_recipient(errors: &[FieldError]) -> String {
    match errors.first() {
        Some(first) => format!("Not sent: this is not a recipient. {first}"),
        None => "Not sent: this is not a recipient.".to_owned(),
    }
}

/// The sentence of a decision that a limit stopped.
pub(super) fn over_limit(decision: &Decision, scope: LimitScope) -> String {
    over_limit_of(scope, &decision.category, decision.channel)
}

/// The sentence of a message that waits until a limit has room.
pub(super) fn waits_for_limit(decision: &Decision, scope: LimitScope, wait: &Wait) -> String {
    format!(
        "Held back until {}: {}.",
        until_text(wait.until, wait.zone),
        used_up(scope, &decision.category, decision.channel)
    )
}

/// The sentence of a message that would expire before a limit has room.
pub(super) fn expires_over_limit(decision: &Decision, scope: LimitScope, wait: &Wait) -> String {
    format!(
        "Dropped: {}, and the event expires before it has room again at {}.",
        used_up(scope, &decision.category, decision.channel),
        until_text(wait.until, wait.zone)
    )
}

/// The sentence of a message over a limit whose turn passes to the next channel.
pub(super) fn passed_on(decision: &Decision, scope: LimitScope, next: Option<Channel>) -> String {
    let used_up = used_up(scope, &decision.category, decision.channel);
    match next {
        Some(next) => format!(
            "Not sent by {}: {used_up}, so {next} is used instead.",
            decision.channel
        ),
        None => format!("Dropped: {used_up}, and no later channel of the type can be used."),
    }
}

/// The sentence of a message that is sent on this channel because a limit on an earlier one is used up.
pub(super) fn downgraded(from: Option<Channel>, channel: Channel) -> String {
    match from {
        Some(from) => format!("To be sent by {channel}: a limit on {from} is used up."),
        None => {
            format!("To be sent by {channel}: a limit on an earlier channel is used up.")
        }
    }
}

/// The sentence of a decision whose limits could not be counted.
pub(super) fn limit_unknown(decision: &Decision) -> String {
    limit_unknown_of(decision.channel)
}

fn over_limit_of(scope: LimitScope, category: &str, channel: Channel) -> String {
    format!("Dropped: {}.", used_up(scope, category, channel))
}

fn used_up(scope: LimitScope, category: &str, channel: Channel) -> String {
    match scope {
        LimitScope::Category => {
            format!("the limit of the category {category} on {channel} is used up for this recipient")
        }
        LimitScope::User => {
            format!("the limit of all categories on {channel} is used up for this recipient")
        }
        LimitScope::Tenant => format!("the limit of the whole tenant on {channel} is used up"),
    }
}

fn limit_unknown_of(channel: Channel) -> String {
    format!("To be sent by {channel}: its limits could not be counted in time, so they were left out.")
}
