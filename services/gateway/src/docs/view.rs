//! The OpenAPI document in reading order.

use askama::filters::Escaper as _;
use serde_json::Value;

use crate::dashboard::foreign::Visible;

/// The whole reference.
pub(super) struct Reference {
    pub(super) sections: Vec<Section>,
    pub(super) schemas: Vec<Schema>,
    /// Answers that every operation may give.
    pub(super) shared: Vec<DocumentedAnswer>,
}

/// The operations of a tag.
pub(super) struct Section {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) operations: Vec<Operation>,
}

pub(super) struct Operation {
    pub(super) anchor: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) parameters: Vec<Field>,
    pub(super) bodies: Vec<Body>,
    pub(super) answers: Vec<DocumentedAnswer>,
}

/// A parameter, or a member of an object.
pub(super) struct Field {
    pub(super) name: String,
    /// The place of a parameter: `path`, `query` or `header`; empty for a member.
    pub(super) place: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) description: String,
}

/// A type, and the schema that it names.
pub(super) struct Kind {
    pub(super) text: String,
    pub(super) schema: Option<String>,
}

/// A request's body in one media type.
pub(super) struct Body {
    pub(super) media_type: String,
    pub(super) kind: Kind,
    pub(super) example: Option<String>,
}

pub(super) struct DocumentedAnswer {
    pub(super) status: String,
    pub(super) description: String,
    pub(super) bodies: Vec<Body>,
}

/// A named schema.
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) description: String,
    /// Its type, if it has no fields.
    pub(super) kind: Option<Kind>,
    pub(super) fields: Vec<Field>,
}

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Reads a document; missing parts are left out.
pub(super) fn read(document: &Value) -> Reference {
    let mut sections: Vec<Section> = each(&document["tags"])
        .map(|tag| Section {
            name: text(&tag["name"]),
            description: text(&tag["description"]),
            operations: Vec::new(),
        })
        .collect();
    for (path, item) in members(&document["paths"]) {
        for method in METHODS {
            let Some(operation) = item.get(method) else {
                continue;
            };
            let tag = operation["tags"][0].as_str().unwrap_or("other");
            let index = sections
                .iter()
                .position(|section| section.name == tag)
                .unwrap_or_else(|| {
                    sections.push(Section {
                        name: tag.to_owned(),
                        description: String::new(),
                        operations: Vec::new(),
                    });
                    sections.len() - 1
                });
            sections[index]
                .operations
                .push(read_operation(method, path, operation));
        }
    }
    sections.retain(|section| !section.operations.is_empty());
    Reference {
        sections,
        schemas: members(&document["components"]["schemas"])
            .map(|(name, schema)| {
                let fields = fields(schema);
                Schema {
                    name: name.clone(),
                    description: text(&schema["description"]),
                    kind: fields.is_empty().then(|| kind(schema)),
                    fields,
                }
            })
            .collect(),
        shared: shared(document),
    }
}

fn read_operation(method: &str, path: &str, operation: &Value) -> Operation {
    let parameters = each(&operation["parameters"]).map(|parameter| Field {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        kind: kind(&parameter["schema"]),
        required: parameter["required"] == true,
        description: text(&parameter["description"]),
    });
    let own = members(&operation["responses"]).filter(|(_, response)| response.get("$ref").is_none());
    let id = operation["operationId"]
        .as_str()
        .map_or_else(|| format!("{method}{path}"), str::to_owned);
    Operation {
        anchor: id,
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: text(&operation["description"]),
        parameters: parameters.collect(),
        bodies: bodies(&operation["requestBody"]["content"]),
        answers: own.map(|(status, response)| answer(status, response)).collect(),
    }
}

fn answer(status: &str, response: &Value) -> DocumentedAnswer {
    DocumentedAnswer {
        status: status.to_owned(),
        description: text(&response["description"]),
        bodies: bodies(&response["content"]),
    }
}

/// The answers of `components/responses`, with the status by which operations name them.
fn shared(document: &Value) -> Vec<DocumentedAnswer> {
    let operations = members(&document["paths"]).flat_map(|(_, item)| members(item));
    let mut found: Vec<DocumentedAnswer> = Vec::new();
    for (status, response) in operations.flat_map(|(_, operation)| members(&operation["responses"])) {
        let Some(pointer) = response["$ref"]
            .as_str()
            .and_then(|reference| reference.strip_prefix('#'))
        else {
            continue;
        };
        if !found.iter().any(|answer| answer.status == *status)
            && let Some(response) = document.pointer(pointer)
        {
            found.push(answer(status, response));
        }
    }
    found.sort_by(|a, b| a.status.cmp(&b.status));
    found
}

fn bodies(content: &Value) -> Vec<Body> {
    members(content)
        .map(|(media_type, content)| Body {
            media_type: media_type.clone(),
            kind: kind(&content["schema"]),
            example: content.get("example").map(|example| format!("{example:#}")),
        })
        .collect()
}

fn fields(schema: &Value) -> Vec<Field> {
    let required = |name: &str| each(&schema["required"]).any(|required| required == name);
    let own = members(&schema["properties"]).map(|(name, property)| Field {
        name: name.clone(),
        place: String::new(),
        kind: kind(property),
        required: required(name),
        description: text(&property["description"]),
    });
    own.chain(each(&schema["allOf"]).flat_map(fields)).collect()
}

/// A schema in a few words.
fn kind(schema: &Value) -> Kind {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        return Kind {
            text: name.to_owned(),
            schema: Some(name.to_owned()),
        };
    }
    let choices = ["oneOf", "anyOf"].into_iter().flat_map(|key| each(&schema[key]));
    let choices: Vec<Kind> = choices
        .filter(|choice| choice["type"] != "null")
        .map(kind)
        .collect();
    if !choices.is_empty() {
        let texts: Vec<&str> = choices.iter().map(|choice| choice.text.as_str()).collect();
        return Kind {
            text: texts.join(" or "),
            schema: choices.iter().find_map(|choice| choice.schema.clone()),
        };
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .collect(),
        _ => Vec::new(),
    };
    if names.contains(&"array") {
        let of = kind(&schema["items"]);
        return Kind {
            text: format!("list of {}", of.text),
            schema: of.schema,
        };
    }
    let mut text = if names.is_empty() {
        "any".to_owned()
    } else {
        names.join(" or ")
    };
    if let Some(format) = schema["format"].as_str() {
        text = format!("{text} ({format})");
    }
    let values: Vec<String> = each(&schema["enum"])
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .collect();
    if !values.is_empty() {
        text = values.join(" | ");
    }
    Kind { text, schema: None }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A description as HTML: its paragraphs, with text between backticks as code.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    for paragraph in text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
    {
        out.push_str("<p>");
        for (index, part) in paragraph.split('`').enumerate() {
            let (open, close) = if index % 2 == 1 {
                ("<code>", "</code>")
            } else {
                ("", "")
            };
            out.push_str(open);
            // Writing to a text does not fail.
            let _ = Visible.write_escaped_str(&mut out, part);
            out.push_str(close);
        }
        out.push_str("</p>");
    }
    out
}
