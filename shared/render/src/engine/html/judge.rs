//! Runs an HTML part's own text through the tokenizer, along every path through its blocks and partials.

use std::collections::{BTreeMap, HashMap};

use carillon_domain::field_error::echo;

use super::{
    allowed::{self, Use},
    link::Link,
    state::State,
};
use crate::engine::program::{Block, Call, Element, Expr, Helper};

/// The most places in which a variable can stand, depending on the blocks before it.
const MAX_STATES: usize = 16;
/// The most work on one part, in characters that are read, partials counted at each inclusion.
const MAX_WORK: usize = 4 * 1024 * 1024;
/// The work on one element apart from its text.
const ELEMENT_WORK: usize = 32;
/// The deepest inclusion that is followed; a deeper one is refused elsewhere.
const MAX_INCLUDES: usize = 8;
/// The deepest nesting of blocks, those of included partials counted.
const MAX_DEPTH: usize = 256;

const ALLOWED: &str = "a variable may stand in text, in <title> and <textarea>, and between the quotes of alt, \
     title, width and the other attributes that docs/templates.md lists";

/// A variable that is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::engine) struct RefusedVariable {
    /// The line of the variable.
    pub(in crate::engine) line: Option<usize>,
    /// The partial in which the variable stands, if it stands in one: its name, and the line of the part that includes
    /// it.
    pub(in crate::engine) inside: Option<(String, Option<usize>)>,
    pub(in crate::engine) code: &'static str,
    pub(in crate::engine) sentence: String,
}

/// Judges a part, or a partial that stands in text.
pub(in crate::engine) fn judge(block: &Block, partials: &BTreeMap<String, Block>) -> Vec<RefusedVariable> {
    let mut judge = Judge {
        partials,
        found: Vec::new(),
        clean: HashMap::new(),
        line: None,
        work: 0,
        depth: 0,
    };
    let place = JudgedSite {
        partial: None,
        includes: 0,
        given: None,
    };
    judge.block(block, place, vec![State::Text]);
    judge.found
}

/// The partial in which an element stands, with the line of the part that includes it.
#[derive(Clone, Copy)]
struct JudgedSite<'e> {
    partial: Option<(&'e str, Option<usize>)>,
    includes: usize,
    given: Option<&'e Given<'e>>,
}

/// The block that a partial is given; see [`crate::engine::exec`].
struct Given<'e> {
    block: &'e Block,
    place: JudgedSite<'e>,
}

struct Judge<'e> {
    partials: &'e BTreeMap<String, Block>,
    found: Vec<RefusedVariable>,
    /// Partials without a block in which nothing was refused: the places before and after each.
    clean: HashMap<&'e str, Vec<(States, States)>>,
    line: Option<usize>,
    work: usize,
    depth: usize,
}

/// The possible places of the output. The list is empty after a refusal that leaves them unknown.
type States = Vec<State>;

impl Judge<'_> {
    fn refuse(&mut self, place: JudgedSite<'_>, code: &'static str, sentence: String) {
        let found = RefusedVariable {
            line: self.line,
            inside: place.partial.map(|(name, via)| (name.to_owned(), via)),
            code,
            sentence,
        };
        if !self.found.contains(&found) {
            self.found.push(found);
        }
    }

    fn block(&mut self, block: &Block, place: JudgedSite<'_>, mut states: States) -> States {
        self.depth += 1;
        for step in &block.0 {
            if states.is_empty() {
                break;
            }
            self.line = step.line.or(self.line);
            self.work += ELEMENT_WORK;
            if self.work > MAX_WORK || self.depth > MAX_DEPTH {
                let sentence = "expected fewer blocks and partials inside of each other: \
                                the places of their variables cannot be found";
                self.refuse(place, "unsafe-place", sentence.to_owned());
                states.clear();
                break;
            }
            states = self.element(&step.element, place, states);
        }
        self.depth -= 1;
        states
    }

    fn optional(&mut self, block: Option<&Block>, place: JudgedSite<'_>, states: States) -> States {
        match block {
            Some(block) => self.block(block, place, states),
            None => states,
        }
    }

    fn element(&mut self, element: &Element, place: JudgedSite<'_>, states: States) -> States {
        match element {
            Element::Text(text) => {
                self.work += text.len() * states.len();
                State::read_all(states, text)
            }
            Element::Print(expr) => self.print(expr, place, states),
            Element::Choose {
                branches: [yes, no], ..
            } => {
                let line = self.line;
                let after = self.optional(yes.as_ref(), place, states.clone());
                let other = self.optional(no.as_ref(), place, states);
                self.line = line;
                self.either(place, after, other)
            }
            Element::Each { body, otherwise, .. } => {
                let line = self.line;
                let none = self.optional(otherwise.as_ref(), place, states.clone());
                let mut after = states;
                // Each round begins where the list begins or where a round ends.
                loop {
                    let round = self.block(body, place, after.clone());
                    self.line = line;
                    let known = after.len();
                    after = self.either(place, after, round);
                    if after.len() <= known {
                        break;
                    }
                }
                self.either(place, after, none)
            }
            Element::With { body, otherwise, .. } => {
                let line = self.line;
                let after = self.block(body, place, states.clone());
                let Some(otherwise) = otherwise else { return after };
                let other = self.block(otherwise, place, states);
                self.line = line;
                self.either(place, after, other)
            }
            Element::Partial { name, block, .. } => {
                let line = self.line;
                let given = block.as_ref().map(|block| Given { block, place });
                let after = self.partial(name, given.as_ref(), place, states);
                self.line = line;
                after
            }
            Element::PartialBlock(fallback) => {
                let line = self.line;
                let after = match place.given {
                    Some(given) => self.block(given.block, given.place, states),
                    None => self.optional(fallback.as_ref(), place, states),
                };
                self.line = line;
                after
            }
        }
    }

    fn partial(
        &mut self,
        name: &str,
        given: Option<&Given<'_>>,
        place: JudgedSite<'_>,
        states: States,
    ) -> States {
        let Some((name, partial)) = self.partials.get_key_value(name) else {
            return states;
        };
        if place.includes == MAX_INCLUDES {
            return states;
        }
        if given.is_none()
            && let Some(known) = self.clean.get(name.as_str())
            && let Some((_, after)) = known.iter().find(|(before, _)| *before == states)
        {
            return after.clone();
        }
        let inside = JudgedSite {
            partial: Some((name, place.partial.map_or(self.line, |(_, via)| via))),
            includes: place.includes + 1,
            given,
        };
        let refusals = self.found.len();
        let after = self.block(partial, inside, states.clone());
        if given.is_none() && self.found.len() == refusals {
            let known = self.clean.entry(name).or_default();
            known.push((states, after.clone()));
        }
        after
    }

    /// The places after one of two branches.
    fn either(&mut self, place: JudgedSite<'_>, mut one: States, other: States) -> States {
        for state in other {
            if !one.contains(&state) {
                one.push(state);
            }
        }
        if one.len() > MAX_STATES {
            let sentence = format!(
                "expected branches that end in the same place of the HTML: this block ends in more than {MAX_STATES}"
            );
            self.refuse(place, "unsafe-place", sentence);
            one.clear();
        }
        one
    }

    fn print(&mut self, expr: &Expr, place: JudgedSite<'_>, states: States) -> States {
        let helper = match expr {
            Expr::Call(Call { helper, .. }) => Some(*helper),
            _ => None,
        };
        let paths = states.len();
        let mut refusal = None;
        let mut after: States = Vec::with_capacity(paths);
        for state in states {
            if refusal.is_none() {
                refusal = why_not(&state, helper);
            }
            let state = written(state);
            if !after.contains(&state) {
                after.push(state);
            }
        }
        if let Some((code, expected)) = refusal {
            let path = if paths > 1 {
                ", on one path through the blocks before it"
            } else {
                ""
            };
            let sentence = format!("{expected} (here {}){path}", echo(expr));
            self.refuse(place, code, sentence);
        }
        after
    }
}

