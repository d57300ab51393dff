//! Webhooks through the deliver stage: secrets and suppression of endpoints, and the reach of their answers.

use std::sync::Arc;

use carillon_domain::{Channel, ContactPointId, Delivery, Target, TenantId, UserId, contact::SigningSecret};
use carillon_store::users::EndpointPut;
use carillon_testkit::eventually;
use carillon_workers::{Account, SystemLookup, WebhookSender};
use serde_json::{Value, json};

use crate::{
    http_server::{HttpServer, reply, reply_after},
    support::{Setting, on_workers, to_user},
    webhook_sender::local,
};

/// Registers an endpoint of a user, who is created.
async fn put_endpoint(setting: &Setting, user: &str, url: &str, secrets: &[u8]) {
    let (tenant, id) = (TenantId::default(), UserId::from(user));
    setting.put_user(user, None).await;
    let put = EndpointPut {
        name: "orders".to_owned(),
        url: url.to_owned(),
        secrets: secrets
            .iter()
            .map(|byte| SigningSecret::of([*byte; 32]))
            .collect(),
        first_secret: SigningSecret::of([9; 32]),
    };
    setting
        .env
        .store
        .users()
        .put_endpoint(&tenant, &id, &put)
        .await
        .unwrap();
}

/// A webhook to the endpoint of a user.
fn webhook(event: &str, user: &str) -> Delivery {
    let id = ContactPointId::endpoint(&TenantId::default(), &user.into(), "orders");
    Delivery {
        channel: Channel::Webhook,
        target: Target::ContactPoint { id },
        ..to_user(event, user)
    }
}

fn account(setting: &Setting) -> Arc<Account> {
    let sender =
        WebhookSender::new(&local(), Arc::new(SystemLookup), Arc::clone(&setting.env.clock)).unwrap();
    Account::new("hooks", Channel::Webhook, Arc::new(sender), None)
}

#[tokio::test]
async fn an_endpoint_gets_the_event_signed_with_both_secrets_while_they_are_replaced() {
    on_workers(async |setting| {
        let server = HttpServer::start().await;
        put_endpoint(setting, "erp", &format!("{}/erp", server.url), &[1, 2]).await;
        let worker = setting.start_for(Channel::Webhook, vec![account(setting)], |_| {});
        setting.publish(&[webhook("e-1", "erp")]).await;
        setting.written.reaches("e-1", "1 sent").await;
        let masked = setting.written.updates("e-1")[0].to_masked.clone();
        assert_eq!(masked, Some(format!("{}/…", server.url)));
        let asked = server.asked("/erp").remove(0);
        let signature = asked.headers["webhook-signature"].to_str().unwrap();
        assert_eq!(signature.split(' ').count(), 2, "{signature}");
        let mut body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert!(body["timestamp"].take().is_string());
        let expected = json!({"type": "OrderShipped", "id": "e-1", "source": "/shop", "timestamp": null,
            "data": {"order_id": "e-1", "carrier": "DHL"}});
        assert_eq!(body, expected);
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_gets_nothing_more_until_it_is_registered_again() {
    on_workers(async |setting| {
        let server = HttpServer::start().await;
        let url = format!("{}/erp", server.url);
        put_endpoint(setting, "erp", &url, &[1]).await;
        server.answers("/erp", [reply(410, &Value::Null)]);
        let worker = setting.start_for(Channel::Webhook, vec![account(setting)], |_| {});
        setting.publish(&[webhook("e-1", "erp")]).await;
        setting.written.reaches("e-1", "1 failed http-410").await;
        setting.publish(&[webhook("e-2", "erp")]).await;
        setting.written.reaches("e-2", "1 suppressed hard_bounce").await;
        setting.advance(1_000);
        put_endpoint(setting, "erp", &url, &[]).await;
        setting.publish(&[webhook("e-3", "erp")]).await;
        setting.written.reaches("e-3", "1 sent").await;
        assert_eq!(server.asked("/erp").len(), 2);
        worker.end().await;
    })
    .await;
}

#[tokio::test]
async fn many_endpoints_that_are_gone_broken_or_throttled_stop_no_other_one() {
    on_workers(async |setting| {
        let server = HttpServer::start().await;
        let names: Vec<String> = (0..60).map(|n| format!("bad-{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            let path: &'static str = format!("/{name}.").leak();
            put_endpoint(setting, name, &format!("{}{path}", server.url), &[1]).await;
            server.answers(
                path,
                [match n % 3 {
                    0 => reply(410, &Value::Null),
                    1 => reply(500, &Value::Null),
                    _ => reply_after(429, "3000", &Value::Null),
                }],
            );
        }
        put_endpoint(setting, "good", &format!("{}/good", server.url), &[1]).await;
        let worker = setting.start_for(Channel::Webhook, vec![account(setting)], |_| {});
        let bad: Vec<Delivery> = names
            .iter()
            .map(|name| webhook(&format!("to-{name}"), name))
            .collect();
        setting.publish(&bad).await;
        eventually("all endpoints have been asked", || async {
            names
                .iter()
                .all(|name| !server.asked(&format!("/{name}.")).is_empty())
        })
        .await;
        setting.publish(&[webhook("e-1", "good")]).await;
        setting.written.reaches("e-1", "1 sent").await;
        // The one that asked for a pause gets it, and its next message waits without a request.
        setting.publish(&[webhook("again", "bad-2")]).await;
        setting.written.reaches("again", "1 retrying part-paused").await;
        assert_eq!(server.asked("/bad-2.").len(), 1);
        worker.end().await;
    })
    .await;
}
