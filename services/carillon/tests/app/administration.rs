//! Commands that use the database directly.

use std::{fs, path::Path, process::Output};

use crate::command_line::{carillon, stderr, stdout};

/// Runs `carillon` with a SQLite file in the folder.
fn with_database(folder: &Path, args: &[&str]) -> Output {
    let url = format!("sqlite://{}", folder.join("own.db").display());
    carillon(folder)
        .args(args)
        .args(["--set", &format!("database.url={url}")])
        .output()
        .unwrap()
}

#[test]
fn users_of_a_folder_are_imported_once_and_stay_as_they_are_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    fs::create_dir(&users).unwrap();
    fs::write(users.join("u-1.json"), r#"{"email": "ada@example.com"}"#).unwrap();
    fs::write(users.join("notes.txt"), "not a user").unwrap();
    let import = ["users", "import", "users"];
    let said = stdout(&with_database(folder.path(), &import));
    assert_eq!(said, "1 users imported, 0 existed.\n");
    fs::write(users.join("u-2.json"), r#"{"phone": "+15145550142"}"#).unwrap();
    let said = stdout(&with_database(folder.path(), &import));
    assert_eq!(said, "1 users imported, 1 existed.\n");
}

#[test]
fn a_folder_of_users_with_wrong_fields_is_refused_with_all_of_them_and_imports_none() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    fs::create_dir(&users).unwrap();
    let import = ["users", "import", "users"];
    let said = stderr(&with_database(folder.path(), &import));
    assert!(
        said.contains("users has no users: expected files named"),
        "{said}"
    );

    for (name, content) in [
        ("a.json", r#"{"email": "ada@example.com"}"#),
        ("b.json", r#"{"email": "ada", "phone": "0151"}"#),
        ("c.json", r#"{"mail": "ada@example.com"}"#),
        ("d.json", "{"),
        ("e.json", r#"["ada@example.com"]"#),
    ] {
        fs::write(users.join(name), content).unwrap();
    }
    let said = stderr(&with_database(folder.path(), &import));
    for expected in [
        "b.json /email: ",
        "b.json /phone: ",
        "c.json /mail: ",
        "d.json: expected JSON",
        "e.json : expected a JSON object",
    ] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
    for name in ["b.json", "c.json", "d.json", "e.json"] {
        fs::remove_file(users.join(name)).unwrap();
    }
    let said = stdout(&with_database(folder.path(), &import));
    assert_eq!(said, "1 users imported, 0 existed.\n");
}

#[test]
fn standard_output_has_only_the_secret_of_a_new_key() {
    let folder = tempfile::tempdir().unwrap();
    let made = with_database(folder.path(), &["keys", "create", "me", "--role", "admin"]);
    let secret = stdout(&made);
    assert_eq!(secret.lines().count(), 1, "{secret}");
    assert!(!secret.trim().contains(char::is_whitespace), "{secret}");
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(said.contains("is shown only now"), "{said}");
    assert!(!said.contains(secret.trim()), "{said}");
}

#[test]
fn setup_prepares_an_installation_and_changes_nothing_when_it_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    let set_up = ["setup", shop.to_str().unwrap(), "--set", "bus.path=own-bus.db"];
    let said = stdout(&with_database(folder.path(), &set_up));
    let expected = [
        " topics created, ",
        "The catalog is at version 1.",
        "users imported, 0 existed.",
    ];
    for expected in expected {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
    let said = stdout(&with_database(folder.path(), &set_up));
    for expected in ["0 topics created, ", "Nothing has changed;", "0 users imported,"] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
}

#[test]
fn numbers_other_than_the_present_differences_are_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let shown = stdout(&with_database(folder.path(), &["books", "show", "--json"]));
    let books: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(books["events_difference"], 0, "{books}");
    assert_eq!(books["accepted"], serde_json::json!([]), "{books}");
    let accept = |events: &'static str| {
        let words = [
            "books",
            "accept",
            "--events",
            events,
            "--deliveries",
            "0",
            "--by",
            "Ada",
            "--reason",
            "a restore",
        ];
        stderr(&with_database(folder.path(), &words))
    };
    let said = accept("-2");
    assert!(
        said.contains("the present differences are 0 of events and 0 of deliveries"),
        "{said}"
    );
    assert!(accept("0").contains("expected a difference that is not 0"));
}
