//! The page at `/`: the messages as their receivers would see them.

use askama::Template;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::problem::Problem;
use crate::context::Context;
use crate::{Channel, Message, MessageFilter, Provider, Stats, StoredMessage};

const PER_PAGE: u32 = 30;
const REFRESH_SECONDS: u32 = 5;
const STYLE: &str = include_str!("../../assets/page.css");

/// The content security policy: no scripts, no external content. Mails need inline styles; their frames inherit this
/// policy.
const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src data:; frame-src 'none'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn routes(context: Context) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/page.css", get(style))
        .with_state(context)
}

async fn style() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/css; charset=utf-8"),
            (header::CACHE_CONTROL, "max-age=60"),
        ],
        STYLE,
    )
}

/// The parameters of the page. Values that cannot be read are ignored, because people edit addresses by hand.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    channel: String,
    to: String,
    cursor: String,
    paused: String,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    asked: Asked,
    channels: Vec<ChannelChoice>,
    stats: Stats,
    cards: Vec<Card>,
    /// The refresh interval in seconds; `None` while paused or on an older page.
    refresh: Option<u32>,
    older: Option<i64>,
}

struct ChannelChoice {
    name: &'static str,
    label: &'static str,
    chosen: bool,
}

struct Card {
    message: Message,
    copies: u64,
    sender: String,
    initial: String,
    time: String,
    date: String,
    data: Vec<(String, String)>,
}

impl Card {
    fn new(stored: StoredMessage) -> Self {
        let StoredMessage {
            message,
            copies,
            place: _,
        } = stored;
        let sender = sender(&message);
        let data = message.data.iter().map(|(key, value)| {
            (
                key.clone(),
                value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            )
        });
        Self {
            copies,
            initial: sender
                .chars()
                .find(|letter| letter.is_alphanumeric())
                .unwrap_or('?')
                .to_uppercase()
                .to_string(),
            time: message.received_at.format("%H:%M").to_string(),
            date: message
                .received_at
                .format("%Y-%m-%d %H:%M:%S%.3f UTC")
                .to_string(),
            data: data.collect(),
            sender,
            message,
        }
    }

    /// The kind of a push message's device.
    fn device(&self) -> &'static str {
        match self.message.provider {
            Provider::Apns => "iphone",
            _ => "android",
        }
    }

    fn is(&self, channel: &str) -> bool {
        self.message.channel.as_str() == channel
    }
}

fn sender(message: &Message) -> String {
    let named = match message.channel {
        Channel::Email => message.datum("from").or_else(|| message.datum("envelope_from")),
        Channel::Webhook => message.datum("source"),
        Channel::Sms => message
            .datum("from")
            .or_else(|| message.datum("messaging_service_sid")),
        Channel::Push => {
            let named = ["project", "apns-topic"];
            named
                .into_iter()
                .find_map(|name| message.headers.get(name))
                .map(String::as_str)
        }
    };
    named
        .filter(|name| !name.is_empty())
        .unwrap_or("unknown sender")
        .to_owned()
}

fn label(channel: Channel) -> &'static str {
    match channel {
        Channel::Push => "Push",
        Channel::Email => "E-mail",
        Channel::Sms => "SMS",
        Channel::Webhook => "Webhook",
    }
}

async fn page(
    State(context): State<Context>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let channel = Channel::parse(&asked.channel);
    let older_than = asked.cursor.parse().ok();
    let wanted = asked.to.trim();
    let filter = MessageFilter {
        channel,
        to_contains: (!wanted.is_empty()).then(|| wanted.to_owned()),
        older_than,
        limit: Some(PER_PAGE + 1),
        ..MessageFilter::default()
    };
    let messages = context.store.messages();
    let mut found = messages.list_stored(&filter).await?;
    let more = found.len() > PER_PAGE as usize;
    found.truncate(PER_PAGE as usize);
    let is_live = older_than.is_none() && asked.paused.is_empty();
    let page = Page {
        channels: Channel::ALL
            .map(|choice| ChannelChoice {
                name: choice.as_str(),
                label: label(choice),
                chosen: channel == Some(choice),
            })
            .into(),
        stats: messages.stats().await?,
        refresh: is_live.then_some(REFRESH_SECONDS),
        older: found.last().filter(|_| more).map(|last| last.place),
        cards: found.into_iter().map(Card::new).collect(),
        asked,
    };
    let html = page.render().map_err(|error| {
        tracing::error!(error = %error, "the page could not be rendered");
        Problem::Unavailable
    })?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Html(html)).into_response())
}
