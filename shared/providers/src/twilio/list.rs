//! The list of an account's messages, by which a send without an answer is settled
//! (<https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources>). Twilio has no idempotency key, and the
//! list does not show the callback with the signed reference, so number, sender, text and time identify a message.

use std::time::Duration;

use carillon_domain::{
    Content, Timestamp,
    clock::{earlier, later},
    conclusion::UncertainSend,
};
use chrono::DateTime;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use super::request::TwilioRequests;
use crate::{
    http::{FoundMessage, ProviderRequest, ProviderResponse, SentList, SentPage, status_code},
    message::OutgoingMessage,
};

/// The greatest accepted difference of Twilio's clock, whose times are whole seconds.
const SKEW: Duration = Duration::from_secs(10);
/// The time after the end of a call within which Twilio may still create the message.
const LATE: Duration = Duration::from_mins(1);
/// The messages on a page. Twilio's greatest number is 1,000; the page has to fit into the bound of an answer.
const PAGE_SIZE: &str = "100";

#[derive(Deserialize)]
struct Page {
    messages: Vec<Listed>,
    next_page_uri: Option<String>,
}

/// A message of the list. Members that are not needed are left out.
#[derive(Deserialize)]
struct Listed {
    sid: String,
    body: Option<String>,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    status: Option<String>,
    /// In the form of RFC 2822.
    date_created: Option<String>,
}

impl SentList for TwilioRequests {
    fn first_page(&self, message: &OutgoingMessage, sends: &[UncertainSend]) -> ProviderRequest {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("To", &message.to);
        if let Some(first) = sends.iter().map(|send| send.from).min() {
            // Twilio compares days in GMT.
            let day = earlier(first, SKEW).format("%Y-%m-%d").to_string();
            query.append_pair("DateSent>", &day);
        }
        query.append_pair("PageSize", PAGE_SIZE);
        drop(query);
        self.get(url)
    }

    fn read_page(
        &self,
        answer: &ProviderResponse,
        message: &OutgoingMessage,
        sends: &[UncertainSend],
        is_anothers: &dyn Fn(&str) -> bool,
    ) -> SentPage {
        if answer.status != 200 {
            return SentPage::Unanswered(status_code(answer));
        }
        let Ok(page) = serde_json::from_slice::<Page>(&answer.body) else {
            return SentPage::Unanswered("unreadable-list".to_owned());
        };
        let found = page.messages.into_iter().find_map(|listed| {
            let attempt = self.attempt_of(&listed, message, sends)?;
            (!is_anothers(&listed.sid)).then_some(FoundMessage {
                attempt,
                message_id: listed.sid,
            })
        });
        match (found, page.next_page_uri) {
            (Some(found), _) => SentPage::Found(found),
            (None, None) => SentPage::NotHere(None),
            (None, Some(next)) => match self.next_page(&next) {
                Some(request) => SentPage::NotHere(Some(request)),
                None => SentPage::Unanswered("foreign-page".to_owned()),
            },
        }
    }
}

impl TwilioRequests {
    fn get(&self, url: url::Url) -> ProviderRequest {
        let mut request = ProviderRequest::get(url);
        request.headers.insert(AUTHORIZATION, self.authorization.clone());
        request
    }

    /// The request for the next page, which has to be of the same list, because it carries the credentials.
    fn next_page(&self, next: &str) -> Option<ProviderRequest> {
        let url = self.url.join(next).ok()?;
        let is_same = url.origin() == self.url.origin() && url.path() == self.url.path();
        is_same.then(|| self.get(url))
    }

