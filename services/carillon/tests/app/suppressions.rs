//! The suppression list from the command line to the decision.

use std::{fs, time::Duration};

use carillon_testkit::wait_for;
use serde_json::{Value, json};

use crate::command_line::{Dev, run, stderr, stdout};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_file_is_imported_in_parts_and_its_refusals_name_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let _dev = Dev::start(folder.path());
    let lines: Vec<String> = (0..2_500).map(|n| format!("email,m{n}@example.com,\n")).collect();
    let wrong = "sms,+4915112345678,opted_out\nsms,0151,\n";
    let text = format!("channel,address,reason\n{}{wrong}", lines.concat());
    fs::write(folder.path().join("list.csv"), text).unwrap();
    let imported = run(folder.path(), &["suppressions", "import", "list.csv", "--json"]);
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    let answer = json_of(std::str::from_utf8(&imported.stdout).unwrap());
    assert_eq!(
        (&answer["read"], &answer["added"], &answer["refused"]),
        (&json!(2_502), &json!(2_501), &json!(1))
    );
    assert_eq!(
        (&answer["errors"][0]["line"], &answer["errors"][0]["field"]),
        (&json!(2_503), &json!("address"))
    );
    let again = run(folder.path(), &["suppressions", "import", "list.csv"]);
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(
        said.contains("0 added, 2501 already on the list, 1 refused"),
        "{said}"
    );
    assert!(
        said.contains("line 2503 address: expected a phone number"),
        "{said}"
    );

    let listed = stdout(&run(
        folder.path(),
        &["suppressions", "list", "--reason", "opted_out"],
    ));
    assert!(
        listed.contains("+49…78") && !listed.contains("+4915112345678"),
        "{listed}"
    );
    let removed = run(
        folder.path(),
        &["suppressions", "remove", "sms", "+4915112345678"],
    );
    assert!(stdout(&removed).contains("takes messages again"));
    let missing = run(
        folder.path(),
        &["suppressions", "remove", "sms", "+4915112345678"],
    );
    assert!(stderr(&missing).contains("is not on the suppression list"));

    let wide: Vec<u8> = "\u{feff}channel,address\r\nemail,jörg@example.com\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(folder.path().join("wide.csv"), wide).unwrap();
    let imported = stdout(&run(folder.path(), &["suppressions", "import", "wide.csv"]));
    assert!(imported.contains("1 lines read: 1 added"), "{imported}");
    fs::write(folder.path().join("sheet.xlsx"), b"PK\x03\x04\x14\x00\x06\x00").unwrap();
    let refused = stderr(&run(folder.path(), &["suppressions", "import", "sheet.xlsx"]));
    assert!(
        refused.starts_with("carillon: sheet.xlsx: expected text in UTF-8, not a ZIP archive"),
        "{refused}"
    );

    for (text, says) in [
        (
            "",
            "empty.csv: expected lines such as email,ada@example.com, not an empty file",
        ),
        (
            "\n \n",
            "empty.csv: expected lines such as email,ada@example.com, not an empty file",
        ),
        (
            "channel,address,reason\n\n",
            "empty.csv: expected lines with addresses after the heading",
        ),
        (
            "email,created\nada@example.com,1764633600\n",
            "the first line: expected each of the columns channel, address, reason, expires_at, note at most once",
        ),
    ] {
        fs::write(folder.path().join("empty.csv"), text).unwrap();
        let refused = run(folder.path(), &["suppressions", "import", "empty.csv"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = stderr(&refused);
        assert!(said.contains(says), "{text:?}: {said}");
    }
}

#[test]
fn an_address_that_a_person_adds_gets_no_message_and_the_event_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let add = [
        "suppressions",
        "add",
        "email",
        "guest@example.com",
        "--note",
        "asked us by phone",
    ];
    let added = stdout(&run(folder.path(), &add));
    assert_eq!(added, "g…@example.com takes no messages by email: manual\n");
    let add = |more: &[&str]| {
        let args = [&["suppressions", "add", "email", "guest@example.com"], more].concat();
        run(folder.path(), &args)
    };
    assert_eq!(
        stdout(&add(&["--expires-at", "2999-01-31"])),
        "g…@example.com takes no messages by email: manual, until 2999-01-31T00:00:00Z\n"
    );
    let entry = json_of(&stdout(&add(&["--json"])));
    assert_eq!(
        (&entry["note"], &entry["expires_at"]),
        (&json!("asked us by phone"), &json!("2999-01-31T00:00:00Z")),
        "options that are not given change nothing"
    );
    let entry = json_of(&stdout(&add(&["--expires-at", "never", "--note", "", "--json"])));
    assert_eq!(
        (&entry["note"], &entry["expires_at"]),
        (&json!(null), &json!(null))
    );
    for (time, says) in [
        (
            "tomorrow",
            "expected a time such as 2027-01-31T10:00:00Z, or a date such as 2027-01-31",
        ),
        ("2020-01-31", "expected a time in the future, after "),
    ] {
        let said = stderr(&add(&["--expires-at", time]));
        assert!(
            said.contains(says) && said.contains(time) && said.contains("expires"),
            "{said}"
        );
    }
    let event = json!({
        "id": "o-1", "type": "OrderShipped", "recipients": [{"email": "Guest@example.com"}],
        "data": {"order_id": "1", "carrier": "DHL"},
    });
    fs::write(folder.path().join("event.json"), event.to_string()).unwrap();
    stdout(&run(folder.path(), &["send", "--file", "event.json"]));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(wait_for("the decision", Duration::from_secs(20), || async {
        let shown = run(folder.path(), &["events", "get", "o-1", "--json"]);
        let event = json_of(&stdout(&shown));
        let decision = &event["decisions"][0];
        decision["reason"] == "suppressed"
            && decision["sentence"]
                .as_str()
                .unwrap()
                .contains("a person put it there")
    }));
    drop(dev);
}
