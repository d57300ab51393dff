//! Adds the answers that operations share, each defined once in the document. The routes' own annotations
//! contain only their particular answers.

use serde_json::{Map, Value, json};

const PROBLEM_JSON: &str = "application/problem+json";

/// A problem that many operations share.
struct Shared {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    /// Whether only operations that read a body have this answer.
    of_bodies: bool,
}

const SHARED: [Shared; 12] = [
    shared("400", "Malformed", "The request or its JSON is malformed", false),
    shared("401", "Unauthorized", "No valid API key", false),
    shared(
        "403",
        "Forbidden",
        "The key's role or tenant may not do this",
        false,
    ),
    shared("404", "NotFound", "The object does not exist", false),
    shared("408", "Slow", "The request did not arrive in time", false),
    shared("413", "TooLarge", "The body is too large", true),
    shared(
        "415",
        "MediaType",
        "The body has another media type or encoding",
        true,
    ),
    shared("422", "Invalid", "A field or parameter breaks a rule", false),
    shared(
        "429",
        "TooMany",
        "Too many requests; `Retry-After` gives the time until a retry",
        false,
    ),
    shared("500", "Failed", "An internal error occurred", false),
    shared(
        "501",
        "TransferCoding",
        "The body has a transfer coding besides `chunked`",
        true,
    ),
    shared(
        "503",
        "Unavailable",
        "The request cannot be carried out now; `Retry-After` gives the time until a retry",
        false,
    ),
];

const fn shared(
    status: &'static str,
    name: &'static str,
    description: &'static str,
    of_bodies: bool,
) -> Shared {
    Shared {
        status,
        name,
        description,
        of_bodies,
    }
}

/// Adds the shared problems to every operation, and gives every problem its media type.
pub(super) fn complete(document: &mut Value) {
    let components = entry(document, "components");
    let responses = entry(components, "responses");
    for shared in &SHARED {
        responses[shared.name] = response(shared);
    }
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for item in paths.values_mut().filter_map(Value::as_object_mut) {
        for (method, operation) in item {
            if matches!(method.as_str(), "get" | "put" | "post" | "patch" | "delete") {
                complete_operation(operation);
            }
        }
    }
}

fn complete_operation(operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        complete_header(parameter);
    }
    let has_body = operation.get("requestBody").is_some();
    let Some(responses) = entry(operation, "responses").as_object_mut() else {
        return;
    };
    for (status, response) in responses.iter_mut() {
        if status.starts_with(['4', '5']) {
            retype(response);
        }
    }
    for shared in SHARED.iter().filter(|shared| has_body || !shared.of_bodies) {
        responses
            .entry(shared.status)
            .or_insert_with(|| json!({ "$ref": format!("#/components/responses/{}", shared.name) }));
    }
}

/// The form of entity tags in conditional headers (RFC 9110 §13.1).
const ENTITY_TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$"#;

/// Completes the schema of a header: it cannot be null, although utoipa makes each optional parameter nullable, and a
/// conditional header has entity tags.
fn complete_header(parameter: &mut Value) {
    if parameter["in"] != "header" {
        return;
    }
    if matches!(parameter["name"].as_str(), Some("If-Match" | "If-None-Match")) {
        parameter["schema"]["minLength"] = 1.into();
        parameter["schema"]["pattern"] = ENTITY_TAGS.into();
    }
    if let Some([kind, null]) = parameter["schema"]["type"].as_array().map(Vec::as_slice)
        && null == "null"
    {
        parameter["schema"]["type"] = kind.clone();
    }
}

/// Sets the media type of problem documents, because utoipa gives `application/json` to answers without one.
fn retype(response: &mut Value) {
    let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else {
        return;
    };
    let is_problem = |content: &Value| content["schema"]["$ref"] == "#/components/schemas/Problem";
    if content.get("application/json").is_some_and(is_problem)
        && let Some(problem) = content.remove("application/json")
    {
        content.insert(PROBLEM_JSON.to_owned(), problem);
    }
}

fn response(shared: &Shared) -> Value {
    let mut response = json!({
        "description": shared.description,
        "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let header = match shared.status {
        "401" => Some(("WWW-Authenticate", "How to authenticate", "string")),
        "429" | "503" => Some(("Retry-After", "Seconds to wait", "integer")),
        _ => None,
    };
    if let Some((name, description, kind)) = header {
        response["headers"] = json!({ name: { "description": description, "schema": { "type": kind } } });
    }
    response
}

fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value[key].is_object() {
        value[key] = Value::Object(Map::new());
    }
    &mut value[key]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_header_is_absent_or_a_text_and_never_null() {
        let parameter =
            |place: &str| json!({"in": place, "name": "n", "schema": {"type": ["string", "null"]}});
        let parameters = [parameter("header"), parameter("query")];
        let mut document = json!({"paths": {"/x": {"get": {"parameters": parameters, "responses": {}}}}});
        complete(&mut document);
        let parameters = &document["paths"]["/x"]["get"]["parameters"];
        assert_eq!(parameters[0]["schema"]["type"], "string");
        assert_eq!(parameters[1], parameter("query"));
    }

    #[test]
    fn every_operation_documents_the_shared_problems_and_keeps_its_own_answers() {
        let mut document = json!({
            "paths": {"/x": {
                "get": {"responses": {"200": {"description": "ok"}, "404": {
                    "description": "own", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }}},
                "put": {"requestBody": {}, "responses": {"422": {
                    "description": "own", "content": {"application/json": {"schema": {"type": "object"}}},
                }}},
            }},
        });
        complete(&mut document);
        let get = &document["paths"]["/x"]["get"]["responses"];
        assert_eq!(get["404"]["description"], "own");
        assert!(
            get["404"]["content"][PROBLEM_JSON].is_object()
                && get["404"]["content"]["application/json"].is_null()
        );
        assert_eq!(get["401"]["$ref"], "#/components/responses/Unauthorized");
        assert_eq!(get["413"], Value::Null, "it reads no body");
        let put = &document["paths"]["/x"]["put"]["responses"];
        assert_eq!(put["413"]["$ref"], "#/components/responses/TooLarge");
        assert!(
            put["422"]["content"]["application/json"].is_object(),
            "not every 422 is a problem document"
        );
        let unavailable = &document["components"]["responses"]["Unavailable"];
        assert!(unavailable["headers"]["Retry-After"].is_object());
    }
}
