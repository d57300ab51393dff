//! The events of the load, and the deliveries expected of each.

use std::{collections::HashSet, ops::RangeInclusive, time::Duration};

use carillon_domain::{Channel, Lane, Timestamp};
use serde_json::{Map, Value, json};

use crate::plan::USERS;

/// The source of all events.
pub(crate) const SOURCE: &str = "/e2e";

/// The channels of `OrderShipped`.
pub(crate) const CHANNELS: [Channel; 3] = [Channel::Email, Channel::Sms, Channel::Push];

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Goes to all channels; sent again after an uncertain attempt.
    OrderShipped,
    /// Critical, e-mail; held after an uncertain attempt.
    PasswordReset,
    /// Critical, a text message.
    OneTimePassword,
    /// At most one push a day; those over the limit are e-mails.
    PriceDrop,
    /// Collected in digests, by e-mail.
    WishlistPriceDrop,
}

/// The recipients of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    /// One user, whose events stay in order.
    User(usize),
    /// A guest without a profile.
    Guest(usize),
    /// Several users.
    Group(Vec<usize>),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) to: To,
    pub(crate) lane: Lane,
    /// The requested channels; empty: all of its type.
    pub(crate) channels: Vec<Channel>,
    pub(crate) waits: Waits,
}

/// When an event may be sent, and whether it is cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// The time from the first try of the post to `sendat`.
    pub(crate) delay: Option<Duration>,
    /// `sendat`, set before the first try.
    pub(crate) sendat: Option<Timestamp>,
    /// The time from the acceptance to the request to cancel the event.
    pub(crate) cancel_after: Option<Duration>,
}

/// Whether a user has quiet hours, which end during the run.
pub(crate) fn is_quiet(user: usize) -> bool {
    user % 8 == 5
}

/// The ids of the users with quiet hours.
pub(crate) fn quiet_users() -> HashSet<String> {
    (0..USERS).filter(|user| is_quiet(*user)).map(user_id).collect()
}

pub(crate) fn user_id(user: usize) -> String {
    format!("e2e-{user}")
}

fn price_drop(product: &str) -> Value {
    json!({"product": product, "product_url": "https://shop.example.com/kettle", "old_price": "49.00", "new_price": "39.00",
        "currency": "EUR"})
}

/// A user as the body of `PUT /v1/users/{id}`.
pub(crate) fn profile(user: usize) -> Value {
    let locale = ["en-GB", "fr-CA", "de-DE"][user % 3];
    json!({
        "email": format!("user-{user}@example.com"),
        "phone": format!("+1438{:07}", 2_000_000 + user),
        "locale": locale,
        "timezone": "UTC",
        "devices": [{"platform": "android", "token": format!("e2e-device-token-{user}")}],
    })
}

impl Event {
    fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::OrderShipped => "OrderShipped",
            Kind::PasswordReset => "PasswordReset",
            Kind::OneTimePassword => "OneTimePassword",
            Kind::PriceDrop => "PriceDrop",
            Kind::WishlistPriceDrop => "WishlistPriceDrop",
        }
    }

    fn data(&self) -> Value {
        match self.kind {
            Kind::OrderShipped => json!({"order_id": self.id, "carrier": "DHL"}),
            Kind::PasswordReset => {
                json!({"reset_url": format!("https://shop.example.com/reset/{}", self.id), "valid_minutes": 30})
            }
            Kind::OneTimePassword => json!({"code": "123456", "valid_minutes": 5}),
            Kind::PriceDrop => price_drop("Kettle"),
            Kind::WishlistPriceDrop => price_drop(&self.id),
        }
    }

    fn recipients(&self) -> Value {
        let user = |user: &usize| json!({"user_id": user_id(*user)});
        match &self.to {
            To::User(one) => json!([user(one)]),
            To::Group(users) => users.iter().map(user).collect(),
            To::Guest(guest) => json!([{
                "email": format!("guest-{guest}@example.com"),
                "phone": format!("+1514{:07}", 2_000_000 + guest % 8_000_000),
            }]),
        }
    }

    /// The event in Carillon's plain form, for HTTP.
    pub(crate) fn plain(&self) -> Value {
        let mut event = json!({
            "id": self.id, "source": SOURCE, "type": self.type_name(), "priority": self.lane.as_str(),
            "recipients": self.recipients(), "data": self.data(),
        });
        if !self.channels.is_empty() {
            event["channels"] = self.channels.iter().map(|channel| channel.as_str()).collect();
        }
        if let Some(sendat) = self.waits.sendat {
            event["sendat"] = json!(sendat);
        }
        event
    }

    /// The event as a CloudEvent: attributes and data.
    pub(crate) fn cloud_event(&self) -> (Map<String, Value>, Value) {
        let mut attributes = Map::new();
        let mut set = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
        set("specversion", "1.0".into());
        set("id", self.id.clone().into());
        set("source", SOURCE.into());
        set("type", self.type_name().into());
        set("priority", self.lane.as_str().into());
        if !self.channels.is_empty() {
            let channels: Vec<&str> = self.channels.iter().map(|channel| channel.as_str()).collect();
            set("channels", channels.join(",").into());
        }
        if let Some(sendat) = self.waits.sendat {
            set("sendat", json!(sendat));
        }
        let mut data = self.data();
        match &self.to {
            To::User(user) => {
                set("recipient", user_id(*user).into());
            }
            To::Guest(_) | To::Group(_) => data["recipients"] = self.recipients(),
        }
        (attributes, data)
    }

    /// The key of the event's record, by which the events of one user stay in order.
    pub(crate) fn record_key(&self) -> String {
        match self.to {
            To::User(user) => format!("default|{}", user_id(user)),
            To::Guest(_) | To::Group(_) => self.id.clone(),
        }
    }

    /// Whether quiet hours concern messages of its type.
    pub(crate) fn keeps_quiet(&self) -> bool {
        matches!(
            self.kind,
            Kind::OrderShipped | Kind::PriceDrop | Kind::WishlistPriceDrop
        )
    }

    /// Whether its messages may arrive later than those of events that were posted after it.
    pub(crate) fn may_wait(&self) -> bool {
        let is_for_quiet_user = matches!(self.to, To::User(user) if is_quiet(user));
        self.waits.sendat.is_some() || (self.keeps_quiet() && is_for_quiet_user)
    }

    /// The number of deliveries that may result.
    pub(crate) fn deliveries(&self) -> RangeInclusive<usize> {
        let all = self.all_deliveries();
        match self.waits.cancel_after {
            // A cancelled event may have been decided before.
            Some(_) => 0..=*all.end(),
            None => all,
        }
    }

    fn all_deliveries(&self) -> RangeInclusive<usize> {
        let asked = |channels: &[Channel]| {
            let is_asked = |channel: &&Channel| self.channels.is_empty() || self.channels.contains(channel);
            channels.iter().filter(is_asked).count()
        };
        let exactly = |count: usize| count..=count;
        match (self.kind, &self.to) {
            (Kind::OrderShipped, To::Guest(_)) => exactly(asked(&[Channel::Email, Channel::Sms])),
            (Kind::OrderShipped, To::Group(users)) => exactly(users.len() * asked(&CHANNELS)),
            (Kind::OrderShipped, To::User(_)) => exactly(asked(&CHANNELS)),
            (Kind::PasswordReset | Kind::OneTimePassword | Kind::WishlistPriceDrop, _) => exactly(1),
            // A push that quiet hours have deferred may be over the limit at their end, and then goes by e-mail.
            (Kind::PriceDrop, _) => 0..=2,
        }
    }
}
