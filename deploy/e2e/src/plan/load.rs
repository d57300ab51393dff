//! The posts of all clients and their times.

use std::time::Duration;

use carillon_domain::{Channel, Lane};
use rand::{Rng, RngExt as _};

use crate::{
    args::Backend,
    events::{Event, Kind, To, Waits},
};

/// The number of clients that post at the same time; each has users of its own.
pub(super) const CLIENTS: usize = 32;
const USERS_EACH: usize = 5;
/// The number of users with a profile.
pub(crate) const USERS: usize = CLIENTS * USERS_EACH;

/// The way of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// `POST /v1/events`, one event.
    Single,
    /// `POST /v1/events`, a JSON array.
    Batch,
    /// Records on the events topics, CloudEvents in structured mode.
    KafkaStructured,
    /// Records on the events topics, CloudEvents in binary mode.
    KafkaBinary,
}

/// Events that go out in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    /// The earliest time; later if the client's post before is still in progress.
    pub(crate) at: Duration,
    pub(crate) via: Via,
    pub(crate) events: Vec<Event>,
}

/// The average number of events of a post: seven singles, one batch of 4 to 16 and two Kafka posts of 1 to 4.
const EVENTS_EACH: f64 = 0.7 + 0.1 * 10.0 + 0.2 * 2.5;
/// The same without Kafka: nine singles and a batch.
const EVENTS_EACH_HTTP: f64 = 0.9 + 0.1 * 10.0;

/// Draws the posts of a client for the length of the run.
pub(super) fn draw(
    dice: &mut impl Rng,
    client: usize,
    backend: Backend,
    length: Duration,
    rate: u32,
) -> Vec<Post> {
    #[expect(clippy::cast_precision_loss, reason = "32 clients")]
    let clients = CLIENTS as f64;
    let each = if backend.is_real() {
        EVENTS_EACH
    } else {
        EVENTS_EACH_HTTP
    };
    let mean = clients * each / f64::from(rate);
    let mut posts = Vec::new();
    let mut count = 0;
    let mut at = Duration::from_secs_f64(dice.random_range(0.0..mean));
    while at < length {
        let via = via(dice, backend);
        let events = match via {
            Via::Single => 1,
            Via::Batch => dice.random_range(4..=16),
            Via::KafkaStructured | Via::KafkaBinary => dice.random_range(1..=4),
        };
        let events = (0..events)
            .map(|_| {
                count += 1;
                event(dice, client, count)
            })
            .collect();
        posts.push(Post { at, via, events });
        at += Duration::from_secs_f64(mean * dice.random_range(0.5..1.5));
    }
    posts
}

fn via(dice: &mut impl Rng, backend: Backend) -> Via {
    match dice.random_range(0..10) {
        0..7 => Via::Single,
        7 => Via::Batch,
        _ if !backend.is_real() => Via::Single,
        8 => Via::KafkaStructured,
        _ => Via::KafkaBinary,
    }
}

fn event(dice: &mut impl Rng, client: usize, count: usize) -> Event {
    let user = (client - 1) * USERS_EACH + dice.random_range(0..USERS_EACH);
    let (kind, to) = match dice.random_range(0..100) {
        0..58 => (Kind::OrderShipped, To::User(user)),
        58..70 => (Kind::OrderShipped, To::Guest(client * 100_000 + count)),
        70..74 => (Kind::OrderShipped, To::Group(group(dice))),
        74..82 => (Kind::PasswordReset, To::User(user)),
        82..87 => (Kind::OneTimePassword, To::User(user)),
        87..94 => (Kind::PriceDrop, To::User(user)),
        _ => (Kind::WishlistPriceDrop, To::User(user)),
    };
    let lane = match kind {
        Kind::OrderShipped => lane(dice),
        Kind::PasswordReset | Kind::OneTimePassword => Lane::High,
        Kind::PriceDrop | Kind::WishlistPriceDrop => Lane::Normal,
    };
    let channels = match kind {
        Kind::OrderShipped => channels(dice, &to),
        _ => Vec::new(),
    };
    let waits = match kind {
        Kind::OrderShipped | Kind::PriceDrop | Kind::WishlistPriceDrop => waits(dice),
        Kind::PasswordReset | Kind::OneTimePassword => Waits::default(),
    };
    Event {
        id: format!("e{client}-{count}"),
        kind,
        to,
        lane,
        channels,
        waits,
    }
}

/// An eighth of the events have a `sendat` of up to 20 s later, and half of those are cancelled, some too late. Some of the
/// others are cancelled at once.
fn waits(dice: &mut impl Rng) -> Waits {
    let delay = dice.random_bool(0.125).then(|| dice.random_range(1_000..20_000));
    let cancel_after = match delay {
        Some(delay) => dice.random_bool(0.5).then(|| dice.random_range(0..delay * 3 / 2)),
        None => dice.random_bool(0.02).then(|| dice.random_range(0..200)),
    };
    Waits {
        delay: delay.map(Duration::from_millis),
        sendat: None,
        cancel_after: cancel_after.map(Duration::from_millis),
    }
}

fn lane(dice: &mut impl Rng) -> Lane {
    match dice.random_range(0..10) {
        0..7 => Lane::Normal,
        7 => Lane::High,
        _ => Lane::Bulk,
    }
}

/// Three different users, of any client.
fn group(dice: &mut impl Rng) -> Vec<usize> {
    let first = dice.random_range(0..USERS);
    vec![first, (first + 1) % USERS, (first + 2) % USERS]
}

fn channels(dice: &mut impl Rng, to: &To) -> Vec<Channel> {
    let all: &[Channel] = match to {
        To::Guest(_) => &[Channel::Email, Channel::Sms],
        To::User(_) | To::Group(_) => &crate::events::CHANNELS,
    };
    if dice.random_bool(0.5) {
        return Vec::new();
    }
    vec![all[dice.random_range(0..all.len())]]
}
