//! A new version of the catalog uncovers no event that was accepted before it.

use serde_json::{Value, json};

use crate::{
    dashboard::{page, sign_in},
    privacy::{LISTS, assert_hides, seeded},
    support::{Ask, Setting, on_gateway},
};

async fn publish(setting: &Setting, catalog: &Value) {
    let answer = setting.ask(Ask::put("/v1/catalog").json(catalog)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The catalog with one more type, in which nothing is sensitive.
fn with(name: &str, matches: &[&str]) -> Value {
    let mut catalog = crate::support::catalog();
    catalog["types"][name] = json!({
        "category": "transactional", "channels": {"order": ["sms", "email"]}, "match": matches,
    });
    catalog
}

#[tokio::test]
async fn a_place_that_is_no_longer_sensitive_stays_masked_in_earlier_events() {
    on_gateway(async |setting| {
        let seeded = seeded(setting).await;
        let attacks: [&[Value]; 4] = [
            &[with("OneTimePassword", &[])],
            // The type is removed and comes back.
            &[crate::support::catalog(), with("OneTimePassword", &[])],
            // Another type takes its event type.
            &[with("Another", &["OneTimePassword"])],
            &[
                with("Another", &["OneTimePassword"]),
                with("Another", &[]),
                with("OneTimePassword", &[]),
            ],
        ];
        for versions in attacks {
            for version in versions {
                publish(setting, version).await;
            }
            for key in [&setting.viewer, &setting.operator, &setting.admin] {
                for route in seeded.api.iter().map(String::as_str).chain(LISTS) {
                    let answer = setting.ask(Ask::get(route).key(key)).await;
                    assert_eq!(answer.status, 200, "{route} {answer:?}");
                    assert_hides(&answer, route);
                }
            }
            let session = sign_in(setting, &setting.admin).await;
            for path in &seeded.pages {
                assert_hides(&setting.ask(page(path, &session)).await, path);
            }
        }
        let revealed = setting.get("/v1/events/otp-1?reveal=true").await.json();
        assert_eq!(revealed["event"]["data"]["code"], "S3CR3T");
    })
    .await;
}
