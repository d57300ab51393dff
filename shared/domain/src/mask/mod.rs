//! Masks the values of an event that its catalog type marks `sensitive`, and addresses. One pure function
//! rewrites the JSON text, so numbers keep their digits and keys their order.

mod addresses;
mod former;
pub(crate) mod place;
mod rewrite;

use serde_json::value::RawValue;

pub use addresses::mask_addresses;
pub use former::Former;
pub use place::{HIDDEN, PlaceError};

use self::place::{Action, MaskedPlace};
use crate::{
    catalog::{EventTypeDef, ItemPlaces},
    channel::Channel,
};

/// The hidden places in events of one type.
#[derive(Debug, Clone)]
pub struct Mask {
    places: Vec<MaskedPlace>,
}

impl Mask {
    /// The mask of an event type. `None` is a type that the catalog does not know: then everything except the
    /// attributes that name the event is hidden, because any part may be sensitive.
    #[must_use]
    pub fn of(definition: Option<&EventTypeDef>) -> Self {
        Self::with_former(definition, &Former::default(), &[])
    }

    /// The mask of an event type, with the places that former versions covered under any of its names.
    #[must_use]
    pub fn with_former(definition: Option<&EventTypeDef>, former: &Former, names: &[&str]) -> Self {
        Self::with_items(definition, former, names, &ItemPlaces::default())
    }

    /// As [`Self::with_former`], with the places of a digest's items.
    pub(crate) fn with_items(
        definition: Option<&EventTypeDef>,
        former: &Former,
        names: &[&str],
        items: &ItemPlaces,
    ) -> Self {
        let mut places = Vec::new();
        if definition.is_none() || former.everything {
            places.push(MaskedPlace::new(vec!["*".to_owned()], Action::Hide));
        }
        let former: Vec<_> = names.iter().filter_map(|name| former.places(name)).collect();
        let sensitive = definition
            .into_iter()
            .flat_map(|definition| &definition.sensitive);
        let sensitive = sensitive.chain(&items.sensitive);
        for pointer in sensitive.chain(former.iter().flat_map(|former| &former.sensitive)) {
            add(&mut places, pointer, Action::Hide);
        }
        add(&mut places, "/data_base64", Action::Hide);
        // The record of a delivery has the address of a guest here.
        add(&mut places, "/target/address", Action::Mask(Channel::Email));
        let lists = ["/recipients", "/data/recipients"].into_iter();
        let recipients = definition
            .into_iter()
            .flat_map(|definition| &definition.recipients_from);
        let recipients = recipients.chain(&items.recipients);
        let recipients = recipients.chain(former.iter().flat_map(|former| &former.recipients_from));
        for pointer in lists.chain(recipients.map(String::as_str)) {
            for (field, channel) in [("email", Channel::Email), ("phone", Channel::Sms)] {
                add(&mut places, &format!("{pointer}/{field}"), Action::Mask(channel));
                add(
                    &mut places,
                    &format!("{pointer}/*/{field}"),
                    Action::Mask(channel),
                );
            }
        }
        Self { places }
    }

    /// An event, or a rejected attempt at one, masked; `None` if the text is not JSON, or is nested too deeply to be
    /// an event.
    #[must_use]
    pub fn event(&self, json: &str) -> Option<Box<RawValue>> {
        self.rewrite(json, &[])
    }

    /// The data of an event, masked; `None` if the text is not JSON.
    #[must_use]
    pub fn data(&self, json: &str) -> Option<Box<RawValue>> {
        self.rewrite(json, &["data"])
    }

    /// The value of a record in binary mode, masked: the value is the event's data, and headers carry the attributes.
    /// Places are hidden in both readings, as data and as a whole event.
    #[must_use]
    pub fn binary(&self, json: &str) -> Option<Box<RawValue>> {
        self.data(json).and_then(|data| self.event(data.get()))
    }

    /// An attribute of an event, masked; for example from a header in binary mode.
    #[must_use]
    pub fn attribute(&self, name: &str, text: &str) -> String {
        if place::IDENTITY.contains(&name) {
            return text.to_owned();
        }
        let json = serde_json::Value::from(text).to_string();
        self.rewrite(&json, &[name])
            .and_then(|masked| serde_json::from_str(masked.get()).ok())
            .unwrap_or_else(|| HIDDEN.to_owned())
    }

    /// Rewrites the JSON at the place `at` of an event.
    fn rewrite(&self, json: &str, at: &[&str]) -> Option<Box<RawValue>> {
        serde_json::from_str::<&RawValue>(json).ok()?;
        let places: Vec<_> = self.places.iter().map(MaskedPlace::path).collect();
        let places = at
            .iter()
            .fold(places, |places, token| rewrite::below(&places, token));
        let mut out = String::with_capacity(json.len());
        rewrite::value(json, &places, 0, at.is_empty(), &mut out).ok()?;
        RawValue::from_string(out).ok()
    }
}

/// Adds a place. An invalid pointer cannot occur, because it is refused when the catalog is applied.
fn add(places: &mut Vec<MaskedPlace>, pointer: &str, action: Action) {
    places.extend(
        place::parse(pointer)
            .ok()
            .map(|path| MaskedPlace::new(path, action)),
    );
}

#[cfg(test)]
mod tests;
