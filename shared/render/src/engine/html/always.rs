//! Whether HTML shows something with any data, by the template's own text.

use std::collections::BTreeMap;

use super::sight::Sight;
use crate::engine::program::{Block, Element};

/// The deepest nesting of blocks and partials that is followed.
const MAX_DEPTH: usize = 64;

/// The block that a partial is given.
#[derive(Clone, Copy)]
struct Given<'b> {
    block: &'b Block,
    outer: Option<&'b Given<'b>>,
}

/// Whether a part of HTML shows a character or an image of its own, with any values of its variables. `false` if that is not
/// known.
pub(in crate::engine) fn always_shows(block: &Block, partials: &BTreeMap<String, Block>) -> bool {
    let walk = Walk { partials };
    walk.reads(block, None, &mut Sight::new(), 0) == Some(true)
}

struct Walk<'e> {
    partials: &'e BTreeMap<String, Block>,
}

impl Walk<'_> {
    /// Reads a block. Returns whether it shows something on every path; `None` if the paths leave a reader in different
    /// states before one of them shows something.
    fn reads(
        &self,
        block: &Block,
        given: Option<&Given<'_>>,
        sight: &mut Sight,
        depth: usize,
    ) -> Option<bool> {
        if depth > MAX_DEPTH {
            return None;
        }
        let depth = depth + 1;
        for step in &block.0 {
            let shows = match &step.element {
                Element::Text(text) => sight.read(text),
                Element::Print(_) => {
                    // The variable may be blank.
                    sight.print();
                    false
                }
                Element::Choose {
                    branches: [yes, no], ..
                } => self.either(&[yes.as_ref(), no.as_ref()], given, sight, depth)?,
                Element::Each { body, otherwise, .. } | Element::With { body, otherwise, .. } => {
                    self.either(&[Some(body), otherwise.as_ref()], given, sight, depth)?
                }
                Element::Partial { name, block, .. } => {
                    let inner = block.as_ref().map(|block| Given { block, outer: given });
                    self.reads(self.partials.get(name)?, inner.as_ref(), sight, depth)?
                }
                Element::PartialBlock(fallback) => match (given, fallback) {
                    (Some(given), _) => self.reads(given.block, given.outer, sight, depth)?,
                    (None, Some(fallback)) => self.reads(fallback, None, sight, depth)?,
                    (None, None) => return None,
                },
            };
            if shows {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Reads one of several blocks.
    fn either(
        &self,
        blocks: &[Option<&Block>],
        given: Option<&Given<'_>>,
        sight: &Sight,
        depth: usize,
    ) -> Option<bool> {
        let mut all = true;
        for block in blocks {
            let mut after = sight.clone();
            let shows = block.map_or(Some(false), |block| self.reads(block, given, &mut after, depth))?;
            if !shows && after != *sight {
                return None;
            }
            all &= shows;
        }
        Some(all)
    }
}