/// The place after the output of a variable.
fn written(state: State) -> State {
    match state {
        State::Quoted {
            element, name, quote, ..
        } => State::Quoted {
            element,
            name,
            quote,
            link: Link::Safe,
        },
        State::Text | State::Raw { matched: 0, .. } => state,
        // The variable is refused. The text after it is read as if the variable were a letter.
        state => state.step('x'),
    }
}

/// A stable code and a sentence.
type Refusal = (&'static str, String);

/// The reason why a variable is refused in a place.
fn why_not(state: &State, helper: Option<Helper>) -> Option<Refusal> {
    let never = |place: String| {
        let sentence = format!("expected no variable in {place}: {ALLOWED}");
        Some(("unsafe-place", sentence))
    };
    match state {
        State::Text
        | State::Raw {
            element: "title" | "textarea",
            matched: 0,
        } => None,
        State::Raw {
            element: "script", ..
        } => Some((
            "unsafe-script",
            format!("expected no variable in <script>: {ALLOWED}"),
        )),
        State::Raw { element, matched: 0 } => never(format!("<{element}>")),
        State::TagOpen | State::TagName(_) | State::Raw { .. } => never("the name of a tag".to_owned()),
        State::InTag { element }
        | State::AttributeName { element, .. }
        | State::AfterName { element, .. } => never(format!("the names of the attributes of <{element}>")),
        State::Declaration { .. } | State::Bogus => {
            never("a declaration or a processing instruction".to_owned())
        }
        State::Comment { .. } => never("an HTML comment, which {{!-- … --}} replaces".to_owned()),
        State::BeforeValue { element, name } | State::Unquoted { element, name } => {
            match allowed::in_attribute(element, name) {
                Use::None => Some(in_no_value(element, name)),
                Use::Any | Use::Link => Some((
                    "unquoted",
                    format!("expected quotes around the value of {name} of <{element}>"),
                )),
            }
        }
        State::Quoted {
            element, name, link, ..
        } => match allowed::in_attribute(element, name) {
            Use::Any => None,
            Use::None => Some(in_no_value(element, name)),
            Use::Link => in_link(element, name, link, helper),
        },
    }
}

fn in_no_value(element: &str, name: &str) -> Refusal {
    let code = if name.starts_with("on") {
        "unsafe-script"
    } else {
        "unsafe-place"
    };
    let sentence = format!("expected no variable in {name} of <{element}>: {ALLOWED}");
    (code, sentence)
}

fn in_link(element: &str, name: &str, link: &Link, helper: Option<Helper>) -> Option<Refusal> {
    let expected = match (link, helper) {
        (Link::Empty, Some(Helper::Url)) | (Link::Safe, Some(Helper::Encode)) => return None,
        (Link::Empty, _) => format!("expected {{{{url …}}}} at the beginning of {name} of <{element}>"),
        (Link::Safe, _) => format!("expected {{{{encode …}}}} inside {name} of <{element}>"),
        (Link::Start(_) | Link::Unsafe, _) => format!(
            "expected {name} of <{element}> to begin with https:, http:, mailto:, tel:, sms: or cid: before a variable"
        ),
    };
    Some(("unsafe-link", expected))
}
