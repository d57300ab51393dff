//! The places of an HTML part in which the publish gate takes and refuses variables.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod blocks;
#[path = "../support/mod.rs"]
mod support;

use carillon_domain::Channel;
use carillon_render::{Content, Engine, PartialDef, Parts, TemplateDef, TemplateIssue, TemplateSet};

fn set(html: &str, partials: &[(&str, &str)]) -> TemplateSet {
    TemplateSet {
        templates: vec![TemplateDef {
            event_type: "A".to_owned(),
            channel: Channel::Email,
            locale: None,
            version: 1,
            parts: [("subject", "s"), ("text", "t"), ("html", html)]
                .map(|(part, text)| (part.to_owned(), text.to_owned()))
                .into(),
        }],
        partials: partials
            .iter()
            .map(|(name, text)| PartialDef {
                name: (*name).to_owned(),
                parts: Parts::from([("html".to_owned(), (*text).to_owned())]),
            })
            .collect(),
        locales: [("en".to_owned(), "m = said { $x }\n".to_owned())].into(),
        ..TemplateSet::default()
    }
}

fn errors(html: &str, partials: &[(&str, &str)]) -> Vec<TemplateIssue> {
    Engine::validate(&set(html, partials)).errors
}

/// Checks that a template has one error, with this code, on its second line, whose sentence contains these words.
fn is_refused(html: &str, code: &str, words: &str) {
    let found = errors(&format!("<p>one</p>\n{html}"), &[]);
    let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found.iter().map(|it| it.code).collect::<Vec<_>>(),
        [code],
        "{html}: {shown:?}"
    );
    let start = "A/email html line 2: expected ";
    assert!(
        shown[0].starts_with(start) && shown[0].contains(words),
        "{html}: {}",
        shown[0]
    );
}

fn is_taken(html: &str, partials: &[(&str, &str)]) {
    let shown: Vec<_> = errors(&format!("one {html}"), partials)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, [""; 0], "{html}");
}

#[test]
fn a_variable_in_a_name_a_script_a_style_or_a_comment_is_refused_with_its_place() {
    let place = "unsafe-place";
    for (html, code, words) in [
        ("<{{x}}>y", place, "the name of a tag"),
        ("<b{{x}}>y", place, "the name of a tag"),
        ("</{{x}}>", place, "the name of a tag"),
        ("<p {{x}}>", place, "names of the attributes of <p>"),
        ("<p {{x}}=\"y\">", place, "names of the attributes of <p>"),
        ("<p data-{{x}}=\"y\">", place, "names of the attributes of <p>"),
        ("<p title {{x}}>", place, "names of the attributes of <p>"),
        ("<p title=\"y\"{{x}}>", place, "names of the attributes of <p>"),
        ("<p title=\"a>b\" {{x}}>", place, "names of the attributes of <p>"),
        (
            "<img src=\"https://s/\" {{#if x}}{{x}}{{/if}}>",
            place,
            "names of the attributes of <img>",
        ),
        ("<br/{{x}}>", place, "names of the attributes of <br>"),
        ("<script>{{x}}</script>", "unsafe-script", "in <script>"),
        ("<script>f(\"{{x}}\")</script>", "unsafe-script", "in <script>"),
        (
            "<SCRIPT type=\"a\">f('{{x}}')</SCRIPT>",
            "unsafe-script",
            "in <script>",
        ),
        ("<script>a</b {{x}}</script>", "unsafe-script", "in <script>"),
        ("<script>a</{{x}}></script>", "unsafe-script", "in <script>"),
        ("<scr\u{1}ipt>{{x}}</script>", "unsafe-script", "in <script>"),
        ("<style>.a { color: {{x}} }</style>", place, "in <style>"),
        ("<style>a</styles>{{x}}</style>", place, "in <style>"),
        ("<xmp>{{x}}</xmp>", place, "in <xmp>"),
        ("<iframe>{{x}}</iframe>", place, "in <iframe>"),
        ("<noscript>{{x}}</noscript>", place, "in <noscript>"),
        ("<title></ti{{x}}></title>", place, "the name of a tag"),
        ("<!-- {{x}} -->", place, "an HTML comment"),
        ("<!-- a --!{{x}}> -->", place, "an HTML comment"),
        ("<!-- > {{x}} -->", place, "an HTML comment"),
        ("<!doctype {{x}}>", place, "a declaration"),
        ("<!--[if {{x}}]>a<![endif]-->", place, "a declaration"),
        (
            "<!--[if mso]><style>{{x}}</style><![endif]-->",
            place,
            "in <style>",
        ),
        ("<?xml {{x}}?>", place, "a declaration"),
    ] {
        is_refused(html, code, words);
    }
}

