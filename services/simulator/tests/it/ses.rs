//! Amazon SES's API v2: mails it takes, and requests it refuses. The signer is AWS's own crate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use carillon_simulator::SimulatorConfig;
use serde_json::{Value, json};

use crate::support::{Running, answer, config, start, start_with};

/// The inputs of a request's signature.
#[derive(Clone)]
struct Signed {
    key: &'static str,
    secret: &'static str,
    token: Option<&'static str>,
    region: &'static str,
    service: &'static str,
    at: SystemTime,
}

/// The machine's time, to which signatures are bound.
fn now() -> SystemTime {
    UNIX_EPOCH + UNIX_EPOCH.elapsed().unwrap()
}

fn signed() -> Signed {
    Signed {
        key: "AKIASIMULATOR0000000",
        secret: "simulator-secret-access-key",
        token: None,
        region: "eu-central-1",
        service: "ses",
        at: now(),
    }
}

fn request(running: &Running, signed: &Signed, body: &Value) -> reqwest::RequestBuilder {
    let url = running.url("/v2/email/outbound-emails");
    let body = body.to_string();
    let token = signed.token.map(str::to_owned);
    let identity = Credentials::new(signed.key, signed.secret, token, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(signed.region)
        .name(signed.service)
        .time(signed.at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = [("content-type", "application/json")];
    let signable = SignableRequest::new(
        "POST",
        &url,
        headers.into_iter(),
        SignableBody::Bytes(body.as_bytes()),
    )
    .unwrap();
    let (added, _) = sign(signable, &params).unwrap().into_parts();
    let request = running
        .http
        .post(url)
        .header("content-type", "application/json")
        .body(body);
    added
        .headers()
        .fold(request, |request, (name, value)| request.header(name, value))
}

/// The status of the answer and the type of its error.
async fn refusal(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    let kind = response.headers().get("x-amzn-errortype");
    let kind = kind
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();
    (response.status().as_u16(), kind)
}

const MIME: &str = "From: =?utf-8?q?Caf=C3=A9?= <shop@example.com>\r\nTo: ada@example.com\r\n\
    Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nMessage-ID: <mine@example.com>\r\nX-Carillon-Event: e-1\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nF=C3=BCr dich\r\n";

fn raw_of(mime: &str) -> Value {
    json!({"Raw": {"Data": BASE64_STANDARD.encode(mime)}})
}

fn mail() -> Value {
    json!({
        "Destination": {"ToAddresses": ["ada@example.com"]},
        "Content": raw_of(MIME),
        "EmailTags": [{"Name": "carillon_delivery_id", "Value": "d-1"}, {"Name": "carillon_attempt", "Value": "2"}],
        "ConfigurationSetName": "receipts",
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut mail = mail();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    mail.pointer_mut(parent).unwrap()[member] = value;
    mail
}

#[tokio::test]
async fn a_raw_mail_is_shown_as_its_receiver_sees_it() {
    let running = start().await;
    let (status, body) = answer(request(&running, &signed(), &mail())).await;
    assert_eq!(status, 200, "{body}");
    let shown = running.all().await.remove(0);
    let id = body["MessageId"].as_str().unwrap();
    assert_eq!(shown.provider_message_id, id);
    assert_eq!((shown.provider.as_str(), &*shown.to), ("ses", "ada@example.com"));
    assert_eq!(shown.delivery_id.as_deref(), Some("d-1"));
    assert_eq!(shown.event_id.as_deref(), Some("e-1"));
    assert_eq!(shown.subject.as_deref(), Some("Grüße"));
    assert_eq!(shown.text.as_deref().map(str::trim_end), Some("Für dich"));
    assert_eq!(shown.datum("from"), Some("Café <shop@example.com>"));
    assert_eq!(shown.data["tags"]["carillon_attempt"], "2");
    assert_eq!(shown.datum("configuration_set"), Some("receipts"));
    // SES replaces it.
    let replaced = format!("<{id}@eu-central-1.amazonses.com>");
    assert_eq!(shown.header("Message-ID"), Some(&*replaced));
}

#[tokio::test]
async fn a_simple_mail_reaches_every_receiver() {
    let running = start().await;
    let body = json!({
        "FromEmailAddress": "Shop <shop@example.com>",
        "Destination": {"ToAddresses": ["Ada <a@example.com>"], "BccAddresses": ["b@example.com"]},
        "Content": {"Simple": {
            "Subject": {"Data": "=?utf-8?b?R3LDvMOfZQ==?=", "Charset": "UTF-8"},
            "Body": {"Text": {"Data": "Für dich"}, "Html": {"Data": "<p>Für dich</p>"}},
            "Headers": [{"Name": "X-Carillon-Delivery", "Value": "d-9"}],
        }},
    });
    assert_eq!(answer(request(&running, &signed(), &body)).await.0, 200);
    let mut all = running.all().await;
    all.sort_by(|one, other| one.to.cmp(&other.to));
    assert_eq!((&*all[0].to, &*all[1].to), ("a@example.com", "b@example.com"));
    assert_eq!(all[0].subject.as_deref(), Some("Grüße"));
    assert_eq!(all[0].html.as_deref(), Some("<p>Für dich</p>"));
    assert_eq!(all[0].delivery_id.as_deref(), Some("d-9"));
    assert_eq!(all[0].datum("from"), Some("Shop <shop@example.com>"));
}

#[tokio::test]
async fn only_a_request_with_the_accounts_signature_is_admitted() {
    let running = start().await;
    let quarter = Duration::from_mins(16);
    let now = now();
    for (signed, expected) in [
        (
            Signed {
                secret: "other",
                ..signed()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                key: "AKIAOTHER00000000000",
                ..signed()
            },
            "UnrecognizedClientException",
        ),
        (
            Signed {
                token: Some("token"),
                ..signed()
            },
            "UnrecognizedClientException",
        ),
        (
            Signed {
                region: "us-east-1",
                ..signed()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                service: "sns",
                ..signed()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                at: now - quarter,
                ..signed()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                at: now + quarter,
                ..signed()
            },
            "InvalidSignatureException",
        ),
    ] {
        let request = request(&running, &signed, &mail());
        assert_eq!(refusal(request).await, (403, expected.to_owned()));
    }
    let changed =
        request(&running, &signed(), &mail()).body(with("/EmailTags/0/Value", json!("d-2")).to_string());
    assert_eq!(
        refusal(changed).await,
        (403, "InvalidSignatureException".to_owned())
    );
    let more = request(&running, &signed(), &mail()).header("x-amz-target", "unsigned");
    assert_eq!(refusal(more).await, (403, "InvalidSignatureException".to_owned()));
    let bare = running
        .http
        .post(running.url("/v2/email/outbound-emails"))
        .json(&mail());
    assert_eq!(
        refusal(bare).await,
        (403, "MissingAuthenticationTokenException".to_owned())
    );
    let garbled = running
        .http
        .post(running.url("/v2/email/outbound-emails"))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=x")
        .json(&mail());
    assert_eq!(
        refusal(garbled).await,
        (403, "IncompleteSignatureException".to_owned())
    );
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn temporary_credentials_are_admitted_with_their_token_only() {
    let running = start_with(SimulatorConfig {
        ses_session_token: Some("token/1+x==".to_owned()),
        ..config()
    })
    .await;
    let with_token = Signed {
        token: Some("token/1+x=="),
        ..signed()
    };
    assert_eq!(answer(request(&running, &with_token, &mail())).await.0, 200);
    let refused = refusal(request(&running, &signed(), &mail())).await;
    assert_eq!(refused, (403, "UnrecognizedClientException".to_owned()));
}

#[tokio::test]
async fn a_request_that_the_real_one_refuses_is_refused_with_its_type() {
    let running = start().await;
    let many: Vec<String> = (0..51).map(|n| format!("{n}@example.com")).collect();
    let to = |list: Value| with("/Destination/ToAddresses", list);
    let template = json!({"TemplateName": "t"});
    for (body, expected) in [
        (to(json!(many)), "400 BadRequestException"),
        (to(json!(["ada"])), "400 BadRequestException"),
        (to(json!(["ädä@example.com"])), "400 BadRequestException"),
        (to(json!(["ada@läden.example"])), "400 BadRequestException"),
        (to(json!(["invalid@example.com"])), "400 BadRequestException"),
        (to(json!("ada@example.com")), "400 SerializationException"),
        (with("/Content", Value::Null), "400 BadRequestException"),
        (with("/Content", json!({})), "400 BadRequestException"),
        (
            with("/Content/Template", template.clone()),
            "400 BadRequestException",
        ),
        (
            with("/Content", json!({ "Template": template })),
            "404 NotFoundException",
        ),
        (
            with("/ConfigurationSetName", json!("missing")),
            "404 NotFoundException",
        ),
        (
            with("/EmailTags/0/Value", json!("a b")),
            "400 BadRequestException",
        ),
        (with("/EmailTags/0/Value", json!("")), "400 BadRequestException"),
        (
            with("/EmailTags/1/Name", json!("carillon_delivery_id")),
            "400 BadRequestException",
        ),
        (
            with("/FromEmailAddress", json!("shop")),
            "400 BadRequestException",
        ),
        (
            with("/FromEmailAddress", json!("unverified@example.com")),
            "400 MessageRejected",
        ),
    ] {
        assert_eq!(refused(&running, &body).await, expected, "{body}");
    }
    assert!(running.all().await.is_empty());
}

#[tokio::test]
async fn content_that_the_real_one_refuses_is_refused_with_its_type() {
    let running = start().await;
    let of_mime = |mime: &str| with("/Content", raw_of(mime));
    let simple = |subject: &str, headers: Value| {
        let mut body = mail();
        body["FromEmailAddress"] = json!("shop@example.com");
        body["Content"] = json!({"Simple": {
            "Subject": {"Data": subject}, "Body": {"Text": {"Data": "x"}}, "Headers": headers,
        }});
        body
    };
    let header = |name: &str, value: &str| json!([{"Name": name, "Value": value}]);
    let long = format!("{MIME}{}\r\n", "x".repeat(1_001));
    let sixteen: Vec<Value> = (0..16)
        .map(|n| header(&format!("X-{n}"), "x")[0].clone())
        .collect();
    for (body, expected) in [
        (
            with("/Content/Raw/Data", json!("no Base64!")),
            "400 SerializationException",
        ),
        (of_mime(&long), "400 MessageRejected"),
        (
            of_mime(&format!("Subject: again\r\n{MIME}")),
            "400 BadRequestException",
        ),
        (
            of_mime(&MIME.replace("From:", "X-From:")),
            "400 BadRequestException",
        ),
        (
            of_mime(&MIME.replace("=?utf-8?b?R3LDvMOfZQ==?=", "Grüße")),
            "400 BadRequestException",
        ),
        (simple("Grüße", json!([])), "400 BadRequestException"),
        (simple("x", header("X-A", "a\r\nb")), "400 BadRequestException"),
        (simple("x", header("X A", "a")), "400 BadRequestException"),
        (simple("x", json!(sixteen)), "400 BadRequestException"),
    ] {
        assert_eq!(refused(&running, &body).await, expected, "{body}");
    }
    assert!(running.all().await.is_empty());
    let accepted = answer(request(&running, &signed(), &simple("x", json!([])))).await;
    assert_eq!(accepted.0, 200);
}

/// The refusal of a signed request, as `<status> <type>`.
async fn refused(running: &Running, body: &Value) -> String {
    let (status, kind) = refusal(request(running, &signed(), body)).await;
    format!("{status} {kind}")
}

#[tokio::test]
async fn faults_have_the_providers_types() {
    let running = start().await;
    running
        .script(json!([
            {"provider": "ses", "to": "*@slow.example", "status": 429, "retry_after": 7},
            {"provider": "ses", "to": "*@paused.example", "status": 400, "code": "SendingPausedException"},
            {"provider": "ses", "to": "*@down.example", "status": 503},
        ]))
        .await;
    for (to, expected) in [
        ("a@slow.example", "429 TooManyRequestsException"),
        ("a@paused.example", "400 SendingPausedException"),
        ("a@down.example", "503 ServiceUnavailableException"),
    ] {
        let body = with("/Destination/ToAddresses", json!([to]));
        assert_eq!(refused(&running, &body).await, expected);
    }
    assert_eq!(answer(request(&running, &signed(), &mail())).await.0, 200);
    assert_eq!(running.all().await.len(), 1);
}
