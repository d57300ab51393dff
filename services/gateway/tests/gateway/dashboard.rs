//! The pages: their content, and who may see them.

use carillon_domain::{Channel, DeliveryStatus};

use crate::{
    seed::{dead_letter, delivery},
    support::{Answer, Ask, Setting, on_gateway},
};

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap());
    let pair = set
        .filter_map(|text| text.split(';').next())
        .find(|pair| pair.starts_with(&format!("{name}=")))?;
    Some(pair.to_owned())
}

/// The value of a form's hidden CSRF field.
pub(crate) fn csrf(page: &Answer) -> String {
    let text = page.text();
    let (_, after) = text
        .split_once("name=\"csrf\" value=\"")
        .expect("a form with a token");
    after.split('"').next().unwrap().to_owned()
}

pub(crate) fn form(path: &str, cookie: &str, fields: &[(&str, &str)]) -> Ask {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let body: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    Ask::post(path)
        .anonymous()
        .header("cookie", cookie)
        .text("application/x-www-form-urlencoded", body.join("&"))
}

pub(crate) fn page(path: &str, cookie: &str) -> Ask {
    Ask::get(path).anonymous().header("cookie", cookie)
}

/// Sends the form of the sign-in page.
pub(crate) async fn enter(setting: &Setting, key: &str) -> Answer {
    let shown = setting.ask(Ask::get("/sign-in").anonymous()).await;
    let own = cookie(&shown, "carillon_sign_in").unwrap();
    let entered = form(
        "/sign-in",
        &own,
        &[("csrf", &csrf(&shown)), ("key", key), ("next", "/deliveries")],
    );
    setting.ask(entered).await
}

/// Signs in and returns the session's cookie.
pub(crate) async fn sign_in(setting: &Setting, key: &str) -> String {
    let answer = enter(setting, key).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/deliveries")),
        "{answer:?}"
    );
    let set = answer.headers.get_all("set-cookie").iter().any(|value| {
        let text = value.to_str().unwrap();
        text.starts_with("carillon_session=") && text.contains("HttpOnly") && text.contains("SameSite=Strict")
    });
    assert!(set, "{answer:?}");
    cookie(&answer, "carillon_session").unwrap()
}

