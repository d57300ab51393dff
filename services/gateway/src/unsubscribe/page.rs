//! The page of a link.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode},
    response::Response,
};
use carillon_domain::{Catalog, Channel, Preferences, unsubscribe::Subscription};

use super::{
    choices,
    form::{self, Notice},
    texts::Texts,
};
use crate::dashboard::page::{render, words};

/// A category with the choices that it offers.
struct CategoryChoices {
    name: String,
    channels: Vec<ChannelChoice>,
}

struct ChannelChoice {
    label: &'static str,
    /// The value of the form's fields.
    value: String,
    is_wanted: bool,
}

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct UnsubscribePage {
    texts: &'static Texts,
    /// The headline, such as the consequence of a form.
    headline: String,
    /// Whether the headline is the result of a form, so that a screen reader announces it.
    is_notice: bool,
    /// The link's category, if the user still gets its mails.
    category: Option<String>,
    categories: Vec<CategoryChoices>,
}

/// The page with the user's choices.
pub(super) fn choices(
    subscription: &Subscription,
    preferences: &Preferences,
    catalog: &Catalog,
    texts: &'static Texts,
    notice: Option<Notice>,
) -> Response {
    let named = title(catalog, &subscription.category, texts);
    let is_wanted = choices::is_wanted(preferences, catalog, &subscription.category, Channel::Email);
    let headline = match notice {
        Some(Notice::Unsubscribed) => texts.unsubscribed.replace("{}", &named),
        Some(Notice::Saved) => texts.saved.to_owned(),
        None => texts.title.to_owned(),
    };
    let categories = catalog.categories.keys().filter_map(|name| {
        let channels = choices::channels(catalog, name);
        let offered = channels.into_iter().map(|channel| ChannelChoice {
            label: texts.channel(channel),
            value: form::value(name, channel),
            is_wanted: choices::is_wanted(preferences, catalog, name, channel),
        });
        let channels: Vec<_> = offered.collect();
        (!channels.is_empty()).then(|| CategoryChoices {
            name: title(catalog, name, texts),
            channels,
        })
    });
    finished(&UnsubscribePage {
        texts,
        headline,
        is_notice: notice.is_some(),
        category: is_wanted.then_some(named),
        categories: categories.collect(),
    })
}

/// A category's name for a reader: its title in the page's language, else its id in words.
fn title(catalog: &Catalog, category: &str, texts: &Texts) -> String {
    let def = catalog.categories.get(category);
    let title = def.and_then(|def| def.title(texts.language));
    title.map_or_else(|| words(category).replace(['-', '.'], " "), ToOwned::to_owned)
}

/// The answer to a form of a person who is not known any more.
pub(super) fn changed(texts: &'static Texts) -> Response {
    finished(&UnsubscribePage {
        texts,
        headline: texts.saved.to_owned(),
        is_notice: true,
        category: None,
        categories: Vec::new(),
    })
}

/// The answer to a link that leads to no known person.
pub(super) fn unknown(texts: &'static Texts) -> Response {
    failed(texts, texts.unknown, StatusCode::NOT_FOUND)
}

/// The answer to a form that cannot be read.
pub(super) fn unreadable(texts: &'static Texts, status: StatusCode) -> Response {
    failed(texts, texts.unreadable, status)
}

/// The answer while the page cannot work.
pub(super) fn unavailable(texts: &'static Texts, status: StatusCode) -> Response {
    failed(texts, texts.unavailable, status)
}

fn failed(texts: &'static Texts, headline: &str, status: StatusCode) -> Response {
    let mut response = finished(&UnsubscribePage {
        texts,
        headline: headline.to_owned(),
        is_notice: true,
        category: None,
        categories: Vec::new(),
    });
    *response.status_mut() = status;
    response
}

fn finished(page: &UnsubscribePage) -> Response {
    let mut response = render(page);
    response
        .headers_mut()
        .insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}
