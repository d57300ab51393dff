//! The forms that are posted to a link.

use axum::{
    RequestExt as _,
    body::{Body, Bytes},
    extract::{FromRequest, Multipart, RawForm, Request},
    http::{StatusCode, header::CONTENT_TYPE},
};
use carillon_domain::{Catalog, Channel, Preferences, unsubscribe::Subscription};
use url::form_urlencoded;

use super::choices;

/// The field that a mail client sends (RFC 8058 §3.1), and its value.
const ONE_CLICK: (&str, &str) = ("List-Unsubscribe", "One-Click");
/// The fields of the page: a choice that it shows, and a choice that is ticked. Their values are made by [`value`].
const SHOWN: &str = "shown";
const TICKED: &str = "wanted";

/// The consequence of a posted form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Unsubscribed,
    Saved,
}

/// A posted form.
pub(super) enum Form {
    /// Unsubscribe from the link's category.
    OneClick,
    /// The choices of the page: category, channel and whether the messages are wanted.
    Choices(Vec<(String, Channel, bool)>),
}

impl Form {
    /// The preferences after the form.
    pub(super) fn apply(
        &self,
        before: &Preferences,
        subscription: &Subscription,
        catalog: Option<&Catalog>,
    ) -> Preferences {
        let mut after = before.clone();
        match self {
            Self::OneClick => {
                choices::set(&mut after, catalog, &subscription.category, Channel::Email, false);
            }
            Self::Choices(all) => {
                let none = Catalog::default();
                let known = catalog.unwrap_or(&none);
                for (category, channel, wanted) in all {
                    let is_offered = choices::channels(known, category).contains(channel);
                    if is_offered && choices::is_wanted(before, known, category, *channel) != *wanted {
                        choices::set(&mut after, catalog, category, *channel, *wanted);
                    }
                }
            }
        }
        after
    }

    /// The form's name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::OneClick => "one_click",
            Self::Choices(_) => "choices",
        }
    }

    pub(super) fn notice(&self) -> Notice {
        match self {
            Self::OneClick => Notice::Unsubscribed,
            Self::Choices(_) => Notice::Saved,
        }
    }

    /// The form of these fields.
    fn of(fields: &[(String, String)]) -> Option<Self> {
        // Some mail clients send a line break behind the only line of the form.
        let has = |name: &str, value: &str| {
            fields
                .iter()
                .any(|(given, text)| given == name && text.trim_ascii_end() == value)
        };
        if has(ONE_CLICK.0, ONE_CLICK.1) {
            return Some(Self::OneClick);
        }
        let shown = fields.iter().filter(|(name, _)| name == SHOWN);
        let choices: Vec<_> = shown
            .filter_map(|(_, value)| {
                let (channel, category) = value.split_once(':')?;
                Some((category.to_owned(), channel.parse().ok()?, has(TICKED, value)))
            })
            .collect();
        (!choices.is_empty()).then_some(Self::Choices(choices))
    }
}

/// The value of a choice's fields.
pub(super) fn value(category: &str, channel: Channel) -> String {
    format!("{channel}:{category}")
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = StatusCode;

    /// Reads a form of either encoding: RFC 8058 §3.1 lets mail clients choose.
    async fn from_request(request: Request, _: &S) -> Result<Self, StatusCode> {
        let kind = request.headers().get(CONTENT_TYPE);
        let is_multipart = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/form-data"));
        let fields = if is_multipart {
            multipart(request).await
        } else {
            let form: Option<RawForm> = request.extract().await.ok();
            form.map(|RawForm(body)| form_urlencoded::parse(&body).into_owned().collect())
        };
        fields
            .and_then(|fields| Self::of(&fields))
            .ok_or(StatusCode::BAD_REQUEST)
    }
}

async fn multipart(request: Request) -> Option<Vec<(String, String)>> {
    let (head, body) = request.into_parts();
    let whole = Request::from_parts(head.clone(), body);
    let body: Bytes = whole.extract().await.ok()?;
    let request = Request::from_parts(head, Body::from(with_crlf(body)));
    let mut parts: Multipart = request.extract().await.ok()?;
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.ok()? {
        let name = part.name()?.to_owned();
        fields.push((name, part.text().await.ok()?));
    }
    Some(fields)
}

/// The body with line breaks of CR and LF. Clients that write LF alone write it everywhere.
fn with_crlf(body: Bytes) -> Bytes {
    if !body.contains(&b'\n') || body.contains(&b'\r') {
        return body;
    }
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    lines.join(&b"\r\n"[..]).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn catalog() -> Catalog {
        let document = json!({
            "categories": {"news": {}, "offers": {"default": "opt_out"}, "account": {}},
            "types": {
                "Newsletter": {"category": "news", "channels": {"order": ["email", "push"]}},
                "Password": {"category": "account", "critical": true, "channels": {"order": ["email"]}},
                "Sale": {"category": "offers", "channels": {"order": ["email"]}},
            },
        });
        serde_json::from_value(document).unwrap()
    }

    fn news() -> Subscription {
        Subscription {
            tenant: "shop".into(),
            user: "u-42".into(),
            category: "news".to_owned(),
        }
    }

    fn preferences(document: serde_json::Value) -> Preferences {
        serde_json::from_value(document).unwrap()
    }

    fn after(fields: &[(&str, &str)], before: serde_json::Value) -> serde_json::Value {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let form = Form::of(&fields).unwrap();
        let after = form.apply(&preferences(before), &news(), Some(&catalog()));
        serde_json::to_value(after).unwrap()
    }

    #[test]
    fn one_click_ends_the_mails_of_the_category_and_of_its_types_and_nothing_else() {
        let before = json!({"types": {"Newsletter": {"email": true, "push": true}, "Sale": {"email": true}}});
        let expected = json!({
            "categories": {"news": {"email": false}},
            "types": {"Newsletter": {"push": true}, "Sale": {"email": true}},
        });
        assert_eq!(after(&[ONE_CLICK], before), expected);
    }

    #[test]
    fn saving_the_page_changes_only_what_the_person_has_changed() {
        let fields = [
            (SHOWN, "email:news"),
            (SHOWN, "push:news"),
            (SHOWN, "email:offers"),
            (TICKED, "push:news"),
            (TICKED, "email:offers"),
        ];
        let expected = json!({"categories": {"news": {"email": false}, "offers": {"email": true}}});
        assert_eq!(after(&fields, json!({})), expected);
        let again = json!({"categories": {"news": {"email": false}, "offers": {"email": true}}});
        assert_eq!(after(&fields, again), expected);
    }

    #[test]
    fn choices_that_the_page_does_not_offer_are_ignored() {
        let fields = [
            (SHOWN, "email:account"),
            (SHOWN, "email:nonsense"),
            (SHOWN, "sms:news"),
            (SHOWN, "fax:news"),
        ];
        assert_eq!(after(&fields, json!({})), json!({}));
        assert!(Form::of(&[("List-Unsubscribe".to_owned(), "Two-Clicks".to_owned())]).is_none());
        assert!(Form::of(&[]).is_none());
    }
}
