//! The meaning of APNs' answers. `reason` decides; a reason that is not known counts as its status does. The reasons are
//! those of Apple's table "Response error strings" in "Handling notification responses from APNs".

use carillon_domain::{Timestamp, contact::DeathReason};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    http::ProviderResponse,
    outcome::{Refusal, Scope, SendOutcome},
};

#[derive(Deserialize)]
struct Failed {
    reason: String,
    /// Milliseconds since 1970, at 410 only: "the time at which APNs confirmed the token was no longer valid for the
    /// topic".
    timestamp: Option<i64>,
}

/// An answer whose body has been read.
pub struct ApnsAnswer {
    response: ProviderResponse,
    failed: Option<Failed>,
}

impl ApnsAnswer {
    /// Reads the body of a refusal.
    #[must_use]
    pub fn read(response: ProviderResponse) -> Self {
        let failed = (response.status != 200)
            .then(|| serde_json::from_slice(&response.body).ok())
            .flatten();
        Self { response, failed }
    }

    fn reason(&self) -> Option<&str> {
        self.failed.as_ref().map(|failed| &*failed.reason)
    }

    /// Whether the provider token was too old.
    #[must_use]
    pub fn says_token_expired(&self) -> bool {
        self.reason() == Some("ExpiredProviderToken")
    }

