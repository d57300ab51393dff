//! START to a Twilio number: the call has no reference, and ends the opt-out that the same account has reported.

use axum::{body::Body, http::Request};
use carillon_store::{Page, audit_log::AuditAction};
use serde_json::json;

use crate::{
    receipts::{PHONE, report, signed_form},
    support::{Ask, Setting, on_gateway},
};

/// A message that a recipient sends to the account's number, as Twilio posts it.
fn inbound(token: &str, to: &str, text: &str) -> Request<Body> {
    let fields = [
        ("MessageSid", "SM9"),
        ("SmsStatus", "received"),
        ("From", PHONE),
        ("To", to),
        ("Body", text),
    ];
    signed_form(token, "/v1/receipts/texts", &fields)
}

async fn reason(setting: &Setting) -> String {
    let entry = setting.get(&format!("/v1/suppressions/sms/{PHONE}")).await;
    match entry.status {
        404 => "none".to_owned(),
        _ => entry.json()["reason"].as_str().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn start_lifts_the_stop_of_its_account_and_the_audit_log_says_so() {
    on_gateway(async |setting| {
        report(setting, "failed", "21610").await;
        assert_eq!(reason(setting).await, "opted_out");
        setting.advance(10);
        for (token, to, text, status) in [
            ("token-3", "+15550001111", "START", 401),
            ("token-1", "+15550002222", "START", 204),
            ("token-1", "+15550001111", "STOP", 204),
            ("token-1", "+15550001111", "When does it start?", 204),
        ] {
            let answer = setting.send(inbound(token, to, text)).await;
            assert_eq!(answer.status, status, "{text}");
            assert_eq!(reason(setting).await, "opted_out", "{to} {text}");
        }
        for token in ["token-1", "token-2"] {
            let answer = setting.send(inbound(token, "+15550001111", "Start")).await;
            assert_eq!(answer.status, 204);
            assert_eq!(reason(setting).await, "none");
        }
        let log = setting.env.store.audit_log();
        let log = log.list(&setting.tenant, Page::default()).await.unwrap();
        let [entry] = log.items.try_into().unwrap();
        assert_eq!(
            (entry.action, entry.key_name.as_str(), entry.route.as_str()),
            (
                AuditAction::Lift,
                "START to the provider account texts",
                "/v1/suppressions/sms/+49…78"
            )
        );
        assert!(entry.key_id.is_nil());
        // A repeat of the answer to the message from before START does not bring the entry back.
        report(setting, "failed", "21610").await;
        assert_eq!(reason(setting).await, "none");
    })
    .await;
}

#[tokio::test]
async fn start_lifts_no_entry_that_a_person_or_a_dead_number_has_caused() {
    on_gateway(async |setting| {
        report(setting, "undelivered", "30005").await;
        setting.send(inbound("token-1", "+15550001111", "START")).await;
        assert_eq!(reason(setting).await, "hard_bounce");
        let path = format!("/v1/suppressions/sms/{PHONE}");
        setting
            .ask(Ask::put(&path).json(&json!({"note": "asked us by phone"})))
            .await;
        setting.send(inbound("token-1", "+15550001111", "START")).await;
        assert_eq!(reason(setting).await, "manual");
    })
    .await;
}
