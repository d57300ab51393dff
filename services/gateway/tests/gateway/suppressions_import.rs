//! Files of addresses for the suppression list.

use carillon_domain::Channel;
use serde_json::{Value, json};

use crate::{
    support::{Ask, on_gateway},
    suppressions::stop,
};

pub(crate) fn import(text: &str) -> Ask {
    Ask::post("/v1/suppressions/import").text("text/csv", text.to_owned())
}

#[tokio::test]
async fn an_import_counts_its_lines_and_names_line_and_field_of_each_refusal() {
    on_gateway(async |setting| {
        stop(setting, Channel::Sms, "+4915112345678").await;
        let text = "channel,address,reason,expires_at,note\r\n\
            email,a@example.com,complaint,,\r\n\
            sms,+4915112345678,,,\r\n\
            \r\n\
            email,A@Example.com,,2027-01-31,again\r\n\
            fax,a@example.com,,,\r\n\
            email,not an address,nonsense,yesterday,\r\n\
            email,b@example.com,,2020-01-01,\"two\r\nlines\"\r\n\
            email,c@example.com,import,2027-01-31T10:00:00Z,\"two\r\nlines, and a comma\"\r\n\
            email,d@example.com,,,,more\r\n\
            push,token-1";
        let answer = setting.ask(import(text).key(&setting.operator)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!(
            (
                &answer["read"],
                &answer["added"],
                &answer["present"],
                &answer["refused"]
            ),
            (&json!(9), &json!(3), &json!(2), &json!(4)),
            "{answer}"
        );
        let told: Vec<String> = answer["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| {
                format!(
                    "{} {} {}",
                    error["line"],
                    error["field"].as_str().unwrap(),
                    error["code"].as_str().unwrap()
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "6 channel type",
                "7 address format",
                "7 reason type",
                "7 expires_at format",
                "8 expires_at range",
                "12  range",
            ]
        );
        let list = setting.get("/v1/suppressions?channel=email").await.json();
        let reasons: Vec<(&str, &str)> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                (
                    entry["address_masked"].as_str().unwrap(),
                    entry["reason"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(reasons.len(), 2, "{list}");
        assert!(
            reasons.contains(&("a…@example.com", "complaint"))
                && reasons.contains(&("c…@example.com", "import"))
        );
        let entry = setting.get("/v1/suppressions/email/c@example.com").await.json();
        assert_eq!(
            (&entry["actor"], &entry["note"]),
            (&json!("a test"), &json!("two\r\nlines, and a comma"))
        );
        let again = setting.ask(import(text)).await.json();
        assert_eq!((&again["added"], &again["present"]), (&json!(0), &json!(5)));
        let log = setting.get("/v1/audit").await.json();
        let actions: Vec<&Value> = log["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["action"])
            .collect();
        assert_eq!(actions, ["import", "import"]);
    })
    .await;
}

#[tokio::test]
async fn an_import_reads_csv_with_and_without_a_heading_and_refuses_other_files() {
    on_gateway(async |setting| {
        let counts = async |text: &str| {
            let answer = setting.ask(import(text)).await;
            assert_eq!(answer.status, 200, "{text}: {answer:?}");
            let answer = answer.json();
            format!(
                "{} {} {} {}",
                answer["read"], answer["added"], answer["present"], answer["refused"]
            )
        };
        for text in ["", "\r\n\n", "channel,address\n", "\u{feff}channel,address\n\n"] {
            let refused = setting.ask(import(text)).await;
            assert_eq!(refused.problem(422, "validation"), [" required"], "{text:?}");
        }
        assert_eq!(counts("email,a@example.com").await, "1 1 0 0");
        assert_eq!(
            counts("\u{feff}Address,Channel\nb@example.com,email\n").await,
            "1 1 0 0"
        );
        let open = "email,n@example.com\nemail,c@example.com,,,\"a note\nemail,e@example.com\n";
        assert_eq!(counts(open).await, "2 1 0 1", "a quotation mark is missing");
        assert_eq!(counts("email,f@example.com,,,a 5\" pipe\n").await, "1 1 0 0");
        assert_eq!(
            counts(&format!("email,d@example.com,,,{}\n", "x".repeat(9_000))).await,
            "1 0 0 1"
        );
        let lines: Vec<String> = (0..1_200).map(|n| format!("email,m{n}@example.com\n")).collect();
        let mut many = lines.concat();
        assert_eq!(counts(&many).await, "1200 1200 0 0");
        many.push_str(&"sms,x\n".repeat(150));
        let answer = setting.ask(import(&many)).await.json();
        assert_eq!(
            (&answer["present"], &answer["refused"]),
            (&json!(1_200), &json!(150))
        );
        assert_eq!(answer["errors"].as_array().unwrap().len(), 100);
        for text in [
            "channel,address,colour\n",
            "channel,channel,address\n",
            "channel,reason\n",
            "email,created,reason\nada@example.com,1764633600,550\n",
            "Channel;Address\nemail;ada@example.com\n",
        ] {
            let refused = setting.ask(import(text)).await;
            assert_eq!(refused.problem(422, "validation"), [" heading"], "{text}");
        }
        let json = Ask::post("/v1/suppressions/import").json(&json!([]));
        setting.ask(json).await.problem(415, "unsupported-media-type");
        let huge = "email,x@example.com\n".repeat(500_000);
        setting.ask(import(&huge)).await.problem(413, "too-large");
    })
    .await;
}

#[tokio::test]
async fn an_import_reads_utf_16_and_names_other_files() {
    on_gateway(async |setting| {
        let post = async |body: Vec<u8>| {
            let ask = Ask::post("/v1/suppressions/import").text("text/csv", body);
            setting.ask(ask).await
        };
        let wide = |text: &str, unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(unit).collect()
        };
        for (text, unit) in [
            (
                "\u{feff}channel,address\nemail,jörg@example.com\n",
                u16::to_le_bytes as fn(u16) -> [u8; 2],
            ),
            ("\u{feff}email,günter@example.com,,,😀\r\n", u16::to_be_bytes),
        ] {
            let answer = post(wide(text, unit)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["added"], 1, "{answer:?}");
        }
        assert_eq!(
            setting
                .get("/v1/suppressions/email/j%C3%B6rg@example.com")
                .await
                .status,
            200
        );
        for (body, says) in [
            (
                wide("channel,address\n", u16::to_le_bytes),
                "not in UTF-16 without one",
            ),
            (b"PK\x03\x04\x14\x00\x06\x00".to_vec(), "save it as CSV"),
        ] {
            let refused = post(body).await;
            assert_eq!(refused.problem(422, "validation"), [" encoding"], "{refused:?}");
            let detail = refused.json()["detail"].clone();
            assert!(detail.as_str().unwrap().contains(says), "{detail}");
        }
        let latin = post(b"channel,address\nemail,j\xf6rg@example.com\n".to_vec()).await;
        let error = latin.json()["errors"][0].clone();
        assert_eq!((&error["line"], &error["code"]), (&json!(2), &json!("encoding")));
    })
    .await;
}