    /// Whether no further message may go out on the connection of this answer: the server leaves it, or refuses the
    /// token. ("If you revoke your authentication token, close all connections to APNs, fix the problem, and then open
    /// new connections.") After `TooManyProviderTokenUpdates` a connection is unusable until a new token is due, says
    /// Apple in developer.apple.com/forums/thread/675879.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(self.response.status, 401 | 403)
            || matches!(
                self.reason(),
                Some("IdleTimeout" | "Shutdown" | "TooManyProviderTokenUpdates")
            )
    }

    /// The outcome of the message that was sent under this id.
    pub fn outcome(&self, id: Uuid) -> SendOutcome {
        let status = self.response.status;
        if status == 200 {
            return SendOutcome::Ok {
                message_id: Some(id.hyphenated().to_string()),
            };
        }
        let refusal = |scope, detail: &str| {
            let code = self
                .reason()
                .map_or_else(|| format!("http-{status}"), str::to_owned);
            Refusal::new(scope, code, detail).after(self.response.retry_after)
        };
        let message = |detail| SendOutcome::Terminal(refusal(Scope::Message, detail));
        let operator = |detail| SendOutcome::Config(refusal(Scope::Account, detail));
        let gone = |detail| {
            let since = self.failed.as_ref().and_then(|failed| failed.timestamp);
            let refusal =
                refusal(Scope::Address, detail).since(since.and_then(Timestamp::from_timestamp_millis));
            SendOutcome::AddressDead(refusal, DeathReason::Gone)
        };
        let unavailable = |detail| SendOutcome::Retry(refusal(Scope::Account, detail));
        match (self.reason().unwrap_or_default(), status) {
            ("BadDeviceToken", _) => gone("the device token is not one of this environment"),
            ("Unregistered", _) => gone("the app is no longer installed"),
            ("ExpiredToken", _) => gone("the device token has expired"),
            ("DeviceTokenNotForTopic", _) => SendOutcome::Terminal(refusal(
                Scope::Address,
                "the device token is of another app than the account's topic",
            )),
            ("BadTopic" | "MissingTopic" | "TopicDisallowed", _) => {
                operator("the account's key may not push to its topic")
            }
            ("PayloadTooLarge", _) => message("the payload is too large"),
            ("IdleTimeout", _) => {
                SendOutcome::Retry(refusal(Scope::Connection, "the connection was idle for too long"))
            }
            ("ExpiredProviderToken", _) => {
                operator("a fresh provider token counts as expired; the clock of this machine may be wrong")
            }
            (
                "InvalidProviderToken"
                | "MissingProviderToken"
                | "UnrelatedKeyIdInToken"
                | "BadEnvironmentKeyIdInToken"
                | "BadEnvironmentKeyInToken",
                _,
            ) => operator("Apple does not accept the account's team id, key id or key"),
            ("BadCertificate" | "BadCertificateEnvironment" | "Forbidden", _) => {
                operator("Apple does not allow the account to push")
            }
            ("TooManyRequests", _) => {
                SendOutcome::Throttle(refusal(Scope::Address, "the device is sent too many messages"))
            }
            ("TooManyProviderTokenUpdates", _) => operator(
                "the team's provider token changes too often; another program may use the team with tokens of its own",
            ),
            ("Shutdown", _) => SendOutcome::Retry(refusal(Scope::Connection, "the server is shutting down")),
            // Apple asks for a back-off after these; the retry policy has one.
            ("InternalServerError" | "ServiceUnavailable", _) | (_, 500..) => {
                unavailable("APNs is not available")
            }
            (_, 410) => gone("the device token is no longer active"),
            (_, 401 | 403) => operator("Apple does not accept the account"),
            (_, 429) => SendOutcome::Throttle(refusal(Scope::Account, "the account sends too fast")),
            (_, 400..500) => message("the message was refused"),
            _ => unavailable("APNs gave an answer that it does not document"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, body: &str) -> ApnsAnswer {
        ApnsAnswer::read(ProviderResponse {
            status,
            body: body.as_bytes().to_vec(),
            ..ProviderResponse::default()
        })
    }

    fn reason(status: u16, reason: &str) -> ApnsAnswer {
        answer(status, &format!(r#"{{"reason":"{reason}"}}"#))
    }

    #[test]
    fn every_documented_reason_has_its_class_its_scope_and_its_effect_on_the_connection() {
        for (status, code, class, scope, ends_connection) in [
            (400, "BadCollapseId", "terminal", Scope::Message, false),
            (400, "BadDeviceToken", "address_dead", Scope::Address, false),
            (400, "BadExpirationDate", "terminal", Scope::Message, false),
            (400, "BadMessageId", "terminal", Scope::Message, false),
            (400, "BadPriority", "terminal", Scope::Message, false),
            (400, "BadTopic", "config", Scope::Account, false),
            (400, "DeviceTokenNotForTopic", "terminal", Scope::Address, false),
            (400, "DuplicateHeaders", "terminal", Scope::Message, false),
            (400, "IdleTimeout", "retry", Scope::Connection, true),
            (400, "InvalidPushType", "terminal", Scope::Message, false),
            (400, "MissingDeviceToken", "terminal", Scope::Message, false),
            (400, "MissingTopic", "config", Scope::Account, false),
            (400, "PayloadEmpty", "terminal", Scope::Message, false),
            (400, "TopicDisallowed", "config", Scope::Account, false),
            (403, "BadCertificate", "config", Scope::Account, true),
            (403, "BadCertificateEnvironment", "config", Scope::Account, true),
            (403, "ExpiredProviderToken", "config", Scope::Account, true),
            (403, "Forbidden", "config", Scope::Account, true),
            (403, "InvalidProviderToken", "config", Scope::Account, true),
            (403, "MissingProviderToken", "config", Scope::Account, true),
            (403, "UnrelatedKeyIdInToken", "config", Scope::Account, true),
            (403, "BadEnvironmentKeyIdInToken", "config", Scope::Account, true),
            (404, "BadPath", "terminal", Scope::Message, false),
            (405, "MethodNotAllowed", "terminal", Scope::Message, false),
            (410, "ExpiredToken", "address_dead", Scope::Address, false),
            (410, "Unregistered", "address_dead", Scope::Address, false),
            (413, "PayloadTooLarge", "terminal", Scope::Message, false),
            (429, "TooManyProviderTokenUpdates", "config", Scope::Account, true),
            (429, "TooManyRequests", "throttle", Scope::Address, false),
            (500, "InternalServerError", "retry", Scope::Account, false),
            (503, "ServiceUnavailable", "retry", Scope::Account, false),
            (503, "Shutdown", "retry", Scope::Connection, true),
        ] {
            let answer = reason(status, code);
            let outcome = answer.outcome(Uuid::nil());
            let refusal = outcome.refusal().unwrap();
            assert_eq!(
                (outcome.name(), refusal.scope, &*refusal.code),
                (class, scope, code)
            );
            assert_eq!(answer.ends_connection(), ends_connection, "{code}");
        }
    }

    #[test]
    fn a_reason_that_is_not_known_counts_as_its_status_does() {
        for (status, class, scope) in [
            (400, "terminal", Scope::Message),
            (401, "config", Scope::Account),
            (403, "config", Scope::Account),
            (410, "address_dead", Scope::Address),
            (413, "terminal", Scope::Message),
            (421, "terminal", Scope::Message),
            (429, "throttle", Scope::Account),
            (500, "retry", Scope::Account),
            (503, "retry", Scope::Account),
            (301, "retry", Scope::Account),
        ] {
            for body in ["", "<html>", r#"{"reason":"NewReason"}"#, "[]"] {
                let outcome = answer(status, body).outcome(Uuid::nil());
                let refusal = outcome.refusal().unwrap();
                assert_eq!((outcome.name(), refusal.scope), (class, scope), "{status} {body}");
            }
        }
        let outcome = answer(502, "<html>").outcome(Uuid::nil());
        assert_eq!(outcome.refusal().unwrap().code, "http-502");
    }

    #[test]
    fn a_dead_token_is_dead_since_the_time_that_apple_names_in_milliseconds() {
        let body = r#"{"reason":"Unregistered","timestamp":1764000000123}"#;
        let outcome = answer(410, body).outcome(Uuid::nil());
        let since = outcome.refusal().unwrap().dead_since.unwrap();
        assert_eq!(since.timestamp_millis(), 1_764_000_000_123);
        assert_eq!(
            reason(410, "Unregistered")
                .outcome(Uuid::nil())
                .refusal()
                .unwrap()
                .dead_since,
            None
        );
    }

    #[test]
    fn an_accepted_message_has_the_id_of_its_request() {
        let SendOutcome::Ok { message_id } = answer(200, "").outcome(Uuid::from_u128(7)) else {
            panic!()
        };
        assert_eq!(
            message_id.as_deref(),
            Some("00000000-0000-0000-0000-000000000007")
        );
    }

    #[test]
    fn a_named_wait_is_kept() {
        let mut answer = reason(429, "TooManyRequests");
        answer.response.retry_after = Some(Duration::from_secs(30));
        let outcome = answer.outcome(Uuid::nil());
        assert_eq!(
            outcome.refusal().unwrap().retry_after,
            Some(Duration::from_secs(30))
        );
    }
}
