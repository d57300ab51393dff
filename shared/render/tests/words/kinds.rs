//! Parameters whose kind their helper never takes, by the type's schema or because Carillon itself makes the value.

use serde_json::{Value, json};

use super::*;

/// The gate's findings about a text message, with the texts that it may use.
fn found(template: &str, schema: Option<&Value>) -> Vec<String> {
    let ftl = "k = { $n }\nnumber = { NUMBER($n) }\nday = { DATETIME($n) }\nat = { DATETIME($n, timeStyle: \"short\") }\n\
               outer = { number }\n";
    let set = with_texts(template, &[("en", ftl)]);
    let engine = Engine::compile(&set);
    assert_eq!(engine.issues(), [], "{template}");
    let issues = engine.unfit_parts(&set, |_| schema);
    issues.into_iter().map(|it| it.message).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn a_value_that_carillon_makes_is_refused_where_its_kind_is_never_accepted() {
    for (template, says) in [
        (
            "{{number event.time}}",
            "event.time is a text of the format date-time: expected a number",
        ),
        ("{{number locale}}", "locale is a language tag: expected a number"),
        (
            "{{money timezone \"EUR\"}}",
            "timezone is the name of a timezone: expected an amount such as 129.90",
        ),
        (
            "{{money locale \"EUR\"}}",
            "locale is a language tag: expected an amount such as 129.90",
        ),
        (
            "{{money 5 locale}}",
            "locale is a language tag: expected an ISO 4217 code such as EUR",
        ),
        (
            "{{money 5 event.time}}",
            "event.time is a text of the format date-time: expected an ISO 4217 code such as EUR",
        ),
        (
            "{{date locale}}",
            "locale is a language tag: expected a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{date event.time locale}}",
            "locale is a language tag: expected a date style: short, long, full, time or datetime",
        ),
        (
            "{{date (len carrier)}}",
            "len carrier is a whole number: expected a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{date (eq a b)}}",
            "eq a b is true or false: expected a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        ("{{number (not a)}}", "not a is true or false: expected a number"),
        (
            "{{number (date event.time)}}",
            "date event.time is a date in the words of the reader's language: expected a number",
        ),
        (
            "{{number (money a \"EUR\")}}",
            "money a \"EUR\" is an amount of money in the format of the reader's language: expected a number",
        ),
        (
            "{{url (encode a)}}",
            "encode a is a percent-encoded text: expected a link that begins with https://, http://, mailto: or tel:",
        ),
        (
            "{{url event.time}}",
            "event.time is a text of the format date-time: expected a link that begins with https://, http://, mailto: or tel:",
        ),
        (
            "{{url event.type}}",
            "event.type is \"A\": expected a link that begins with https://, http://, mailto: or tel:",
        ),
        ("{{number event.type}}", "event.type is \"A\": expected a number"),
        (
            "{{number delivery.id}}",
            "delivery.id is a text of the format uuid: expected a number",
        ),
        (
            "{{len (len a)}}",
            "len a is a whole number: expected a list, an object or a text, which have a length",
        ),
        (
            "{{#each locale}}x{{/each}}",
            "locale is a text: expected a list or an object",
        ),
        (
            "{{#each (len a)}}x{{/each}}",
            "len a is a whole number: expected a list or an object",
        ),
        (
            "{{#each (t \"k\" n=1)}}x{{/each}}",
            "t \"k\" is a text: expected a list or an object",
        ),
        (
            "{{#each a}}{{date @index}}{{/each}}",
            "@index is a whole number: expected a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{#each a}}{{number @first}}{{/each}}",
            "@first is true or false: expected a number",
        ),
        (
            "{{t @root.locale.x}}",
            "@root.locale.x never has a value: locale is a text, which has no field x; write data.locale.x for a field of the event's data",
        ),
        (
            "{{t (len a)}}",
            "len a is a whole number: expected the key of a text",
        ),
        (
            "{{t \"number\" n=locale}}",
            "locale is a language tag: expected a number",
        ),
        (
            "{{t \"outer\" n=locale}}",
            "locale is a language tag: expected a number",
        ),
        (
            "{{t \"day\" n=(len a)}}",
            "len a is a whole number: expected a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{#each event}}{{this.x}}{{/each}}",
            "this.x never has a value: an item of event is a text, which has no field x",
        ),
        (
            "{{#each event as |field|}}{{field.x}}{{/each}}",
            "field.x never has a value: field is a text, which has no field x",
        ),
        (
            "{{#each user}}{{#each this}}x{{/each}}{{/each}}",
            "this is a text: expected a list or an object",
        ),
        (
            "{{#with event}}{{number time}}{{/with}}",
            "time is a text of the format date-time: expected a number",
        ),
        (
            "{{lookup locale 0}}",
            "lookup locale 0 never has a value: locale is a text, which has no items by number",
        ),
        (
            "{{lookup event \"tiem\"}}",
            "lookup event \"tiem\" never has a value: event has only the fields id, source, time, type",
        ),
        (
            "{{lookup (len a) 0}}",
            "lookup len a 0 never has a value: len a is a whole number, which has no items by number",
        ),
        (
            "{{#if a}}{{number locale}}{{/if}}",
            "locale is a language tag: expected a number",
        ),
        (
            "{{unsubscribe_url}}",
            "unsubscribe_url never has a value: no message has one at present; ask for it with {{#if unsubscribe_url}}",
        ),
    ] {
        let expected = says.replace("lookup len a 0", "lookup (len a) 0");
        assert_eq!(found(template, None), [expected], "{template}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn a_value_is_refused_if_no_value_that_fits_its_schema_is_accepted_there() {
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "$defs": {"word": {"type": "string", "format": "uuid"}},
        "properties": {
            "carrier": {"type": "string"},
            "status": {"enum": ["new", "sent"]},
            "fixed": {"const": "DHL"},
            "day": {"type": "string", "format": "date"},
            "mail": {"type": "string", "format": "email"},
            "short": {"type": "string", "maxLength": 5},
            "word": {"$ref": "#/$defs/word"},
            "either": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "both": {"allOf": [{"type": ["string", "boolean"]}, {"type": ["boolean", "null"]}]},
            "list": {"type": "array", "items": {"type": "object"}},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": false},
            "few": {"type": "array", "maxItems": 2},
            "box": {"type": "object", "additionalProperties": false, "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}},
            "gone": false,
            "count": {"type": "integer"},
        },
    });
    for (template, says) in [
        (
            "{{number status}}",
            "status is one of \"new\", \"sent\" by the schema of A: expected a number",
        ),
        (
            "{{number fixed}}",
            "fixed is \"DHL\" by the schema of A: expected a number",
        ),
        (
            "{{date fixed}}",
            "fixed is \"DHL\" by the schema of A: expected a date",
        ),
        (
            "{{money 5 status}}",
            "status is one of \"new\", \"sent\" by the schema of A: expected an ISO 4217 code",
        ),
        (
            "{{number day}}",
            "day is a text of the format date by the schema of A: expected a number",
        ),
        (
            "{{date day \"time\"}}",
            "day is a text of the format date by the schema of A: expected a date with its time",
        ),
        (
            "{{t \"at\" n=day}}",
            "day is a text of the format date by the schema of A: expected a date with its time",
        ),
        (
            "{{url mail}}",
            "mail is a text of the format email by the schema of A: expected a link",
        ),
        (
            "{{date short}}",
            "short is a text of at most 5 characters by the schema of A: expected a date",
        ),
        (
            "{{number word}}",
            "word is a text of the format uuid by the schema of A: expected a number",
        ),
        (
            "{{date either}}",
            "either is true or false or null by the schema of A: expected a date",
        ),
        (
            "{{number both}}",
            "both is true or false by the schema of A: expected a number",
        ),
        (
            "{{t \"number\" n=either}}",
            "either is true or false or null by the schema of A: expected a number",
        ),
        (
            "{{t count}}",
            "count is a whole number by the schema of A: expected the key of a text",
        ),
        (
            "{{#each carrier}}x{{/each}}",
            "carrier is a text by the schema of A: expected a list or an object",
        ),
        (
            "{{lookup carrier 0}}",
            "carrier is a text, which has no items by number",
        ),
        (
            "{{lookup list \"first\"}}",
            "list is a list, which has no fields by name",
        ),
        (
            "{{lookup list \"0\"}}",
            "list is a list, which has no fields by name",
        ),
        (
            "{{lookup box 0}}",
            "box is an object, which has no items by number",
        ),
        ("{{lookup box \"c\"}}", "box has only the fields a, b"),
        (
            "{{lookup box count}}",
            "box is an object, which has no items by number",
        ),
        ("{{lookup few 2}}", "few has at most 2 items"),
        ("{{few.2}}", "few has at most 2 items"),
        ("{{pair.2}}", "pair has at most 2 items"),
        (
            "{{number pair.1}}",
            "pair.1 is true or false by the schema of A: expected a number",
        ),
        (
            "{{gone}}",
            "gone never has a value by the schema of A: the event's data has no field gone",
        ),
        (
            "{{list}}",
            "list is a list of objects by the schema of A: expected {{#each list}}",
        ),
        (
            "{{#each box}}{{this.x}}{{/each}}",
            "an item of box is a whole number or a text, which has no field x",
        ),
        (
            "{{#each box}}{{#each this}}x{{/each}}{{/each}}",
            "this is a whole number or a text by the schema of A",
        ),
    ] {
        let found = found(template, Some(&schema));
        assert_eq!(found.len(), 1, "{template}: {found:?}");
        assert!(found[0].contains(says), "{template}: {found:?}");
    }
    for fine in [
        "{{number carrier}} {{date carrier}} {{url carrier}} {{money count carrier}} {{date day}} {{number short}}",
        "{{lookup pair 1}} {{lookup few 1}} {{lookup box \"a\"}} {{lookup box carrier}} {{lookup list count}} {{box.a}}",
        "{{number (number count)}} {{number (encode carrier)}} {{date (encode carrier)}} {{len carrier}} {{len list}}",
        "{{#each pair}}{{this}}{{/each}}{{#each box}}{{this}} {{@key}} {{number @index}}{{/each}}",
        "x {{#if nickname}}{{date count}}{{/if}}{{#if unsubscribe_url}}{{url unsubscribe_url}}{{/if}}",
        "{{date event.time \"time\"}} {{t \"day\" n=day}} {{t \"at\" n=event.time}} {{t carrier}} {{event.type}} {{timezone}}",
    ] {
        assert_eq!(found(fine, Some(&schema)), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn a_partial_is_judged_with_the_values_and_the_block_that_it_is_given() {
    let schema = json!({"type": "object", "properties": {
        "nothing": {"type": "null"}, "gift": {"const": false}, "list": {"type": "array"}, "box": {"type": "object"},
        "pairs": {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
    }});
    for (template, says) in [
        ("{{> amount n=\"abc\"}}", "n is \"abc\": expected a number"),
        ("{{> amount n=true}}", "n is true or false: expected a number"),
        ("{{> amount n=locale}}", "n is a language tag: expected a number"),
        (
            "{{> around}}",
            "expected the partial to be included with a block: {{#> …}}",
        ),
        (
            "{{> @partial-block}}",
            "expected {{> @partial-block}} only in a partial, which is included with a block",
        ),
        (
            "{{#with nothing}}x{{/with}}",
            "it is always blank: expected at least one visible character",
        ),
        (
            "{{#with gift}}x{{/with}}",
            "it is always blank: expected at least one visible character",
        ),
        (
            "{{#each nothing}}x{{/each}}",
            "nothing is null by the schema of A: expected a list or an object",
        ),
        (
            "{{len nothing}}",
            "nothing is null by the schema of A: expected a list, an object or a text, which have a length",
        ),
        (
            "{{#each list as |item at|}}{{date at}}{{/each}}",
            "at is a whole number: expected a date (2026-11-24) or a time (2026-11-24T10:00:00Z)",
        ),
        (
            "{{#each box as |item key|}}{{key.x}}{{/each}}",
            "key.x never has a value: key is a text, which has no field x",
        ),
        (
            "{{pairs}}",
            "pairs is a list of objects by the schema of A: expected {{#each pairs}}",
        ),
    ] {
        let mut set = with_texts(template, &[]);
        for (name, text) in [("amount", "{{number n}}"), ("around", "{{> @partial-block}}")] {
            set.partials.push(PartialDef {
                name: name.to_owned(),
                parts: Parts::from([("text".to_owned(), text.to_owned())]),
            });
        }
        let found = Engine::compile(&set).unfit_parts(&set, |_| Some(&schema));
        let said: Vec<_> = found.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(said, [says], "{template}");
    }
    for fine in [
        "{{> amount n=5}}{{> amount n=\"5\"}}{{#> around}}x{{/around}}{{#if (len nothing)}}x{{/if}}",
        "{{#with nothing}}x{{else}}y{{/with}}{{#each nothing}}x{{else}}y{{/each}}{{lookup this \"locale\"}}{{#with this}}{{locale}}{{/with}}",
    ] {
        let mut set = with_texts(fine, &[]);
        for (name, text) in [("amount", "{{number n}}"), ("around", "{{> @partial-block}}")] {
            set.partials.push(PartialDef {
                name: name.to_owned(),
                parts: Parts::from([("text".to_owned(), text.to_owned())]),
            });
        }
        let found = Engine::compile(&set).unfit_parts(&set, |_| Some(&schema));
        assert_eq!(found, [], "{fine}");
    }
}

#[test]
fn a_loop_variable_of_more_levels_than_there_are_loops_is_refused_as_such() {
    for (template, says) in [
        (
            "{{#each a}}{{@../index}}{{/each}}",
            "@../index never has a value: it reaches further out than the loops around it; write @index or fewer ../",
        ),
        (
            "{{#each a}}{{#with b}}{{@../../first}}{{/with}}{{/each}}",
            "@../../first never has a value: it reaches further out than the loops around it; write @first or fewer ../",
        ),
        (
            "{{@../index}}",
            "@../index never has a value: it is set only inside {{#each}}",
        ),
        (
            "{{@../key}}",
            "@../key never has a value: it is set only in a loop over an object",
        ),
    ] {
        assert_eq!(found(template, None), [says], "{template}");
    }
    let data = json!({"a": [1], "b": {"c": 1}});
    let error = sms("{{#each a}}{{@../index}}{{/each}}", &data)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(
            "@../index, which reaches further out than the loops around it; write @index or fewer ../"
        ),
        "{error}"
    );
}
