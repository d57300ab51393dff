//! The body of a send, and FCM's rules for it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The most bytes of `notification` and `data` together, as JSON.
const MAX_PAYLOAD: usize = 4_096;
/// The longest time to live: four weeks, in seconds.
const MAX_TTL_SECONDS: f64 = 2_419_200.0;
/// Sections that are stored beside the message's content, not in it.
const PLATFORM_SECTIONS: [&str; 4] = ["android", "apns", "webpush", "fcm_options"];

/// The known fields of a message besides its token, its notification and its data.
const FIELDS: [&str; 7] = [
    "name",
    "android",
    "apns",
    "webpush",
    "fcm_options",
    "topic",
    "condition",
];

/// The parts of a valid body.
pub(super) struct Payload {
    pub(super) validate_only: bool,
    pub(super) token: String,
    pub(super) title: Option<String>,
    pub(super) body: Option<String>,
    pub(super) data: Map<String, Value>,
    pub(super) platforms: Vec<(&'static str, String)>,
}

/// An error in a body.
#[derive(Debug, PartialEq)]
pub(super) struct Invalid {
    pub(super) message: String,
    /// The wrong field; a payload that is too big names none.
    pub(super) field: Option<String>,
    /// Whether FCM refuses the content (else Google's front end refuses the form).
    pub(super) by_fcm: bool,
}

impl Invalid {
    fn form(field: &str, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            field: Some(field.to_owned()),
            by_fcm: false,
        }
    }

    fn content(field: &str, message: &str) -> Self {
        Self {
            message: message.to_owned(),
            field: Some(field.to_owned()),
            by_fcm: true,
        }
    }
}

pub(super) fn parse(body: &[u8]) -> Result<Payload, Invalid> {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(body) else {
        return Err(Invalid::form(
            "",
            "Invalid JSON payload received. Expected an object.",
        ));
    };
    let validate_only = match body.remove("validate_only") {
        None => false,
        Some(Value::Bool(flag)) => flag,
        Some(_) => {
            return Err(Invalid::form(
                "validate_only",
                "Invalid value at 'validate_only' (TYPE_BOOL)",
            ));
        }
    };
    let Some(Value::Object(mut message)) = body.remove("message") else {
        return Err(Invalid::form(
            "message",
            "Invalid value at 'message': an object is required.",
        ));
    };
    let token = text(&mut message, "token", "message.token")?
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Invalid::form("message", "Exactly one of token, topic or condition is required"))?;
    let data = data(&mut message)?;
    let notification = match message.remove("notification") {
        None => Map::new(),
        Some(Value::Object(notification)) => notification,
        Some(_) => {
            return Err(Invalid::form(
                "message.notification",
                "Invalid value at 'message.notification'",
            ));
        }
    };
    let bytes = size(&Value::Object(notification.clone())) + size(&Value::Object(data.clone()));
    if bytes > MAX_PAYLOAD {
        return Err(Invalid {
            message: "Android message is too big".to_owned(),
            field: None,
            by_fcm: true,
        });
    }
    if let Some(ttl) = message.get("android").and_then(|android| android.get("ttl")) {
        check_ttl(ttl)?;
    }
    check_headers(&message)?;
    if let Some(name) = message.keys().find(|key| !FIELDS.contains(&&***key)) {
        let text = format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at 'message': Cannot find field."
        );
        return Err(Invalid::form("message", text));
    }
    let mut notification = notification;
    Ok(Payload {
        validate_only,
        token,
        title: text(&mut notification, "title", "message.notification.title")?,
        body: text(&mut notification, "body", "message.notification.body")?,
        data,
        platforms: PLATFORM_SECTIONS
            .iter()
            .filter_map(|section| message.get(*section).map(|value| (*section, value.to_string())))
            .collect(),
    })
}

fn text(object: &mut Map<String, Value>, key: &str, path: &str) -> Result<Option<String>, Invalid> {
    match object.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Invalid::form(
            path,
            format!("Invalid value at '{path}' (TYPE_STRING), {other}"),
        )),
    }
}

fn data(message: &mut Map<String, Value>) -> Result<Map<String, Value>, Invalid> {
    let data = match message.remove("data") {
        None => return Ok(Map::new()),
        Some(Value::Object(data)) => data,
        Some(_) => return Err(Invalid::form("message.data", "Invalid value at 'message.data'")),
    };
    for (index, (key, value)) in data.iter().enumerate() {
        if !value.is_string() {
            let field = format!("message.data[{index}].value");
            return Err(Invalid::form(
                &field,
                format!("Invalid value at '{field}' (TYPE_STRING), {value}"),
            ));
        }
        if is_reserved(key) {
            return Err(Invalid::content(
                "message.data",
                &format!("Invalid data payload key: {key}"),
            ));
        }
    }
    Ok(data)
}

/// Whether Google reserves the key (Firebase's reference of `data`; `collapse_key` and `notification` are
/// refused too).
fn is_reserved(key: &str) -> bool {
    matches!(
        key,
        "from" | "message_type" | "collapse_key" | "notification" | "gcm" | "google"
    ) || key.starts_with("gcm.")
        || key.starts_with("google.")
}

/// The token of a body, if it has one.
pub(super) fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        token: String,
    }
    serde_json::from_slice::<Body>(body)
        .ok()
        .map(|body| body.message.token)
}

/// Checks the headers for APNs and web push services: they are texts, and times are whole numbers.
fn check_headers(message: &Map<String, Value>) -> Result<(), Invalid> {
    for (section, name) in [("apns", "apns-expiration"), ("webpush", "TTL")] {
        let headers = message.get(section).and_then(|section| section.get("headers"));
        for (key, value) in headers.and_then(Value::as_object).into_iter().flatten() {
            let field = format!("message.{section}.headers");
            let Some(text) = value.as_str() else {
                let message = format!("Invalid value at '{field}[{key}]' (TYPE_STRING), {value}");
                return Err(Invalid::form(&field, message));
            };
            if key.eq_ignore_ascii_case(name) && text.parse::<u64>().is_err() {
                return Err(Invalid::content(
                    &field,
                    &format!("Invalid value for {key}: {text}"),
                ));
            }
        }
    }
    Ok(())
}

/// A protobuf duration, such as `3600s`.
fn check_ttl(ttl: &Value) -> Result<(), Invalid> {
    let seconds = ttl
        .as_str()
        .and_then(|ttl| ttl.strip_suffix('s'))
        .and_then(|ttl| ttl.parse::<f64>().ok());
    match seconds {
        None => Err(Invalid::form(
            "message.android.ttl",
            "Invalid value at 'message.android.ttl' (Duration)",
        )),
        Some(seconds) if (0.0..=MAX_TTL_SECONDS).contains(&seconds) => Ok(()),
        Some(_) => Err(Invalid::content(
            "message.android.ttl",
            "Invalid value for ttl: out of range",
        )),
    }
}

fn size(value: &Value) -> usize {
    if value.as_object().is_some_and(Map::is_empty) {
        0
    } else {
        value.to_string().len()
    }
}