#[test]
fn a_variable_in_an_attribute_that_is_not_known_to_be_harmless_or_has_no_quotes_is_refused() {
    let place = "unsafe-place";
    for (html, code, words) in [
        ("<p style=\"color:{{x}}\">", place, "in style of <p>"),
        ("<p STYLE = '{{x}}'>", place, "in style of <p>"),
        ("<p style={{x}}>", place, "in style of <p>"),
        (
            "<iframe srcdoc=\"{{x}}\"></iframe>",
            place,
            "in srcdoc of <iframe>",
        ),
        ("<iframe src=\"{{url x}}\"></iframe>", place, "in src of <iframe>"),
        ("<script src=\"{{url x}}\"></script>", place, "in src of <script>"),
        (
            "<link rel=\"stylesheet\" href=\"{{url x}}\">",
            place,
            "in href of <link>",
        ),
        ("<base href=\"{{url x}}\">", place, "in href of <base>"),
        ("<object data=\"{{url x}}\">", place, "in data of <object>"),
        ("<embed src=\"{{url x}}\">", place, "in src of <embed>"),
        (
            "<param name=\"movie\" value=\"{{x}}\">",
            place,
            "in value of <param>",
        ),
        (
            "<meta http-equiv=\"refresh\" content=\"0;url={{x}}\">",
            place,
            "in content of <meta>",
        ),
        ("<a ping=\"{{url x}}\">", place, "in ping of <a>"),
        ("<img srcset=\"{{url x}} 2x\">", place, "in srcset of <img>"),
        (
            "<svg><use xlink:href=\"{{url x}}\">",
            place,
            "in xlink:href of <use>",
        ),
        ("<svg><set to=\"{{x}}\">", place, "in to of <set>"),
        ("<input type=\"{{x}}\">", place, "in type of <input>"),
        ("<p unknown=\"{{x}}\">", place, "in unknown of <p>"),
        ("<p onclick=\"f('{{x}}')\">", "unsafe-script", "in onclick of <p>"),
        (
            "<body onload='{{t \"m\" x=x}}'>",
            "unsafe-script",
            "in onload of <body>",
        ),
        ("<p ONCLICK={{x}}>", "unsafe-script", "in onclick of <p>"),
        (
            "<p title={{x}}>",
            "unquoted",
            "quotes around the value of title of <p>",
        ),
        (
            "<p title=a{{x}}>",
            "unquoted",
            "quotes around the value of title of <p>",
        ),
        (
            "<a href={{url x}}>",
            "unquoted",
            "quotes around the value of href of <a>",
        ),
    ] {
        is_refused(html, code, words);
    }
}

#[test]
fn a_link_begins_with_url_or_a_safe_scheme_and_goes_on_with_encode() {
    let begin = "{{url …}} at the beginning of";
    for (html, words) in [
        ("<a href=\"{{x}}\">", begin),
        ("<a href=\" {{x}}\">", begin),
        ("<a href=\"\t{{encode x}}\">", begin),
        ("<a HREF='{{t \"m\" x=x}}'>", begin),
        ("<svg><a xlink:href=\"{{x}}\">", begin),
        ("<img src=\"{{x}}\">", begin),
        ("<video poster=\"{{x}}\">", begin),
        ("<form action=\"{{x}}\">", begin),
        ("<button formaction=\"{{x}}\">", begin),
        ("<td background=\"{{x}}\">", begin),
        ("<blockquote cite=\"{{x}}\">", begin),
        ("<a href=\"https://s.example/{{x}}\">", "{{encode …}} inside href"),
        (
            "<a href=\"https://s.example/?u={{url x}}\">",
            "{{encode …}} inside href",
        ),
        ("<a href=\"{{url x}}?y={{y}}\">", "{{encode …}} inside href"),
        (
            "<a href=\"javascript:f('{{encode x}}')\">",
            "to begin with https:",
        ),
        (
            "<a href=\"java\tscript:f('{{encode x}}')\">",
            "to begin with https:",
        ),
        (
            "<a href=\"&#106;avascript:{{encode x}}\">",
            "to begin with https:",
        ),
        (
            "<a href=\"javascript&colon;{{encode x}}\">",
            "to begin with https:",
        ),
        ("<a href=\"data:text/html,{{encode x}}\">", "to begin with https:"),
        ("<a href=\"java{{encode x}}\">", "to begin with https:"),
    ] {
        is_refused(html, "unsafe-link", words);
    }
    for html in [
        "<a href=\"{{url x}}\">a</a>",
        "<a href='{{url x}}?y={{encode y}}'>a</a>",
        "<a href=\" HTTPS://s.example/{{encode x}}?y={{encode y}}#{{encode z}}\">a</a>",
        "<a href=\"mailto:{{encode x}}\">a</a><a href=\"tel:{{encode x}}\">a</a>",
        "<a href=\"/orders/{{encode x}}\">a</a><a href=\"#{{encode x}}\">a</a>",
        "<img src=\"{{url x}}\" alt=\"{{y}}\"><td background=\"{{url x}}\">",
        "<form action=\"{{url x}}\"><button formaction=\"{{url y}}\">a</button></form>",
        "<svg><a xlink:href=\"{{url x}}\">a</a></svg><video poster=\"{{url x}}\"></video>",
    ] {
        is_taken(html, &[]);
    }
}

