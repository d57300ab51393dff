//! Addresses: the gateway accepts exactly those that the workers accept.

use serde_json::{Value, json};

use crate::support::{Ask, on_gateway, shipped};

/// Invalid addresses, each with a word of the expected error.
const NO_ADDRESSES: [(&str, &str); 14] = [
    ("Display Name <a@example.com>", "display name"),
    ("a@[127.0.0.1]", "address literal"),
    ("a@127.0.0.1", "full domain name"),
    ("\"two words\"@example.com", "quotes"),
    ("ada\u{200b}@example.com", "U+200B"),
    ("ada@exam\u{200b}ple.com", "U+200B"),
    ("ada\u{a0}@example.com", "U+00A0"),
    ("\u{feff}ada@example.com", "U+FEFF"),
    ("ada\u{202e}@example.com", "U+202E"),
    ("ada@example.com\r\nBcc: eve@example.com", "U+000D"),
    ("ada@example.com ", "U+0020"),
    ("ada@example.com.", "domain name"),
    ("a@localhost", "full domain name"),
    ("a..b@example.com", "single dots"),
];

fn to(recipient: &Value) -> Value {
    let mut event = shipped("bad");
    event["recipients"] = json!([recipient]);
    event
}

#[tokio::test]
async fn an_address_that_no_worker_could_send_to_is_refused_with_its_reason() {
    on_gateway(async |setting| {
        for (address, reason) in NO_ADDRESSES {
            let posted = setting.post(&to(&json!({"email": address}))).await;
            assert_eq!(
                posted.problem(422, "validation"),
                ["/recipients/0/email format"],
                "{address:?}"
            );
            assert!(posted.text().contains(reason), "{address:?}: {}", posted.text());
            let put = setting
                .ask(Ask::put("/v1/users/bad").json(&json!({"email": address})))
                .await;
            assert_eq!(put.problem(422, "validation"), ["/email format"], "{address:?}");
            assert!(put.text().contains(reason), "{address:?}: {}", put.text());
        }
        assert!(setting.published().await.is_empty());
        setting.get("/v1/users/bad").await.problem(404, "not-found");
    })
    .await;
}

#[tokio::test]
async fn a_phone_number_or_token_with_separators_or_invisible_characters_is_refused() {
    on_gateway(async |setting| {
        for phone in [
            "+49 151 12345678",
            "+49-15112345678",
            "+4915112345678\u{200b}",
            "\u{202a}+4915112345678\u{202c}",
        ] {
            let posted = setting.post(&to(&json!({"phone": phone}))).await;
            assert_eq!(
                posted.problem(422, "validation"),
                ["/recipients/0/phone format"],
                "{phone:?}"
            );
            let put = setting
                .ask(Ask::put("/v1/users/bad").json(&json!({"phone": phone})))
                .await;
            assert_eq!(put.problem(422, "validation"), ["/phone format"], "{phone:?}");
        }
        let device = json!({"devices": [{"platform": "ios", "token": "tok\u{200b}en"}]});
        let put = setting.ask(Ask::put("/v1/users/bad").json(&device)).await;
        assert_eq!(put.problem(422, "validation"), ["/devices/0/token format"]);
        let put = setting
            .ask(Ask::put("/v1/users/u-42/devices/tok%E2%80%8Ben").json(&json!({"platform": "ios"})))
            .await;
        assert_eq!(put.problem(422, "validation"), ["/token format"]);
    })
    .await;
}

#[tokio::test]
async fn an_internationalised_address_is_taken_and_read_back_as_it_was_written() {
    on_gateway(async |setting| {
        for address in [
            "ada@bücher.example",
            "jörg@example.com",
            "用户@例子.广告",
            "a+b@xn--bcher-kva.example",
        ] {
            let put = setting
                .ask(Ask::put("/v1/users/good").json(&json!({"email": address})))
                .await;
            assert!([200, 201].contains(&put.status), "{address}: {put:?}");
            assert_eq!(
                setting.get("/v1/users/good?reveal=true").await.json()["email"],
                address
            );
            let mut event = to(&json!({"email": address}));
            event["id"] = json!(address);
            assert_eq!(setting.post(&event).await.status, 202, "{address}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_device_that_is_put_twice_in_one_list_is_one_device() {
    on_gateway(async |setting| {
        let twice = json!({"devices": [
            {"platform": "ios", "token": "same"}, {"platform": "android", "token": "same"},
        ]});
        for _ in 0..2 {
            let put = setting.ask(Ask::put("/v1/users/twice").json(&twice)).await;
            assert!([200, 201].contains(&put.status), "{put:?}");
            let devices = &setting.get("/v1/users/twice?reveal=true").await.json()["devices"];
            assert_eq!(devices, &json!([{"platform": "android", "token": "same"}]));
        }
    })
    .await;
}
