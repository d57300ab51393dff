//! The names of an object's members so far.

use std::{borrow::Cow, collections::HashSet};

/// The names that are compared one by one. More of them, and names with escapes, go to a set.
const FEW: usize = 32;

/// The names of an object. It allocates nothing for up to [`FEW`] names without escapes.
#[derive(Default)]
pub(super) struct Names<'a> {
    few: [&'a str; FEW],
    count: usize,
    more: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// Adds a name; `false` if the object has it already.
    pub(super) fn add(&mut self, name: Cow<'a, str>) -> bool {
        if self.few.iter().take(self.count).any(|few| *few == name) {
            return false;
        }
        match (name, self.few.get_mut(self.count)) {
            (Cow::Borrowed(name), Some(free)) => {
                *free = name;
                self.count += 1;
                !self.more.contains(name)
            }
            (name, _) => self.more.insert(name),
        }
    }
}