#[tokio::test]
async fn a_page_is_shown_only_after_signing_in() {
    on_gateway(async |setting| {
        for path in [
            "/",
            "/deliveries?status=sent",
            "/dlq",
            "/events/e-1",
            "/deliveries/6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10",
        ] {
            for ask in [
                Ask::get(path).anonymous(),
                Ask::get(path),
                page(path, "carillon_session=made-up"),
            ] {
                let answer = setting.ask(ask).await;
                assert_eq!(answer.status, 303, "{path}");
                assert!(
                    answer.header("location").unwrap().starts_with("/sign-in"),
                    "{path}"
                );
            }
        }
        let back = setting.ask(Ask::get("/deliveries?status=sent").anonymous()).await;
        assert_eq!(
            back.header("location"),
            Some("/sign-in?next=%2Fdeliveries%3Fstatus%3Dsent")
        );
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_a_forged_form_and_a_revoked_key_open_nothing() {
    on_gateway(async |setting| {
        let shown = setting.ask(Ask::get("/sign-in").anonymous()).await;
        let own = cookie(&shown, "carillon_sign_in").unwrap();
        let wrong = form(
            "/sign-in",
            &own,
            &[("csrf", &csrf(&shown)), ("key", "ck_wrong"), ("next", "/")],
        );
        let answer = setting.ask(wrong).await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.text().contains("unknown or revoked") && cookie(&answer, "carillon_session").is_none()
        );

        let forged = form(
            "/sign-in",
            &own,
            &[("csrf", "made-up"), ("key", &setting.viewer), ("next", "/")],
        );
        let answer = setting.ask(forged).await;
        assert_eq!((answer.status, cookie(&answer, "carillon_session")), (403, None));

        let session = sign_in(setting, &setting.viewer).await;
        assert_eq!(setting.ask(page("/deliveries", &session)).await.status, 200);
        let keys = setting.get("/v1/keys").await.json();
        let viewer = keys["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|key| key["role"] == "viewer")
            .unwrap();
        let revoke = Ask::delete(&format!("/v1/keys/{}", viewer["id"].as_str().unwrap()));
        assert_eq!(setting.ask(revoke).await.status, 204);
        // Another gateway process has not seen the key; this one may accept it for a moment.
        setting.advance(3_600);
        assert_eq!(setting.ask(page("/deliveries", &session)).await.status, 303);
    })
    .await;
}

#[tokio::test]
async fn signing_out_needs_the_sessions_own_form_and_ends_it() {
    on_gateway(async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        let shown = setting.ask(page("/", &session)).await;
        let forged = form("/sign-out", &session, &[("csrf", "made-up")]);
        assert_eq!(setting.ask(forged).await.status, 403);
        assert_eq!(setting.ask(page("/", &session)).await.status, 200);
        let leave = form("/sign-out", &session, &[("csrf", &csrf(&shown))]);
        assert_eq!(setting.ask(leave).await.status, 303);
        assert_eq!(setting.ask(page("/", &session)).await.status, 303);
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours() {
    on_gateway(async |setting| {
        let session = sign_in(setting, &setting.viewer).await;
        setting.advance(12 * 3_600 + 1);
        assert_eq!(setting.ask(page("/", &session)).await.status, 303);
    })
    .await;
}

#[tokio::test]
async fn the_pages_show_deliveries_and_their_timelines() {
    use DeliveryStatus as S;

    on_gateway(async |setting| {
        let sent = delivery(setting, 1, &[(0, S::Queued), (1, S::Sending), (1, S::Sent)])
            .await
            .0;
        let dead = delivery(
            setting,
            2,
            &[(0, S::Queued), (1, S::Retrying), (2, S::DeadLettered)],
        )
        .await
        .0;
        let session = sign_in(setting, &setting.viewer).await;
        let show = async |path: &str| {
            let answer = setting.ask(page(path, &session)).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let policy = answer.header("content-security-policy").unwrap();
            let scripts = policy.split("; ").find(|part| part.starts_with("script-src"));
            // Only pages with a live view have a script, which is our own.
            let expected =
                (!path.contains("/6f1d") && !path.starts_with("/events")).then_some("script-src 'self'");
            assert!(
                policy.contains("default-src 'none'") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert_eq!(scripts, expected, "{path}: {policy}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            answer.text()
        };
        let list = show("/deliveries").await;
        assert!(
            list.contains(&format!("/deliveries/{sent}")) && list.contains(&format!("/deliveries/{dead}"))
        );
        let filtered = show("/deliveries?status=dead_lettered&channel=&q=").await;
        assert!(!filtered.contains(&sent.to_string()) && filtered.contains(&dead.to_string()));

        let one = show(&format!("/deliveries/{dead}")).await;
        assert!(one.contains("retrying") && one.contains("dead lettered") && one.contains("451"));
        assert!(
            one.contains("try &#60;later&#62;") && !one.contains("try <later>"),
            "a provider's words are escaped"
        );
        let message = setting
            .ask(page(&format!("/deliveries/{sent}/message"), &session))
            .await;
        assert!(
            message
                .header("content-security-policy")
                .unwrap()
                .contains("sandbox")
        );
        assert!(message.text().contains("DHL"));
        assert!(
            show("/events/order-1?source=%2Fshop%2Forders")
                .await
                .contains("&#34;order_id&#34;")
        );
        show("/").await;

        let missing = setting
            .ask(page("/deliveries/6f1d51c8-9e0f-4a7b-8a53-0c8b7f5f3a10", &session))
            .await;
        assert_eq!(missing.status, 404);
        assert!(missing.header("content-type").unwrap().starts_with("text/html"));
        let wrong = setting.ask(page("/deliveries?status=nonsense", &session)).await;
        assert_eq!(wrong.status, 422);
        let foreign = sign_in(setting, &setting.foreign).await;
        assert_eq!(
            setting
                .ask(page(&format!("/deliveries/{sent}"), &foreign))
                .await
                .status,
            404
        );
    })
    .await;
}

#[tokio::test]
async fn the_dead_letter_page_shows_causes_letters_and_bytes() {
    on_gateway(async |setting| {
        for offset in 0..2 {
            dead_letter(setting, offset, Some(Channel::Email), "550").await;
        }
        dead_letter(setting, 2, None, "malformed-json").await;
        let session = sign_in(setting, &setting.viewer).await;
        let list = setting.ask(page("/dlq", &session)).await.text();
        assert!(list.contains("By cause") && list.contains("550") && list.contains("malformed-json"));
        assert!(!list.contains("<b>550</b> refused") && list.contains("&#60;b&#62;550&#60;/b&#62;"));
        let none = setting.ask(page("/dlq?state=discarded", &session)).await.text();
        assert!(none.contains("There are none."));

        let letters = setting.get("/v1/dlq?channel=events").await.json();
        let id = letters["items"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/dlq/{id}");
        let one = setting.ask(page(&path, &session)).await.text();
        assert!(one.contains("viewers are not shown records") && !one.contains("json&#62;"));
        let session = sign_in(setting, &setting.admin).await;
        let token = csrf(&setting.ask(page(&path, &session)).await);
        let asked = form("/reveal", &session, &[("csrf", &token), ("page", &path)]);
        assert_eq!(setting.ask(asked).await.status, 303);
        let one = setting.ask(page(&path, &session)).await.text();
        assert!(one.contains("not &#60;json&#62;") && one.contains("kafka_dlt-original-topic"));
    })
    .await;
}

#[tokio::test]
async fn the_whole_installation_is_shown_to_the_operators_own_tenant_alone() {
    on_gateway(async |setting| {
        let own = setting
            .ask(page("/", &sign_in(setting, &setting.viewer).await))
            .await;
        assert_eq!(own.status, 200);
        assert!(own.text().contains("whole installation"), "{own:?}");
        let foreign = setting
            .ask(page("/", &sign_in(setting, &setting.foreign).await))
            .await;
        assert_eq!(foreign.status, 200);
        for text in ["whole installation", "Acknowledged", "Produced"] {
            assert!(!foreign.text().contains(text), "{foreign:?}");
        }
        assert!(foreign.text().contains("Latest deliveries"), "{foreign:?}");
        let ask = |key: &str| Ask::get("/v1/stats").key(key);
        assert_eq!(setting.ask(ask(&setting.viewer)).await.status, 200);
        setting.ask(ask(&setting.foreign)).await.problem(403, "forbidden");
        setting
            .ask(Ask::get("/v1/stats").anonymous())
            .await
            .problem(401, "unauthorized");
    })
    .await;
}

#[tokio::test]
async fn a_page_names_an_unknown_or_wrong_parameter_and_the_expected_value() {
    on_gateway(async |setting| {
        let id = delivery(setting, 1, &[(0, DeliveryStatus::Queued)]).await.0;
        dead_letter(setting, 0, Some(Channel::Email), "550").await;
        let letters = setting.get("/v1/dlq").await.json();
        let letter = letters["items"][0]["id"].as_str().unwrap().to_owned();
        let session = sign_in(setting, &setting.viewer).await;
        for (path, says) in [
            (
                "/?foo=1".to_owned(),
                "there is no parameter foo; this route has no parameters",
            ),
            (
                "/deliveries?foo=1".to_owned(),
                "there is no parameter foo; expected only status, channel",
            ),
            ("/deliveries?limit=0".to_owned(), "there is no parameter limit"),
            (
                "/deliveries?status=nonsense".to_owned(),
                "the parameter status: expected a status such as sent, not",
            ),
            (
                "/deliveries?from=yesterday".to_owned(),
                "the parameter from: expected a time such as 2027-01-31T10:00:00Z, or a date",
            ),
            (
                "/deliveries?cursor=x".to_owned(),
                "the parameter cursor: expected",
            ),
            ("/deliveries?q=%FF".to_owned(), "the parameter q: expected UTF-8"),
            (format!("/deliveries/{id}?as_of="), "there is no parameter as_of"),
            (
                format!("/deliveries/{id}/message?foo"),
                "there is no parameter foo",
            ),
            (
                "/events/order-1?sauce=%2F".to_owned(),
                "there is no parameter sauce; expected only source",
            ),
            (
                "/dlq?state=shut".to_owned(),
                "the parameter state: expected open, replayed or discarded",
            ),
            ("/dlq?limit=0".to_owned(), "there is no parameter limit"),
            (
                format!("/dlq/{letter}?reveal=true"),
                "there is no parameter reveal",
            ),
            (
                "/sign-in?then=/dlq".to_owned(),
                "there is no parameter then; expected only next",
            ),
            ("/docs?foo=1".to_owned(), "there is no parameter foo"),
        ] {
            let answer = setting.ask(page(&path, &session)).await;
            assert_eq!(answer.status, 422, "{path}: {answer:?}");
            assert_eq!(
                answer.header("content-type"),
                Some("text/html; charset=utf-8"),
                "{path}"
            );
            assert!(answer.text().contains(says), "{path}: {answer:?}");
        }
        // The fields that the form leaves empty are no filters.
        let form = setting
            .ask(page("/deliveries?q=&status=&channel=", &session))
            .await;
        assert_eq!(form.status, 200);
    })
    .await;
}
