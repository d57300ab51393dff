//! Readers' locales in requests.

use serde_json::json;

use crate::support::{Ask, on_gateway, shipped};

#[tokio::test]
async fn a_locale_is_accepted_in_the_spelling_of_producers_with_its_extensions() {
    on_gateway(async |setting| {
        for locale in [
            "zh-TW",
            "pt-AO",
            "de-DE-u-co-phonebk",
            "en-US-x-foo",
            "de-1996",
            "de_DE",
            "FR-ca",
            "i-klingon",
            "zh-min-nan",
            "zh-cmn-Hans-CN",
            "sr-Latn",
            "es_419",
            "x-private",
        ] {
            let put = setting
                .ask(Ask::put("/v1/users/reader").json(&json!({"locale": locale})))
                .await;
            assert!([200, 201].contains(&put.status), "{locale}: {put:?}");
            assert_eq!(setting.get("/v1/users/reader").await.json()["locale"], locale);
            let mut event = shipped(locale);
            event["recipients"] = json!([{"email": "ada@example.com", "locale": locale}]);
            assert_eq!(setting.post(&event).await.status, 202, "{locale}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_text_that_is_not_a_locale_is_refused_with_its_value() {
    on_gateway(async |setting| {
        let long = format!("en-x-{}", "abcdefgh-".repeat(1_000));
        for locale in [
            "",
            "english",
            "C",
            "de_DE.UTF-8",
            "de-DE,de;q=0.9",
            "en--US",
            "fr\u{200b}-CA",
            "en-US-u",
            &long,
        ] {
            let mut event = shipped("bad");
            event["recipients"] = json!([{"email": "ada@example.com", "locale": locale}]);
            let posted = setting.post(&event).await;
            assert_eq!(
                posted.problem(422, "validation"),
                ["/recipients/0/locale format"],
                "{locale:?}"
            );
            let put = setting
                .ask(Ask::put("/v1/users/bad").json(&json!({"locale": locale})))
                .await;
            assert_eq!(put.problem(422, "validation"), ["/locale format"], "{locale:?}");
            let message = put.json()["errors"][0]["message"].as_str().unwrap().to_owned();
            let shown: String = locale.chars().take(99).collect();
            assert!(
                message.contains("BCP 47")
                    && message.contains(carillon_domain::field_error::quoted(&shown).trim_end_matches('"')),
                "{message}"
            );
            assert!(message.len() < 300, "{message}");
        }
    })
    .await;
}
