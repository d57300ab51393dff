//! The engine's output equals that of handlebars, whose syntax and semantics it follows. Only an object, which
//! handlebars writes as `[object]`, is an error here.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use carillon_domain::Channel;
use carillon_render::{Content, Engine, PartialDef, Parts, Rendered, TemplateDef, TemplateSet};
use handlebars::Handlebars;
use serde_json::{Value, json};
use support::request;

const PARTIALS: [(&str, &str); 4] = [
    ("row", "<{{label}}={{value}} {{a}}>"),
    ("box", "[{{title}}:{{> @partial-block}}]"),
    (
        "outer",
        "({{#> box title=\"inner\"}}{{> @partial-block}}{{/box}})",
    ),
    ("fallback", "{{#> @partial-block}}nothing{{/@partial-block}}"),
];

fn ours(template: &str, data: &Value) -> String {
    let def = |(name, text): &(&str, &str)| PartialDef {
        name: (*name).to_owned(),
        parts: Parts::from([("html".to_owned(), (*text).to_owned())]),
    };
    let set = TemplateSet {
        templates: vec![TemplateDef {
            event_type: "A".to_owned(),
            channel: Channel::Email,
            locale: None,
            version: 1,
            // Without the visible character, an output of tags alone would be left out.
            parts: [
                ("subject", "s"),
                ("text", "t"),
                ("html", &*format!("{template}x")),
            ]
            .map(|(part, text)| (part.to_owned(), text.to_owned()))
            .into(),
        }],
        partials: PARTIALS.iter().map(def).collect(),
        ..TemplateSet::default()
    };
    let rendered = Engine::compile(&set).render(&request(Channel::Email, &data.to_string()));
    match rendered {
        Ok(Rendered {
            content: Content::Email { html: Some(html), .. },
            ..
        }) => html.strip_suffix('x').unwrap().to_owned(),
        other => panic!("{template}: {other:?}"),
    }
}

fn theirs(template: &str, data: &Value) -> String {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.set_prevent_indent(true);
    for (name, text) in PARTIALS {
        registry.register_partial(name, text).unwrap();
    }
    registry.render_template(template, data).unwrap()
}

#[test]
fn templates_render_as_handlebars_renders_them() {
    let data = json!({
        "a": "A<&>", "b": true, "c": null, "n": 0, "m": 1.5, "list": [1, 2, 3], "none": [], "text": "",
        "people": [{"name": "Ada", "tags": ["x", "y"]}, {"name": "Bob", "tags": []}],
        "map": {"k1": {"v": 1}, "k2": {"v": 2}}, "deep": {"er": {"est": "down"}}, "with space": "ws",
    });
    for template in [
        "{{a}} {{b}} {{c}} {{n}} {{m}} {{list}}",
        "{{deep.er.est}} {{this.a}} {{./a}} {{@root.a}} {{[with space]}} {{deep/er/est}} {{list.[1]}} {{list.0}}",
        "{{#if a}}1{{/if}}{{#if n}}2{{/if}}{{#if n includeZero=true}}3{{/if}}{{#if text}}4{{else}}5{{/if}}",
        "{{#if c}}1{{else if b}}2{{else}}3{{/if}}{{#unless none}}4{{/unless}}{{#if c}}x{{^}}5{{/if}}",
        "{{#each list}}{{this}}{{@index}}{{@first}}{{@last}};{{/each}}",
        "{{#each none}}x{{else}}empty{{/each}}{{#each none}}x{{/each}}",
        "{{#each people}}{{name}}:{{#each tags}}{{this}}{{../name}}{{@index}}{{@../index}}{{/each}};{{/each}}",
        "{{#each people as |person at|}}{{at}}{{person.name}}{{#each person.tags as |tag|}}{{tag}}{{person.name}}{{/each}}{{/each}}",
        "{{#each map}}{{@key}}={{v}} {{../a}} {{/each}}{{#each map as |it key|}}{{key}}{{it.v}}{{/each}}",
        "{{#with deep}}{{er.est}}{{../a}}{{#with er}}{{est}}{{../../a}}{{/with}}{{/with}}",
        "{{#with deep.er as |it|}}{{it.est}}{{/with}}{{#with text}}x{{else}}y{{/with}}",
        "{{lookup list 1}} {{lookup map.k2 \"v\"}} {{#each list}}{{lookup ../list @index}}{{/each}}",
        "{{#with (lookup map \"k1\")}}{{v}}{{/with}} {{#each (lookup people 0)}}{{@key}}{{/each}}",
        "{{eq a \"A<&>\"}} {{ne n 0}} {{gt m 1}} {{gte 1 1}} {{lt \"a\" \"b\"}} {{lte 2 1}} {{gt \"10\" 9}} {{lt 1 \"x\"}}",
        "{{and a b}} {{or c n}} {{not c}} {{len list}} {{len map}} {{len a}} {{#if (and b (not c))}}y{{/if}}",
        "{{#eq n 0}}zero{{else}}other{{/eq}}{{#not b}}x{{else}}y{{/not}}",
        "{{> row label=\"l\" value=a}} {{> row map.k1 label=1 value=2 a=3}}",
        "{{#each people}}{{> row label=name value=@index a=../a}}{{/each}}",
        "{{#> box title=\"T\"}}{{title}}{{a}}{{/box}}{{#> outer}}{{a}}{{/outer}}",
        "{{> fallback}} {{#> fallback}}given{{/fallback}}",
        "{{{{raw}}}} {{not}} {{#if}} {{{{/raw}}}}",
        "x {{~a~}} y\n{{#if b}}\n  line\n{{/if}}\nz\n{{!-- note --}}\n{{! note }}\nend",
        "\\{{a}} {{\"literal\"}}".split_at(5).0,
        "{{#each list}}\n  - {{this}}\n{{/each}}\n",
    ] {
        assert_eq!(ours(template, &data), theirs(template, &data), "{template}");
    }
}
