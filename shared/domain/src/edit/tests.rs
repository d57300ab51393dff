use super::*;

fn document(json: &str) -> Document {
    Document::parse(json).unwrap()
}

fn edit(json: &str) -> Edit {
    Edit::parse(json).unwrap()
}

fn applied(json: &str, patch: &str) -> Result<String, String> {
    let edited = edit(patch).apply(&document(json));
    edited
        .map(|document| document.text())
        .map_err(|error| format!("{} {}", error.pointer, error.code))
}

/// The code with which an edit by a person who sees `shown` is refused; `uncovers` and `secrets` come from the checks
/// after the edit.
fn seen(json: &str, shown: &str, after: impl Fn(&str) -> String, patch: &str) -> Result<String, String> {
    let seen = edit(patch)
        .apply_seen(&document(json), &document(shown))
        .map_err(|error| format!("{} {}", error.pointer, error.code))?;
    let text = seen.document.text();
    if let Some(pointer) = seen.uncovers(&document(&after(&text))) {
        return Err(format!("uncovers {pointer}"));
    }
    if seen.keeps_secrets() {
        return Err("secrets".to_owned());
    }
    Ok(text)
}

#[test]
fn each_operation_does_what_rfc_6902_says_and_numbers_keep_their_digits() {
    let json = r#"{"a":{"b":[1.50,2,24000000000000000000000001]},"c":"x"}"#;
    for (patch, expected) in [
        (
            r#"[{"op":"add","path":"/a/b/1","value":1e2}]"#,
            r#"{"a":{"b":[1.50,1e2,2,24000000000000000000000001]},"c":"x"}"#,
        ),
        (
            r#"[{"op":"add","path":"/a/b/-","value":{}}]"#,
            r#"{"a":{"b":[1.50,2,24000000000000000000000001,{}]},"c":"x"}"#,
        ),
        (
            r#"[{"op":"remove","path":"/a/b/0"}]"#,
            r#"{"a":{"b":[2,24000000000000000000000001]},"c":"x"}"#,
        ),
        (
            r#"[{"op":"replace","path":"/c","value":null}]"#,
            r#"{"a":{"b":[1.50,2,24000000000000000000000001]},"c":null}"#,
        ),
        (
            r#"[{"op":"move","from":"/a/b/2","path":"/d"}]"#,
            r#"{"a":{"b":[1.50,2]},"c":"x","d":24000000000000000000000001}"#,
        ),
        (
            r#"[{"op":"copy","from":"/a/b/0","path":"/c"}]"#,
            r#"{"a":{"b":[1.50,2,24000000000000000000000001]},"c":1.50}"#,
        ),
        (
            r#"[{"op":"test","path":"/a/b/0","value":1.5},{"op":"remove","path":"/a"}]"#,
            r#"{"c":"x"}"#,
        ),
        (r#"[{"op":"replace","path":"","value":[0]}]"#, "[0]"),
    ] {
        assert_eq!(applied(json, patch).unwrap(), expected, "{patch}");
    }
    for (patch, expected) in [
        (r#"[{"op":"test","path":"/c","value":"y"}]"#, "/0/value test"),
        (r#"[{"op":"test","path":"/z","value":"y"}]"#, "/0/path not-found"),
        (
            r#"[{"op":"remove","path":"/c"},{"op":"remove","path":"/c"}]"#,
            "/1/path not-found",
        ),
        (r#"[{"op":"replace","path":"/z","value":1}]"#, "/0/path not-found"),
        (r#"[{"op":"add","path":"/a/b/9","value":1}]"#, "/0/path not-found"),
        (r#"[{"op":"move","from":"/z","path":"/c"}]"#, "/0/from not-found"),
        (r#"[{"op":"move","from":"/a","path":"/a/b"}]"#, "/0/path inside"),
        (r#"[{"op":"copy","from":"/z","path":"/c"}]"#, "/0/from not-found"),
    ] {
        assert_eq!(applied(json, patch).unwrap_err(), expected, "{patch}");
    }
}

#[test]
fn a_wrong_patch_is_refused_with_the_place_of_each_fault() {
    let errors = |json: &str| {
        let errors = Edit::parse(json).unwrap_err();
        let all: Vec<String> = errors
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.code))
            .collect();
        all.join(", ")
    };
    assert_eq!(errors("{}"), " type");
    assert_eq!(errors("[]"), " range");
    assert_eq!(
        errors(
            r#"[7,{"op":"put","path":""},{"path":""},{"op":"add","path":"a","value":1},{"op":"add","path":"/a"},
            {"op":"copy","path":"/a"},{"op":"remove","path":"/~2"},{"op":"remove","path":"/fine","more":1}]"#
        ),
        "/0 type, /1/op unknown, /2/op required, /3/path format, /4/value required, /5/from required, /6/path format"
    );
    let many: Vec<&str> = std::iter::repeat_n(r#"{"op":"remove","path":"/a"}"#, MAX_OPERATIONS + 1).collect();
    assert_eq!(errors(&format!("[{}]", many.join(","))), " range");
}

#[test]
fn copies_of_copies_do_not_fill_the_memory_or_the_stack() {
    let double = r#"{"op":"copy","from":"/a","path":"/a/b"}"#;
    let deep = format!("[{}]", [double; 50].join(","));
    let base = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let objects = base.replace("{\"a\":", "{\"a\":{\"b\":").replace("]}", "]}}");
    let refused = applied(&objects, &deep).unwrap_err();
    assert!(refused.ends_with("too-deep"), "{refused}");
    let text = "x".repeat(100_000);
    let many: Vec<String> = (0..40)
        .map(|n| format!(r#"{{"op":"copy","from":"/a","path":"/b{n}"}}"#))
        .collect();
    let refused = applied(
        &format!(r#"{{"a":["{text}"]}}"#),
        &format!("[{}]", many.join(",")),
    )
    .unwrap_err();
    assert_eq!(refused, "/9/op too-large");
}

#[test]
fn texts_that_look_like_marks_are_texts() {
    let json = r#"{"a":"\u0000n7","b":"\u0000k0","c":"\u0000sx","d":"\u0000"}"#;
    assert_eq!(document(json).text(), json);
    let patch =
        r#"[{"op":"add","path":"/a","value":"\u0000k0"},{"op":"test","path":"/a","value":"\u0000k0"}]"#;
    assert_eq!(applied("{}", patch).unwrap(), r#"{"a":"\u0000k0"}"#);
}

#[test]
fn the_difference_of_two_documents_is_an_edit_and_a_list_of_places() {
    let before = document(r#"{"a":1.10,"list":[1,2,3],"gone":true}"#);
    let after = document(r#"{"a":1.1,"list":[1,3],"new":{"x":"y"}}"#);
    let between = Edit::between(&before, &after);
    assert_eq!(between.apply(&before).unwrap().text(), after.text());
    assert_eq!(Edit::parse(&between.text()).unwrap(), between);
    let (found, is_cut) = changes(&before, &after);
    let found: Vec<_> = found
        .iter()
        .map(|change| {
            (
                change.pointer.as_str(),
                change.before.as_deref(),
                change.after.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("/a", Some("1.10"), Some("1.1")),
        ("/gone", Some("true"), None),
        ("/list/1", Some("2"), Some("3")),
        ("/list/2", Some("3"), None),
        ("/new", None, Some(r#"{"x":"y"}"#)),
    ];
    assert_eq!((&found[..], is_cut), (&expected[..], false));
    assert!(Edit::between(&before, &before).is_empty());
}

const SECRET: &str = r#"{"data":{"code":"482915","name":"Ada"},"recipients":[{"email":"ada@example.com"},{"email":"bob@example.com"}]}"#;
const SHOWN: &str = r#"{"data":{"code":"•••","name":"Ada"},"recipients":[{"email":"a…@example.com"},{"email":"b…@example.com"}]}"#;

/// Masks as the catalog does: `/data/code` and the addresses of recipients.
fn mask(json: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    if let Some(code) = value.pointer_mut("/data/code") {
        *code = "•••".into();
    }
    let recipients = value.pointer_mut("/recipients").and_then(Value::as_array_mut);
    for email in recipients
        .into_iter()
        .flatten()
        .filter_map(|one| one.get_mut("email"))
    {
        let text = email.as_str().unwrap_or_default();
        *email = format!("{}…@example.com", text.chars().next().unwrap_or('?')).into();
    }
    value.to_string()
}

#[test]
fn an_edit_reads_no_hidden_value() {
    for patch in [
        r#"[{"op":"test","path":"/data/code","value":"482915"}]"#,
        r#"[{"op":"test","path":"/data/code","value":"•••"}]"#,
        r#"[{"op":"test","path":"/data","value":{"code":"482915","name":"Ada"}}]"#,
        r#"[{"op":"test","path":"","value":{}}]"#,
        r#"[{"op":"copy","from":"/data/code","path":"/data/name"}]"#,
        r#"[{"op":"move","from":"/data/code","path":"/data/name"}]"#,
        r#"[{"op":"copy","from":"/data","path":"/more"}]"#,
        r#"[{"op":"move","from":"/data","path":"/more"}]"#,
        r#"[{"op":"copy","from":"/recipients/0","path":"/data/name"}]"#,
        r#"[{"op":"test","path":"/recipients/0/email","value":"ada@example.com"}]"#,
    ] {
        let refused = seen(SECRET, SHOWN, mask, patch).unwrap_err();
        assert!(refused.ends_with(" hidden"), "{patch} {refused}");
    }
    // Nothing below a hidden value answers, whether it is there or not.
    let nested = r#"{"data":{"code":{"digits":[4,8]}}}"#;
    for place in ["/data/code/digits/1", "/data/code/letters"] {
        let patch = format!(r#"[{{"op":"remove","path":"{place}"}}]"#);
        let refused = seen(nested, r#"{"data":{"code":"•••"}}"#, mask, &patch).unwrap_err();
        assert_eq!(refused, "/0/path not-found");
    }
}

#[test]
fn an_edit_leaves_no_secret_beside_what_it_changed_and_shows_none() {
    let change = r#"[{"op":"replace","path":"/data/name","value":"Eve"}]"#;
    assert_eq!(seen(SECRET, SHOWN, mask, change).unwrap_err(), "secrets");
    let redirect = r#"[{"op":"add","path":"/recipients/0","value":{"email":"eve@example.com"}}]"#;
    assert_eq!(seen(SECRET, SHOWN, mask, redirect).unwrap_err(), "secrets");
    // The type that hides the value is gone.
    let other = |json: &str| json.to_owned();
    assert_eq!(
        seen(SECRET, SHOWN, other, change).unwrap_err(),
        "uncovers /data/code"
    );
    let without = r#"[{"op":"replace","path":"/data/code","value":"000000"},{"op":"replace","path":"/data/name","value":"Eve"}]"#;
    let edited = seen(SECRET, SHOWN, mask, without).unwrap();
    assert!(
        !edited.contains("482915") && edited.contains("ada@example.com"),
        "{edited}"
    );
    // Values that stay in a list keep their masks.
    let shorter = r#"[{"op":"remove","path":"/recipients/0"},{"op":"remove","path":"/data/code"}]"#;
    let edited = seen(SECRET, SHOWN, mask, shorter).unwrap();
    assert_eq!(
        edited,
        r#"{"data":{"name":"Ada"},"recipients":[{"email":"bob@example.com"}]}"#
    );
}

#[test]
fn the_text_shown_for_a_hidden_value_is_not_written_in_its_place() {
    // If a recipient was deleted from the text, the computed patch writes the shown text of the second recipient into
    // the first.
    let written = document(r#"{"data":{"name":"Ada"},"recipients":[{"email":"b…@example.com"}]}"#);
    let patch = Edit::between(&document(SHOWN), &written);
    let refused = patch.apply_seen(&document(SECRET), &document(SHOWN)).unwrap_err();
    assert_eq!(refused.code, "hidden");
    // A value that the edit does not touch is unchanged.
    let written = document(&SHOWN.replace("\"code\":\"•••\",", "").replace("Ada", "Ada L."));
    let edited = Edit::between(&document(SHOWN), &written)
        .apply_seen(&document(SECRET), &document(SHOWN))
        .unwrap();
    assert!(edited.document.text().contains("ada@example.com") && !edited.keeps_secrets());
}

#[test]
fn an_object_with_masked_names_is_one_hidden_value() {
    let json = r#"{"data":{"by":{"ada@example.com":"secret"}}}"#;
    let shown = r#"{"data":{"by":{"a…@example.com":"secret"}}}"#;
    let same = |_: &str| shown.to_owned();
    let inside = r#"[{"op":"copy","from":"/data/by/ada@example.com","path":"/data/x"}]"#;
    assert_eq!(seen(json, shown, same, inside).unwrap_err(), "/0/from not-found");
    let beside = r#"[{"op":"add","path":"/data/x","value":1}]"#;
    assert!(
        seen(json, shown, same, beside)
            .unwrap()
            .contains("ada@example.com")
    );
}
