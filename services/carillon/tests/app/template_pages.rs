//! The pages of templates: a draft is written, judged and published as by the API's routes.

use carillon_runtime::http::{ClientOptions, client};
use carillon_testkit::installation::Installation;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::with_installation;

const PATH: &str = "/templates/OrderShipped/sms";

/// A person's browser.
struct Browser<'a> {
    carillon: &'a Installation,
    http: Client,
    session: String,
}

fn cookie(answer: &Response, name: &str) -> String {
    let set = answer.headers().get_all("set-cookie").iter();
    let mut pairs = set.filter_map(|value| value.to_str().ok()?.split(';').next());
    pairs.rfind(|pair| pair.starts_with(name)).unwrap().to_owned()
}

/// The value of a hidden field.
fn field(page: &str, name: &str) -> String {
    let (_, after) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    after.split('"').next().unwrap().replace("&#34;", "\"")
}

impl<'a> Browser<'a> {
    async fn signed_in(carillon: &'a Installation, key: &str) -> Self {
        let http = client(&ClientOptions::default()).unwrap();
        let shown = http
            .get(format!("{}/sign-in", carillon.url))
            .send()
            .await
            .unwrap();
        let form = cookie(&shown, "carillon_sign_in=");
        let page = shown.text().await.unwrap();
        let entered = http
            .post(format!("{}/sign-in", carillon.url))
            .header("cookie", form)
            .form(&[
                ("csrf", field(&page, "csrf").as_str()),
                ("key", key),
                ("next", "/"),
            ])
            .send()
            .await
            .unwrap();
        let session = cookie(&entered, "carillon_session=");
        Self {
            carillon,
            http,
            session,
        }
    }

    async fn see(&self, path: &str) -> (u16, String) {
        let request = self.http.get(format!("{}{path}", self.carillon.url));
        let answer = request.header("cookie", &self.session).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Sends a form; returns the status, the page, and the page that it leads to.
    async fn press(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String, Option<String>) {
        let request = self.http.post(format!("{}{path}", self.carillon.url));
        let answer = request
            .header("cookie", &self.session)
            .form(fields)
            .send()
            .await
            .unwrap();
        let location = answer.headers().get("location");
        let location = location.map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), answer.text().await.unwrap(), location)
    }
}

#[test]
fn a_template_is_mended_on_its_page() {
    with_installation(|carillon| async move {
        let admin = Browser::signed_in(&carillon, &carillon.key).await;
        let (status, list) = admin.see("/templates").await;
        assert!(status == 200 && list.contains(PATH), "{list}");
        assert_eq!(admin.see("/templates/Unknown/sms").await.0, 404);
        assert_eq!(admin.see("/templates/OrderShipped/pigeon").await.0, 404);

        let (_, shown) = admin.see(PATH).await;
        let csrf = field(&shown, "csrf");
        let first = field(&shown, "etag");
        let forged = admin
            .press(PATH, &[("csrf", "made-up"), ("part.text", "x")])
            .await;
        assert_eq!(forged.0, 403);
        let text = "{{order_id}} is on its way";
        let stale = [("csrf", csrf.as_str()), ("etag", "\"0\""), ("part.text", text)];
        let (status, page, _) = admin.press(PATH, &stale).await;
        assert_eq!(status, 412);
        assert!(
            page.contains("changed meanwhile") && page.contains("is on its way"),
            "{page}"
        );

        // A draft with a mistake is saved and not published.
        let mistake = [
            ("csrf", csrf.as_str()),
            ("etag", &first),
            ("part.text", "{{#if order_id}}\r\n"),
        ];
        let (status, page, _) = admin.press(PATH, &mistake).await;
        assert!(status == 200 && page.contains("cannot be published"), "{page}");
        let etag = field(&page, "etag");
        let publish = format!("{PATH}/publish");
        let button = [("csrf", csrf.as_str()), ("etag", &etag)];
        let (status, page, _) = admin.press(&publish, &button).await;
        assert!(status == 422 && page.contains("/parts/text"), "{status} {page}");

        let text = "Order {{order_id}} is on its way.";
        let mended = [("csrf", csrf.as_str()), ("etag", &etag), ("part.text", text)];
        let (_, page, _) = admin.press(PATH, &mended).await;
        let etag = field(&page, "etag");
        let button = [("csrf", csrf.as_str()), ("etag", etag.as_str())];
        let (status, _, location) = admin.press(&publish, &button).await;
        assert_eq!(
            (status, location),
            (303, Some(format!("{PATH}?result=published")))
        );
        let template = carillon.get("/v1/templates/OrderShipped/sms").await;
        assert_eq!(
            template["published"]["parts"],
            json!({"text": text}),
            "{template}"
        );
        assert_eq!(template["draft"], Value::Null);
        let audit = carillon.get("/v1/audit").await;
        let of_publish = |entry: &&Value| entry["action"] == "publish";
        let entry = audit["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(of_publish)
            .unwrap();
        assert_eq!(entry["route"], "/v1/templates/OrderShipped/sms/publish");

        // A draft for one locale is discarded; without a draft there is nothing to discard.
        let french = [
            ("csrf", csrf.as_str()),
            ("etag", "*"),
            ("locale", "fr"),
            ("part.text", "{{order_id}}"),
        ];
        assert_eq!(
            admin.press(PATH, &french).await.0,
            404,
            "there is no such template yet"
        );
        let body = json!({"parts": {"text": "{{order_id}}"}});
        let put = carillon.put(&format!("/v1{PATH}?locale=fr"), &body).await;
        assert_eq!(put, 200);
        let (_, page) = admin.see(&format!("{PATH}?locale=fr")).await;
        let etag = field(&page, "etag");
        let button = [("csrf", csrf.as_str()), ("etag", etag.as_str()), ("locale", "fr")];
        let discard = format!("{PATH}/discard");
        let (status, _, location) = admin.press(&discard, &button).await;
        assert_eq!(
            (status, location),
            (303, Some(format!("{PATH}?locale=fr&result=discarded")))
        );
        assert_eq!(admin.press(&discard, &button).await.0, 404);
    });
}

#[test]
fn an_operator_reads_templates_and_changes_none() {
    with_installation(|carillon| async move {
        let http = client(&ClientOptions::default()).unwrap();
        let request = http.post(format!("{}/v1/keys", carillon.url));
        let request = request.json(&json!({"name": "an operator", "role": "operator"}));
        let made = request.bearer_auth(&carillon.key).send().await.unwrap();
        let made: Value = made.json().await.unwrap();
        let operator = Browser::signed_in(&carillon, made["secret"].as_str().unwrap()).await;
        let (status, page) = operator.see(PATH).await;
        assert_eq!(status, 200);
        assert!(
            page.contains("order-shipped.sms") && !page.contains("<textarea"),
            "{page}"
        );
        let csrf = field(&page, "csrf");
        let fields = [
            ("csrf", csrf.as_str()),
            ("etag", "*"),
            ("part.text", "{{order_id}}"),
        ];
        let (status, page, _) = operator.press(PATH, &fields).await;
        assert!(status == 403 && page.contains("needs the role admin"), "{page}");
        assert_eq!(operator.press(&format!("{PATH}/publish"), &fields).await.0, 403);
    });
}
