//! Subjects and titles, which are shown beside those of other senders.

use super::*;

/// The characters that change the direction of the text behind them.
const STEERING: [char; 9] = [
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}',
    '\u{2069}',
];

fn subject_of(template: &str, name: &str) -> Result<String, RenderError> {
    let set = set(Channel::Email, &[("subject", template), ("text", "{{name}}")]);
    let data = serde_json::json!({ "name": name, "list": [name], "by": {name: 1}, "more": {"name": name} });
    match render(&set, &data.to_string())? {
        Content::Email { subject, text, .. } => {
            let lines = name.replace("\r\n", "\n").replace(['\u{7}', '\u{9b}'], "");
            let lines = lines.replace(STEERING, "");
            assert_eq!(
                text, lines,
                "a body keeps all but controls and changes of direction"
            );
            Ok(subject)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_cannot_change_the_direction_of_a_subject_or_hide_text_in_it() {
    for (name, shown) in [
        ("\u{202e}gpj.exe", "gpj.exe"),
        ("a\u{202a}b\u{202c}c\u{202d}d", "abcd"),
        ("a\u{2066}b\u{2067}c\u{2068}d\u{2069}e", "abcde"),
        ("א\u{2067}ב", "אב"),
        ("a\u{200e}\u{200f}\u{61c}b", "ab"),
        ("zero\u{200b}width\u{feff}\u{ad}\u{2060}", "zerowidth"),
        ("tag\u{e0041}", "tag"),
        ("filler\u{3164}", "filler"),
        ("bell\u{7}\u{9b}31m", "bell 31m"),
        ("one\r\nBcc: two", "one Bcc: two"),
        ("Größe e\u{301}", "Größe e\u{301}"),
        (
            "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
            "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
        ),
        ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ("שלום\u{200f}!", "שלום\u{200f}!"),
    ] {
        for template in [
            "Hi {{name}}.",
            "Hi {{data.name}}.",
            "Hi {{#each list}}{{this}}{{/each}}.",
            "Hi {{#each by}}{{@key}}{{/each}}.",
            "Hi {{#with more}}{{name}}{{/with}}.",
            "Hi {{lookup list 0}}.",
        ] {
            assert_eq!(
                subject_of(template, name).unwrap(),
                format!("Hi {shown}."),
                "{template} {name:?}"
            );
        }
    }
}

#[test]
fn a_text_in_a_language_brings_no_control_of_direction_from_data_into_a_subject() {
    let mut set = set(
        Channel::Email,
        &[("subject", "{{t \"hello\" name=name}}"), ("text", "x")],
    );
    set.locales.insert(
        "en".to_owned(),
        "hello = Hello \u{2068}{ $name }\u{2069}".to_owned(),
    );
    let Content::Email { subject, .. } = render(&set, "{\"name\": \"\\u2069\\u202eadA\"}").unwrap() else {
        panic!("no e-mail")
    };
    assert_eq!(
        subject, "Hello \u{2068}adA\u{2069}",
        "the author's own isolates stay"
    );
}

#[test]
fn the_title_of_a_notification_is_a_line_too() {
    let set = set(Channel::Push, &[("title", "Hi {{name}}"), ("body", "b")]);
    let Content::Push { title, .. } = render(&set, "{\"name\": \"\\u202eevE\\u2067\"}").unwrap() else {
        panic!("no push")
    };
    assert_eq!(title, "Hi evE");
}

#[test]
fn data_cannot_turn_the_sentences_of_a_body_round_or_bring_controls_into_it() {
    let name = format!(
        "A{}\0\u{7}\u{200f}B\u{200d}\u{ad}\r\n\tc",
        STEERING.iter().collect::<String>()
    );
    let shown = "A\u{200f}B\u{200d}\u{ad}\n\tc";
    let data = serde_json::json!({ "name": name, "by": {name.as_str(): 1} }).to_string();
    let template = "<{{name}}|{{#each by}}{{@key}}{{/each}}|{{t \"hello\" name=name}}>";
    let expected = format!("<{shown}|{shown}|Hello \u{2068}{shown}\u{2069}>");
    let rendered = |channel, parts: &[(&str, &str)]| {
        let mut set = set(channel, parts);
        let hello = "hello = Hello \u{2068}{ $name }\u{2069}".to_owned();
        set.locales.insert("en".to_owned(), hello);
        render(&set, &data).unwrap()
    };
    let html = "<p>{{name}}</p>";
    match rendered(
        Channel::Email,
        &[("subject", "s"), ("text", template), ("html", html)],
    ) {
        Content::Email { text, html, .. } => {
            assert_eq!(text, expected, "the author's own isolates stay");
            assert_eq!(html.unwrap(), format!("<p>{shown}</p>"));
        }
        other => panic!("{other:?}"),
    }
    match rendered(
        Channel::Push,
        &[("title", "t"), ("body", template), ("data.name", "{{name}}")],
    ) {
        Content::Push { body, data, .. } => {
            assert_eq!(body, expected);
            assert_eq!(data["name"], name, "data for programs is not changed");
        }
        other => panic!("{other:?}"),
    }
    let (hebrew, sms) = (
        "\u{5d0} \u{2067}b\u{2069} \u{202e}c",
        "Hi {{name}} \u{2067}d\u{2069}.",
    );
    let set = set(Channel::Sms, &[("text", sms)]);
    match render(&set, &serde_json::json!({ "name": hebrew }).to_string()).unwrap() {
        Content::Sms { text } => assert_eq!(text, "Hi \u{5d0} b c \u{2067}d\u{2069}."),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_subject_that_is_blank_is_refused_and_its_part_is_named() {
    for name in [
        "",
        " ",
        "\u{a0}\t",
        "\u{200b}",
        "\u{202e}\u{202c}",
        "\u{3164}\u{2060}",
        "\0",
    ] {
        let error = subject_of("{{name}}", name).unwrap_err();
        assert_eq!(
            error,
            RenderError::Blank {
                template: "A/email".into(),
                part: "subject".into()
            },
            "{name:?}"
        );
        assert_eq!(
            (error.code(), &*error.pointer()),
            ("template-blank", "/parts/subject")
        );
        assert_eq!(
            error.to_string(),
            "A/email: the subject is blank; expected at least one visible character"
        );
    }
    assert_eq!(subject_of("{{name}}", "!").unwrap(), "!");
    let error = sms("{{name}}", &serde_json::json!({"name": " \u{200b}"})).unwrap_err();
    assert_eq!(
        (error.code(), &*error.pointer()),
        ("template-blank", "/parts/text")
    );
}

#[test]
fn data_brings_no_control_character_into_a_mail_and_every_line_break_is_one_of_mail() {
    let set = set(
        Channel::Email,
        &[
            ("subject", "Hi"),
            ("text", "{{name}}."),
            ("html", "<p>{{name}}</p>"),
        ],
    );
    for (name, shown) in [
        ("a\rb", "a\nb"),
        ("a\r\nb\r\r\nc", "a\nb\n\nc"),
        ("a\0b\u{1}\u{7f}", "ab"),
        ("é\0\u{1b}[31m", "é[31m"),
        ("tab\tand\nline", "tab\tand\nline"),
    ] {
        let data = serde_json::json!({ "name": name }).to_string();
        match render(&set, &data).unwrap() {
            Content::Email { text, html, .. } => {
                assert_eq!(text, format!("{shown}."));
                assert_eq!(html.unwrap(), format!("<p>{shown}</p>"));
            }
            other => panic!("{other:?}"),
        }
    }
}
