//! The places of recipients in an event as its producer wrote it, for the pointers of errors.

use std::borrow::Cow;

/// The place of each recipient of an event, in their order. Neighbours of one list share an entry, so an event usually has one.
#[derive(Debug, Clone, Default)]
pub struct RecipientPlaces {
    runs: Vec<Stretch>,
    /// The place that names recipients and is empty, if it is not the usual one.
    nobody: Option<&'static str>,
}

/// Recipients that were written side by side in one way.
#[derive(Debug, Clone)]
struct Stretch {
    /// The pointer to the list, or to the single value.
    at: Cow<'static, str>,
    /// The index of the first one in its list; `None` for values that are no items of a list.
    first: Option<usize>,
    count: usize,
    /// Whether each is an object, and not a user id alone.
    are_objects: bool,
}

/// The place of one value that is read as a recipient.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecipientPlace<'p> {
    /// The pointer to its list, or to itself.
    pub(super) at: &'p str,
    /// Its index in the list; `None` for a value that is no item of a list.
    pub(super) index: Option<usize>,
}

impl RecipientPlace<'_> {
    /// The pointer to the value.
    pub(super) fn pointer(self) -> String {
        match self.index {
            Some(index) => format!("{}/{index}", self.at),
            None => self.at.to_owned(),
        }
    }
}

impl RecipientPlaces {
    /// Adds the place of the next recipient.
    pub(super) fn push(&mut self, place: RecipientPlace<'_>, is_object: bool) {
        if let Some(run) = self.runs.last_mut() {
            let follows = match (run.first, place.index) {
                (Some(first), Some(index)) => first + run.count == index,
                (None, None) => true,
                _ => false,
            };
            if follows && run.are_objects == is_object && run.at == place.at {
                run.count += 1;
                return;
            }
        }
        self.runs.push(Stretch {
            at: known(place.at),
            first: place.index,
            count: 1,
            are_objects: is_object,
        });
    }

    /// Adds the places of further recipients.
    pub(super) fn extend(&mut self, others: Self) {
        self.runs.extend(others.runs);
    }

    /// Notes a place that is empty.
    pub(super) fn name_nobody(&mut self, at: &'static str) {
        self.nobody = Some(at);
    }

    /// The place that names recipients and is empty.
    pub(super) fn names_nobody(&self) -> Option<&'static str> {
        self.nobody
    }

    /// The pointer to the user id of a recipient; `None` for one whose place is not known.
    fn user(&self, index: usize) -> Option<String> {
        let mut before = 0;
        let run = self.runs.iter().find(|run| {
            let is_in = index < before + run.count;
            if !is_in {
                before += run.count;
            }
            is_in
        })?;
        let place = RecipientPlace {
            at: &run.at,
            index: run.first.map(|first| first + index - before),
        };
        let field = if run.are_objects { "/user_id" } else { "" };
        Some(place.pointer() + field)
    }

    /// The pointer to the user id of a recipient. Without a known place it is that of the wire form.
    #[must_use]
    pub fn user_pointer(&self, index: usize) -> String {
        self.user(index)
            .unwrap_or_else(|| format!("/recipients/{index}/user_id"))
    }
}

/// A pointer, without an allocation for the usual ones.
fn known(pointer: &str) -> Cow<'static, str> {
    let usual = ["/recipients", "/recipient", "/data/recipients"];
    match usual.into_iter().find(|usual| *usual == pointer) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(pointer.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_is_that_of_the_value_as_it_was_written() {
        let mut places = RecipientPlaces::default();
        for (at, index, is_object) in [
            ("/recipients", Some(0), true),
            ("/recipients", Some(1), true),
            ("/recipients", Some(3), true),
            ("/recipients", Some(4), false),
            ("/recipient", None, false),
            ("/recipient", None, false),
            ("/data/customer/id", None, false),
        ] {
            places.push(RecipientPlace { at, index }, is_object);
        }
        let mut more = RecipientPlaces::default();
        let (at, index) = ("/data/to", Some(0));
        more.push(RecipientPlace { at, index }, true);
        places.extend(more);
        let pointers: Vec<String> = (0..9).map(|index| places.user_pointer(index)).collect();
        assert_eq!(
            pointers,
            [
                "/recipients/0/user_id",
                "/recipients/1/user_id",
                "/recipients/3/user_id",
                "/recipients/4",
                "/recipient",
                "/recipient",
                "/data/customer/id",
                "/data/to/0/user_id",
                "/recipients/8/user_id",
            ]
        );
        assert_eq!(places.runs.len(), 6, "neighbours share an entry");
    }
}