    /// The attempt whose message this is. A message that Twilio has not sent, because it failed or was cancelled, is none.
    fn attempt_of(&self, listed: &Listed, message: &OutgoingMessage, sends: &[UncertainSend]) -> Option<u32> {
        let Content::Sms { text } = &message.content else {
            return None;
        };
        let sender = match self.origin.0 {
            "From" => &listed.from,
            _ => &listed.messaging_service_sid,
        };
        let is_over = matches!(listed.status.as_deref(), Some("failed" | "canceled"));
        if is_over || listed.body.as_deref() != Some(text) || sender.as_deref() != Some(&*self.origin.1) {
            return None;
        }
        let created = DateTime::parse_from_rfc2822(listed.date_created.as_deref()?).ok()?;
        let created: Timestamp = created.to_utc();
        let fits =
            |send: &&UncertainSend| created >= earlier(send.from, SKEW) && created <= later(send.until, LATE);
        let send = sends.iter().filter(fits).max_by_key(|send| send.from)?;
        Some(send.attempt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::twilio::testing::config;

    const TEXT: &str = "Your parcel is on its way";

    fn message() -> OutgoingMessage {
        let text = TEXT.to_owned();
        crate::message::testing::message("+491511234567", Content::Sms { text })
    }

    fn send(attempt: u32, from: &str, until: &str) -> UncertainSend {
        let at = |time: &str| format!("2026-11-24T{time}Z").parse().unwrap();
        UncertainSend {
            attempt,
            provider: Some("spare".to_owned()),
            from: at(from),
            until: at(until),
        }
    }

    /// Two sends: of the first and of the third attempt.
    fn sends() -> [UncertainSend; 2] {
        [send(1, "10:00:00", "10:00:08"), send(3, "10:10:00", "10:10:08")]
    }

    fn listed(time: &str) -> Value {
        json!({"sid": "SM1", "body": TEXT, "from": "+15550001111", "messaging_service_sid": null, "status": "delivered",
            "to": "+491511234567", "date_created": format!("Tue, 24 Nov 2026 {time} +0000"), "date_sent": null})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut listed = listed("10:00:02");
        listed[name] = value;
        listed
    }

    fn read(status: u16, body: &Value) -> String {
        let answer = ProviderResponse {
            status,
            body: body.to_string().into_bytes(),
            ..ProviderResponse::default()
        };
        let requests = TwilioRequests::new("spare", &config()).unwrap();
        match requests.read_page(&answer, &message(), &sends(), &|id| id == "SM-of-another") {
            SentPage::Found(found) => format!("{} {}", found.attempt, found.message_id),
            SentPage::NotHere(None) => "absent".to_owned(),
            SentPage::NotHere(Some(next)) => next.url.to_string(),
            SentPage::Unanswered(code) => code,
        }
    }

    fn page(messages: &[Value], next: Option<&str>) -> Value {
        json!({"messages": messages, "next_page_uri": next, "page_size": 100})
    }

    #[test]
    fn the_list_is_asked_for_the_number_since_the_day_of_the_first_send() {
        let requests = TwilioRequests::new("spare", &config()).unwrap();
        let early = [send(2, "00:00:05", "00:00:13")];
        for (sends, day) in [(&sends()[..], "2026-11-24"), (&early, "2026-11-23")] {
            let request = requests.first_page(&message(), sends);
            assert_eq!(request.method, http::Method::GET);
            let (_, query) = request.url.as_str().split_once('?').unwrap();
            assert_eq!(
                query,
                format!("To=%2B491511234567&DateSent%3E={day}&PageSize=100")
            );
            assert!(request.headers[AUTHORIZATION].is_sensitive());
        }
    }

    #[test]
    fn a_message_is_an_attempts_by_number_sender_text_and_time() {
        for (time, expected) in [
            ("09:59:49", "absent"),
            ("09:59:50", "1 SM1"),
            ("10:00:08", "1 SM1"),
            ("10:01:08", "1 SM1"),
            ("10:01:09", "absent"),
            ("10:10:03", "3 SM1"),
        ] {
            assert_eq!(read(200, &page(&[listed(time)], None)), expected, "{time}");
        }
        for (name, value) in [
            ("body", json!("Another text")),
            ("body", Value::Null),
            ("from", json!("+15550002222")),
            ("status", json!("failed")),
            ("status", json!("canceled")),
            ("date_created", Value::Null),
            ("date_created", json!("yesterday")),
            ("sid", json!("SM-of-another")),
        ] {
            assert_eq!(
                read(200, &page(&[with(name, value.clone())], None)),
                "absent",
                "{name} {value}"
            );
        }
        for status in ["queued", "accepted", "sending", "sent", "undelivered"] {
            let listed = with("status", json!(status));
            assert_eq!(read(200, &page(&[listed], None)), "1 SM1", "{status}");
        }
        assert_eq!(read(200, &page(&[], None)), "absent");
        let both = [with("sid", json!("SM-of-another")), with("sid", json!("SM2"))];
        assert_eq!(read(200, &page(&both, None)), "1 SM2");
    }

    #[test]
    fn a_page_leads_to_the_next_one_of_the_same_list_only() {
        let path = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";
        let next = format!("{path}?To=%2B491511234567&Page=1&PageToken=PASM1");
        assert_eq!(
            read(200, &page(&[], Some(&next))),
            format!("https://api.twilio.com{next}")
        );
        for foreign in [
            "https://evil.example/x",
            "//evil.example/x",
            "/2010-04-01/Accounts/AC2/Messages.json",
        ] {
            assert_eq!(read(200, &page(&[], Some(foreign))), "foreign-page", "{foreign}");
        }
        assert_eq!(read(200, &page(&[listed("10:00:02")], Some(&next))), "1 SM1");
    }

    #[test]
    fn an_answer_that_is_no_list_proves_nothing() {
        assert_eq!(read(429, &json!({"code": 20_429})), "http-429");
        assert_eq!(read(503, &json!({})), "http-503");
        assert_eq!(read(200, &json!({"messages": "none"})), "unreadable-list");
    }

    #[test]
    fn a_messaging_services_message_is_found_by_the_service() {
        let service = "MG00000000000000000000000000000001";
        let requests = TwilioRequests::new(
            "spare",
            &crate::TwilioConfig {
                from: None,
                messaging_service_sid: Some(service.parse().unwrap()),
                ..config()
            },
        )
        .unwrap();
        let read = |service: Value| {
            let listed: Listed = serde_json::from_value(with("messaging_service_sid", service)).unwrap();
            requests.attempt_of(&listed, &message(), &sends())
        };
        assert_eq!(read(json!(service)), Some(1));
        assert_eq!(read(Value::Null), None);
    }
}
