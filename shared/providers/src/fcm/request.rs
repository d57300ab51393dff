//! Messages to FCM.

use std::collections::BTreeMap;

use carillon_domain::{Content, Timestamp};
use http::{HeaderValue, header::AUTHORIZATION};
use serde::Serialize;
use url::Url;

use super::{FcmConfig, ServiceAccount};
use crate::{
    http::ProviderRequest,
    message::{OutgoingMessage, wrong_content},
    outcome::{Refusal, Scope},
    setting::SettingError,
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

/// A message whose content is a push.
pub struct Push<'a> {
    message: &'a OutgoingMessage,
    title: &'a str,
    body: &'a str,
    data: &'a BTreeMap<String, String>,
    collapse: Option<&'a str>,
}

impl<'a> Push<'a> {
    /// Refuses other content.
    pub fn of(message: &'a OutgoingMessage) -> Result<Self, Refusal> {
        match &message.content {
            Content::Push {
                title,
                body,
                data,
                collapse,
            } => Ok(Self {
                message,
                title,
                body,
                data,
                collapse: collapse.as_deref(),
            }),
            _ => Err(wrong_content("a push message")),
        }
    }
}

/// The requests to one Firebase project.
pub struct FcmRequests {
    url: Url,
}

impl FcmRequests {
    /// Builds the project's URL.
    pub fn new(config: &FcmConfig, account: &ServiceAccount) -> Result<Self, SettingError> {
        let path = format!("/v1/projects/{}/messages:send", account.project_id);
        Ok(Self {
            url: config.base_url.join("base_url", &path)?,
        })
    }

    /// The request that sends a push. `authorization` is the value of that header.
    pub fn build(
        &self,
        push: &Push<'_>,
        authorization: HeaderValue,
        now: Timestamp,
    ) -> Result<ProviderRequest, Refusal> {
        let Push {
            message, collapse, ..
        } = *push;
        let (delivery_id, event_id) = (message.delivery_id.to_string(), message.event_id.as_str());
        let mut data: BTreeMap<&str, &str> =
            push.data.iter().map(|(key, value)| (&**key, &**value)).collect();
        data.insert("carillon_delivery_id", &delivery_id);
        data.insert("carillon_event_id", event_id);
        let ttl = message
            .expires_at
            .map(|expires_at| (expires_at - now).num_seconds().clamp(0, MAX_TTL_SECONDS));
        let envelope = Envelope {
            message: Message {
                token: &message.to,
                notification: Notification {
                    title: push.title,
                    body: push.body,
                },
                data,
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
        let body = serde_json::to_vec(&envelope)
            .map_err(|_| Refusal::new(Scope::Message, "json", "the message has no JSON form"))?;
        let mut request = ProviderRequest::json(self.url.clone(), body);
        request.headers.insert(AUTHORIZATION, authorization);
        Ok(request)
    }
}
