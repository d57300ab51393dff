//! Variables behind and inside of blocks and partials.

use super::{errors, is_refused, is_taken};

#[test]
fn a_variable_is_judged_on_every_path_through_the_blocks_before_it() {
    for html in [
        "<p{{#if a}} title=\"{{x}}\"{{else}} class=\"b\"{{/if}}>{{x}}",
        "<p {{#if a}}title=\"b\"{{/if}}>{{x}}",
        "<option {{#if a}}selected{{/if}} {{#if b}}disabled{{/if}} value=\"{{x}}\">",
        "<{{#if a}}h1{{else}}h2{{/if}} title=\"{{x}}\">{{x}}</{{#if a}}h1{{else}}h2{{/if}}>",
        "<p class=\"a{{#if a}} b{{/if}}{{#if b}} c{{/if}}{{#if c}} d{{/if}}{{#if d}} e{{/if}}{{#if e}} f{{/if}} {{x}}\">",
        "{{#if a}}<a href=\"{{url a}}\">{{/if}}{{x}}{{#if a}}</a>{{/if}}",
        "<a href=\"{{#if a}}{{url a}}{{else}}https://s.example/{{/if}}?x={{encode x}}\">",
        "<p title=\"{{#each list}}{{this}}, {{/each}}\">",
        "{{#if a}}<style>b{{else}}<style>c{{/if}}</style>{{x}}",
        "{{#with a}}<b title=\"{{x}}\">{{/with}}{{y}}",
    ] {
        is_taken(html, &[]);
    }
    let path = "on one path through the blocks before it";
    for (html, code, words) in [
        (
            "{{#if a}}<script>{{/if}}{{x}}{{#if a}}</script>{{/if}}",
            "unsafe-script",
            path,
        ),
        (
            "<p {{#unless a}}title=\"{{/unless}}{{x}}\">",
            "unsafe-place",
            path,
        ),
        ("<p title={{#if a}}\"{{/if}}{{x}}", "unquoted", path),
        (
            "<p {{#if a}}style{{else}}title{{/if}}=\"{{x}}\">",
            "unsafe-place",
            path,
        ),
        (
            "<{{#if a}}a{{else}}base{{/if}} href=\"{{url x}}\">",
            "unsafe-place",
            path,
        ),
        (
            "<a href=\"{{#if a}}https://s.example/{{/if}}{{encode x}}\">",
            "unsafe-link",
            path,
        ),
        (
            "<a href=\"{{#if a}}https://s.example/{{/if}}{{url x}}\">",
            "unsafe-link",
            path,
        ),
        ("{{#each list}}{{this}}<p title={{/each}}", "unquoted", path),
        ("{{#each list}}a{{else}}<p {{/each}}{{x}}", "unsafe-place", path),
        ("{{#with a}}a{{else}}<!-- {{/with}}{{x}}", "unsafe-place", path),
        ("{{#eq a b}}<style>{{/eq}}{{x}}", "unsafe-place", path),
        ("{{#if a}}<p {{x}}>{{/if}}", "unsafe-place", "attributes of <p>"),
        (
            "{{#if a}}a{{else if b}}<p {{x}}>{{/if}}",
            "unsafe-place",
            "attributes of <p>",
        ),
        (
            "<p {{#each list}}a{{/each}} title=\"{{x}}\">",
            "unsafe-place",
            "branches that end in the same place",
        ),
    ] {
        is_refused(html, code, words);
    }
}

#[test]
fn a_partial_is_judged_in_each_place_in_which_it_stands() {
    let partials = [
        ("word", "\n{{x}}"),
        ("link", "{{url x}}"),
        ("size", "width=\"{{x}}\""),
        ("box", "<p title=\"{{t \"m\" x=x}}\">{{> @partial-block}}</p>"),
        ("css", "<style>{{> @partial-block}}</style>"),
        ("outer", "{{#> box}}{{> @partial-block}}{{/box}}"),
        ("open", "<script>"),
    ];
    for html in [
        "{{> word}}<p title=\"{{> word}}\">",
        "<a href=\"{{> link}}\">a</a><img {{> size}} alt=\"{{x}}\">{{x}}",
        "{{#> outer}}{{x}}{{> word}}{{/outer}}{{#> css}}p { color: red }{{/css}}{{x}}",
        "{{> open}}f()</script>{{x}}",
    ] {
        is_taken(html, &partials);
    }
    for (html, expected) in [
        (
            "<p {{> word}}>",
            "A/email html line 2: in partials/word line 2, which stands here: expected no variable in the names of the attributes of <p>",
        ),
        (
            "<a href=\"{{> word}}\">",
            "A/email html line 2: in partials/word line 2, which stands here: expected {{url …}} at the beginning of href",
        ),
        (
            "{{#> css}}{{> word}}{{/css}}",
            "A/email html line 2: in partials/word line 2, which stands here: expected no variable in <style>",
        ),
        (
            "{{#> css}}{{x}}{{/css}}",
            "A/email html line 2: expected no variable in <style>",
        ),
        (
            "{{> open}}{{x}}",
            "A/email html line 2: expected no variable in <script>",
        ),
        (
            "{{#> outer}}<p {{x}}>{{/outer}}",
            "A/email html line 2: expected no variable in the names of the attributes of <p>",
        ),
    ] {
        let found = errors(&format!("one\n{html}"), &partials);
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "{html}: {shown:?}");
        assert!(shown[0].starts_with(expected), "{html}: {}", shown[0]);
    }
    // A partial that is wrong in text has one error, even if it is included often.
    let wrong = [("wrong", "a\nb\n<p {{x}}>"), ("around", "{{> wrong}}")];
    let found = errors("{{> wrong}}\n{{> around}}{{> around}}", &wrong);
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        shown[0].starts_with(
            "partials/wrong html line 3: expected no variable in the names of the attributes of <p>"
        ),
        "{}",
        shown[0]
    );
}

#[test]
fn partials_that_include_each_other_often_are_judged_in_bounded_time() {
    let names: Vec<String> = (0..8).map(|level| format!("p{level}")).collect();
    let found = |include: &dyn Fn(&str) -> String| {
        let texts: Vec<String> = (0..8)
            .map(|level| match names.get(level + 1) {
                Some(next) => include(next),
                None => "<b>{{x}}</b>{{#> @partial-block}}{{/@partial-block}}".to_owned(),
            })
            .collect();
        let partials: Vec<(&str, &str)> = names
            .iter()
            .zip(&texts)
            .map(|(name, text)| (&**name, &**text))
            .collect();
        errors("{{> p0}}", &partials)
    };
    assert_eq!(found(&|next| format!("{{{{> {next}}}}}").repeat(40)), []);
    let with_blocks = found(&|next| format!("{{{{#> {next}}}}}{{{{x}}}}{{{{/{next}}}}}").repeat(40));
    assert!(!with_blocks.is_empty());
    for error in with_blocks {
        assert!(error.message.contains("expected fewer blocks"), "{error}");
    }
    let deep = |next: &str| {
        let (open, close) = ("{{#if a}}".repeat(30), "{{/if}}".repeat(30));
        format!("{open}{{{{> {next}}}}}{close}")
    };
    assert_eq!(found(&deep), []);
}