#[test]
fn variables_are_accepted_in_text_in_titles_and_between_the_quotes_of_harmless_attributes() {
    for html in [
        "{{x}}",
        "<!doctype html><html lang=\"{{locale}}\"><head><title>{{x}} < {{y}}</title></head><p>{{x}}</p></html>",
        "<textarea rows=\"{{n}}\"><b>{{x}}</b></textarea>{{y}}",
        "1 < {{x}} <",
        "a < b {{x}} <3 {{y}} & {{z}}",
        "<style>p > a { color: red } /* </p> */</style>{{x}}<script>if (a < b) { f(\"</p>\") }</script >{{y}}",
        "<p title=\"{{x}}\" class='a {{x}} b' id=\"i-{{n}}\" dir=\"{{d}}\" aria-label=\"{{x}}\" style=\"color:red\">{{x}}",
        "<img alt='{{x}}' width=\"{{n}}\" height=\"{{n}}\" src=\"https://s.example/a.png\"/>{{x}}",
        "<td colspan=\"{{n}}\" bgcolor=\"{{c}}\" title=\"a > b, {{x}}\" nowrap>{{x}}</td>",
        "<input type=\"text\" value=\"{{x}}\" placeholder=\"{{t \"m\" x=x}}\">",
        "<p title=\"{{t \"m\" x=x}}\">{{t \"m\" x=(date at)}}</p>",
        "<!-- a -- b --><!----><!--> {{x}} <!-- > <p {{!-- a comment of the template --}} -->{{x}}",
        "<!--[if mso]><v:roundrect href=\"{{url x}}\" style=\"height:40px\"><center>{{y}}</center></v:roundrect><![endif]-->{{x}}",
        "<!--[if !mso]><!--><p>{{x}}</p><!--<![endif]-->{{y}}",
        "<p title=unquoted>{{x}}<br/>{{x}}<p title = 'a'title=\"{{x}}\">",
        "{{#each list}}<tr><td>{{this}}</td></tr>{{else}}<tr><td>{{x}}</td></tr>{{/each}}",
    ] {
        is_taken(html, &[]);
    }
}

#[test]
fn an_accepted_template_keeps_data_out_of_the_markup() {
    let html =
        "<title>{{x}}</title><p title='{{x}}'>{{x}}</p><a href=\"https://s.example/{{encode x}}\">a</a>";
    is_taken(html, &[]);
    let data = r#"{"x": "</title>'\"><script>"}"#;
    let rendered = Engine::compile(&set(html, &[]))
        .render(&support::request(Channel::Email, data))
        .unwrap();
    let Content::Email { html: Some(html), .. } = rendered.content else {
        panic!("no HTML")
    };
    let escaped = "&lt;/title&gt;&#39;&quot;&gt;&lt;script&gt;";
    assert_eq!(
        html,
        format!(
            "<title>{escaped}</title><p title='{escaped}'>{escaped}</p>\
             <a href=\"https://s.example/%3C%2Ftitle%3E%27%22%3E%3Cscript%3E\">a</a>"
        )
    );
}
