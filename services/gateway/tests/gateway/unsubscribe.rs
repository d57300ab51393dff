//! Unsubscribing by a link, without a key.

use carillon_domain::unsubscribe::Subscription;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Setting, links, on_gateway, shipped};

const FORM: &str = "application/x-www-form-urlencoded";

/// The path of a user's link to a category.
fn path(user: &str, category: &str) -> String {
    let url = links().url(&Subscription {
        tenant: "default".into(),
        user: user.into(),
        category: category.to_owned(),
    });
    url.strip_prefix("https://notify.example").unwrap().to_owned()
}

async fn preferences(setting: &Setting) -> Value {
    setting.get("/v1/users/u-42/preferences").await.json()
}

async fn post(setting: &Setting, path: &str, media_type: &str, body: &str) -> Answer {
    let ask = Ask::post(path).anonymous().text(media_type, body.to_owned());
    setting.ask(ask).await
}

#[tokio::test]
async fn a_mail_client_unsubscribes_with_one_post_in_either_encoding_and_repeats_it_without_harm() {
    on_gateway(async |setting| {
        let multipart =
            "--x\r\ncontent-disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        for (media_type, body) in [
            (FORM, "List-Unsubscribe=One-Click"),
            (FORM, "List-Unsubscribe=One-Click\r\n"),
            ("multipart/form-data; boundary=x", multipart),
            (
                "multipart/form-data; boundary=x",
                &multipart.replace("\r\n", "\n"),
            ),
        ] {
            let allowed = json!({"categories": {"transactional": {"email": true, "sms": true}}});
            let put = setting
                .ask(Ask::put("/v1/users/u-42/preferences").json(&allowed))
                .await;
            assert_eq!(put.status, 200, "{put:?}");
            for _ in 0..2 {
                let answer = post(setting, &path("u-42", "transactional"), media_type, body).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                let expected = json!({"categories": {"transactional": {"email": false, "sms": true}}});
                assert_eq!(preferences(setting).await, expected);
            }
        }
        let decided = setting.post(&shipped("after")).await;
        assert_eq!(decided.status, 202, "the other channels stay");
    })
    .await;
}

#[tokio::test]
async fn opening_a_link_changes_nothing_and_shows_the_choices_in_the_users_language() {
    on_gateway(async |setting| {
        let german = json!({"email": "ada@example.com", "locale": "de-AT"});
        assert_eq!(
            setting.ask(Ask::put("/v1/users/u-42").json(&german)).await.status,
            200
        );
        let ask = Ask::get(&path("u-42", "transactional")).anonymous();
        let page = setting.ask(ask).await;
        assert_eq!(page.status, 200, "{page:?}");
        let text = page.text();
        for part in [
            "<html lang=\"de\">",
            "E-Mails abbestellen: transactional",
            "value=\"sms:transactional\" checked",
            "value=\"email:marketing\">",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-robots-tag"), Some("noindex"));
        assert!(
            page.header("content-security-policy")
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
        assert_eq!(preferences(setting).await, json!({}));
    })
    .await;
}

#[tokio::test]
async fn the_page_saves_what_the_person_ticks() {
    on_gateway(async |setting| {
        let link = path("u-42", "transactional");
        let body = "shown=email%3Atransactional&shown=sms%3Atransactional&wanted=sms%3Atransactional\
                    &shown=email%3Amarketing&wanted=email%3Amarketing";
        let answer = post(setting, &link, FORM, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.text().contains("Your choices are saved."), "{answer:?}");
        let expected =
            json!({"categories": {"marketing": {"email": true}, "transactional": {"email": false}}});
        assert_eq!(preferences(setting).await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_link_that_was_not_made_here_changes_nothing_and_an_erased_person_needs_nothing() {
    on_gateway(async |setting| {
        let link = path("u-42", "transactional");
        let (kept, _) = link.split_at(link.len() - 4);
        for wrong in [&format!("{kept}AAAA"), "/u/x", "/u/%00", "/u/%ff"] {
            let answer = post(setting, wrong, FORM, "List-Unsubscribe=One-Click").await;
            assert_eq!(answer.status, 404, "{wrong}: {answer:?}");
            let ask = Ask::get(wrong)
                .anonymous()
                .header("accept-language", "it-CH, en;q=0.5");
            let answer = setting.ask(ask).await;
            assert_eq!(answer.status, 404, "{wrong}: {answer:?}");
            assert!(
                answer.text().contains("Questo link non è più valido."),
                "{answer:?}"
            );
        }
        for (media_type, body) in [
            (FORM, "List-Unsubscribe=Later"),
            (FORM, ""),
            ("application/json", "{}"),
            ("multipart/form-data", "--x"),
            ("multipart/form-data; boundary=x", "--x\r\n\r\n"),
        ] {
            let answer = post(setting, &link, media_type, body).await;
            assert_eq!(answer.status, 400, "{media_type} {body}: {answer:?}");
        }
        assert_eq!(preferences(setting).await, json!({}));
        let stranger = path("u-9", "transactional");
        assert_eq!(setting.ask(Ask::get(&stranger).anonymous()).await.status, 404);
        let answer = post(setting, &stranger, FORM, "List-Unsubscribe=One-Click").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn a_form_that_cannot_be_read_is_answered_in_the_users_language_and_with_readable_categories() {
    on_gateway(async |setting| {
        let german = json!({"email": "ada@example.com", "locale": "de-AT"});
        assert_eq!(
            setting.ask(Ask::put("/v1/users/u-42").json(&german)).await.status,
            200
        );
        let mut catalog = setting.get("/v1/catalog").await.json();
        catalog["categories"]["marketing"]["title"] = json!({"en": "Offers", "de": "Angebote & Aktionen"});
        catalog["categories"]["transactional"]["title"] = json!({"fr": "Commandes"});
        let put = setting.ask(Ask::put("/v1/catalog").json(&catalog)).await;
        assert_eq!(put.status, 200, "{put:?}");
        let link = path("u-42", "marketing");
        let answer = post(setting, &link, FORM, "List-Unsubscribe=Later").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        let text = answer.text();
        assert!(
            text.contains("<html lang=\"de\">") && text.contains("Ihre Auswahl konnte nicht gelesen werden."),
            "{text}"
        );
        let text = setting.ask(Ask::get(&link).anonymous()).await.text();
        for part in ["<bdi>Angebote &#38; Aktionen</bdi>", "<bdi>transactional</bdi>"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn while_the_database_fails_the_page_says_so_in_the_browsers_language() {
    on_gateway(async |setting| {
        setting.env.store.close().await;
        let ask = Ask::get(&path("u-42", "marketing"))
            .anonymous()
            .header("accept-language", "fr");
        let answer = setting.ask(ask).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        let text = answer.text();
        assert!(text.contains("Rien n’a été modifié"), "{text}");
        assert_eq!(answer.header("x-robots-tag"), Some("noindex"));
    })
    .await;
}
