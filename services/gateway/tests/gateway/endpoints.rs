//! Endpoints of users, which receive webhooks.

use serde_json::{Value, json};

use crate::support::{Ask, on_gateway};

const PATH: &str = "/v1/users/u-42/webhooks/erp";
const URL: &str = "https://hooks.example.com/services/hunter2?token=hunter2";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn a_generated_secret_is_shown_once_and_given_ones_never() {
    on_gateway(async |setting| {
        let put = async |body: Value| {
            setting
                .ask(Ask::put(PATH).key(&setting.operator).json(&body))
                .await
        };
        let made = put(json!({ "url": URL })).await;
        assert_eq!(made.status, 201, "{made:?}");
        let made = made.json();
        assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
        assert_eq!(
            (&made["name"], &made["url"]),
            (&json!("erp"), &json!("https://hooks.example.com/…"))
        );
        let again = put(json!({ "url": URL })).await;
        assert_eq!(again.status, 200);
        assert!(again.json().get("secret").is_none());
        let given = put(json!({"url": URL, "secrets": [SECRET]})).await;
        assert_eq!(given.status, 200);
        assert!(given.json().get("secret").is_none());
        for (key, path) in [
            (&setting.viewer, "/v1/users/u-42"),
            (&setting.operator, "/v1/users/u-42"),
        ] {
            let user = setting.ask(Ask::get(path).key(key)).await;
            let text = user.json().to_string();
            assert!(!text.contains("hunter2") && !text.contains("whsec"), "{text}");
            let expected = json!([{"name": "erp", "url": "https://hooks.example.com/…", "secrets": 1}]);
            assert_eq!(user.json()["webhooks"], expected);
        }
        // An admin's reveal shows the URL, and no secret.
        let revealed = setting.get("/v1/users/u-42?reveal=true").await.json();
        assert_eq!(revealed["webhooks"][0]["url"], URL);
        assert!(!revealed.to_string().contains("whsec"));
        assert_eq!(setting.ask(Ask::delete(PATH)).await.status, 204);
        setting.ask(Ask::delete(PATH)).await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn wrong_fields_of_an_endpoint_are_named_and_no_secret_is_repeated() {
    on_gateway(async |setting| {
        for (body, expected) in [
            (json!({"url": "hooks.example.com"}), "/url format"),
            (json!({"url": "http://hooks.example.com/"}), "/url format"),
            (
                json!({"url": "https://u:hunter2@hooks.example.com/"}),
                "/url format",
            ),
            (
                json!({"url": "https://169.254.169.254/hunter2"}),
                "/url address-not-allowed",
            ),
            (
                json!({"url": "https://0x7f.1/hunter2"}),
                "/url address-not-allowed",
            ),
            (
                json!({"url": "https://[::ffff:10.0.0.1]/"}),
                "/url address-not-allowed",
            ),
            (
                json!({"url": "https://localhost/hunter2"}),
                "/url address-not-allowed",
            ),
            (
                json!({"url": "https://erp.localhost./"}),
                "/url address-not-allowed",
            ),
            (json!({"url": URL, "secrets": ["hunter2"]}), "/secrets/0 format"),
            (json!({"url": URL, "secrets": []}), "/secrets range"),
            (
                json!({"url": URL, "secrets": [SECRET, SECRET]}),
                "/secrets/1 duplicate",
            ),
            (
                json!({"url": URL, "secrets": ["hunter2", "hunter2", "hunter2", "hunter2"]}),
                "/secrets range",
            ),
            (json!({}), "/url required"),
        ] {
            let refused = setting.ask(Ask::put(PATH).json(&body)).await;
            let told = refused.problem(422, "validation");
            assert!(told.contains(&expected.to_owned()), "{body}: {told:?}");
            assert!(!refused.json().to_string().contains("hunter2"), "{refused:?}");
        }
        let named = setting
            .ask(Ask::put("/v1/users/u-42/webhooks/a%20b").json(&json!({ "url": URL })))
            .await;
        named.problem(422, "validation");
        let nobody = setting
            .ask(Ask::put("/v1/users/nobody/webhooks/erp").json(&json!({ "url": URL })))
            .await;
        nobody.problem(404, "not-found");
        let viewer = Ask::put(PATH).key(&setting.viewer).json(&json!({ "url": URL }));
        setting.ask(viewer).await.problem(403, "forbidden");
    })
    .await;
}
