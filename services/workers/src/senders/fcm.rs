//! Firebase Cloud Messaging, HTTP v1.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use carillon_domain::clock::SharedClock;
use carillon_render::Content;
use carillon_runtime::http;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    ProviderConfigError,
    fcm_answer::{classify, is_unauthenticated},
    http::exchange,
    oauth::{ServiceAccount, Tokens},
};
use crate::{
    config::FcmConfig,
    outcome::{Refusal, Scope, SendOutcome},
    sender::{OutgoingMessage, Sender},
};

/// The longest time for which FCM keeps a message.
const MAX_TTL_SECONDS: i64 = 2_419_200;

#[derive(Serialize)]
struct Envelope<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    token: &'a str,
    notification: Notification<'a>,
    data: BTreeMap<&'a str, &'a str>,
    android: Android<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns: Option<Platform<ApnsHeaders<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webpush: Option<Platform<WebPushHeaders>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: &'a str,
    body: &'a str,
}

/// A second copy of a delivery replaces the first on the device by its tag. Messages with the same collapse
/// key replace one another too. FCM keeps only four collapse keys for an offline device, so a message has one
/// only if its template sets it.
#[derive(Serialize)]
struct Android<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    notification: AndroidNotification<'a>,
}

#[derive(Serialize)]
struct AndroidNotification<'a> {
    tag: &'a str,
}

/// Headers for APNs or a web push service, besides the message.
#[derive(Serialize)]
struct Platform<H> {
    headers: H,
}

#[derive(Serialize)]
struct ApnsHeaders<'a> {
    /// Seconds since 1970.
    #[serde(rename = "apns-expiration", skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
    #[serde(rename = "apns-collapse-id", skip_serializing_if = "Option::is_none")]
    collapse_id: Option<&'a str>,
}

#[derive(Serialize)]
struct WebPushHeaders {
    /// Seconds (RFC 8030 §5.2).
    #[serde(rename = "TTL")]
    ttl: String,
}

/// Sends push messages through one Firebase project.
pub struct FcmSender {
    client: reqwest::Client,
    url: String,
    tokens: Tokens,
    timeout: Duration,
    clock: SharedClock,
}

impl FcmSender {
    /// Reads the service account's key.
    pub fn new(config: &FcmConfig, clock: SharedClock) -> Result<Self, ProviderConfigError> {
        let account = ServiceAccount::load(config)?;
        let client = http::client(&http::ClientOptions {
            request_timeout: config.request_timeout,
            ..http::ClientOptions::default()
        })?;
        let base = config.base_url.trim_end_matches('/');
        Ok(Self {
            url: format!("{base}/v1/projects/{}/messages:send", account.project_id),
            tokens: Tokens::new(account, client.clone(), clock.clone())?,
            client,
            timeout: config.request_timeout,
            clock,
        })
    }

    /// Sends one request, after fetching a token if necessary; both end by the deadline.
    async fn attempt(
        &self,
        message: &OutgoingMessage,
        renew: bool,
        deadline: Instant,
    ) -> Result<super::http::ProviderResponse, SendOutcome> {
        let Content::Push {
            title,
            body,
            data,
            collapse,
        } = &message.content
        else {
            return Err(SendOutcome::Terminal(Refusal::new(
                Scope::Message,
                "wrong-content",
                "expected a push message",
            )));
        };
        let late = |code| {
            SendOutcome::Retry(Refusal::new(
                Scope::Connection,
                code,
                "no token could be fetched in time",
            ))
        };
        let token = tokio::time::timeout_at(deadline, self.tokens.get(renew))
            .await
            .map_err(|_| late("oauth-unreachable"))??;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late("timeout"));
        }
        let (delivery_id, event_id) = (message.delivery_id.to_string(), message.event_id.to_string());
        let mut fields: BTreeMap<&str, &str> = data.iter().map(|(key, value)| (&**key, &**value)).collect();
        fields.insert("carillon_delivery_id", &delivery_id);
        fields.insert("carillon_event_id", &event_id);
        let (now, collapse) = (self.clock.now(), collapse.as_deref());
        let ttl = message
            .expires_at
            .map(|expires_at| (expires_at - now).num_seconds().clamp(0, MAX_TTL_SECONDS));
        let envelope = Envelope {
            message: Message {
                token: &message.to,
                notification: Notification { title, body },
                data: fields,
                android: Android {
                    collapse_key: collapse,
                    ttl: ttl.map(|ttl| format!("{ttl}s")),
                    notification: AndroidNotification {
                        tag: collapse.unwrap_or(&delivery_id),
                    },
                },
                apns: (ttl.is_some() || collapse.is_some()).then(|| Platform {
                    headers: ApnsHeaders {
                        expiration: ttl.map(|ttl| now.timestamp().saturating_add(ttl).to_string()),
                        collapse_id: collapse,
                    },
                }),
                webpush: ttl.map(|ttl| Platform {
                    headers: WebPushHeaders { ttl: ttl.to_string() },
                }),
            },
        };
        let request = self.client.post(&self.url).timeout(left);
        exchange(request.bearer_auth(&*token).json(&envelope), now).await
    }
}

#[async_trait]
impl Sender for FcmSender {
    async fn send(&self, message: &OutgoingMessage) -> SendOutcome {
        let deadline = Instant::now() + self.timeout;
        let first = match self.attempt(message, false, deadline).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if !is_unauthenticated(&first) {
            return classify(&first);
        }
        // The token may have been revoked early, so one more try is made with a new one.
        match self.attempt(message, true, deadline).await {
            Ok(answer) => classify(&answer),
            Err(outcome) => outcome,
        }
    }
}
