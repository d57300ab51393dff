//! Formats a text. Every piece pays for its work, so that texts which multiply each other end.

use std::borrow::Cow;

use carillon_domain::{field_error::quoted, json::Value};
use intl_pluralrules::{PluralCategory, PluralRuleType, PluralRules, operands::PluralOperands};

use super::{
    Bundle, MessageError, Messages,
    functions::Function,
    tree::{Expr, Pattern, Piece, VariantKey},
};
use crate::{
    budget::Budget,
    fault::Fault,
    helpers::{self, Arg, LocalReader},
    limits,
};

/// The context in which a text is formatted.
pub(super) struct Resolver<'r> {
    pub(super) messages: &'r Messages,
    pub(super) args: &'r [(&'r str, &'r Value)],
    /// All variables of the template, in which a refused value is looked for.
    pub(super) root: Option<&'r Value>,
    pub(super) reader: LocalReader<'r>,
    pub(super) budget: &'r Budget,
}

/// The place of an expression: the bundle of its text in the chain, and the arguments of its term.
#[derive(Clone, Copy)]
pub(super) struct TermSite<'p, 'r> {
    pub(super) bundle: usize,
    pub(super) term: Option<&'p [(&'r str, Chosen<'r>)]>,
}

/// The value of an expression.
#[derive(Clone)]
pub(super) struct Chosen<'v> {
    /// Its plain text, by which it selects; a number's digits.
    plain: Cow<'v, str>,
    /// The written text, if it differs from `plain`.
    shown: Option<String>,
    ordinal: bool,
}

impl<'v> Chosen<'v> {
    fn plain(plain: impl Into<Cow<'v, str>>) -> Self {
        Self {
            plain: plain.into(),
            shown: None,
            ordinal: false,
        }
    }
}

impl<'r> Resolver<'r> {
    pub(super) fn pattern(
        &self,
        pattern: &'r Pattern,
        place: TermSite<'_, 'r>,
        out: &mut String,
    ) -> Result<(), MessageError> {
        self.budget.enter()?;
        for piece in pattern {
            self.budget.pay(1)?;
            match piece {
                Piece::Text(text) => self.write(text, out)?,
                Piece::Placeable(expr) => self.place(expr, place, out)?,
            }
        }
        self.budget.leave();
        Ok(())
    }

    fn write(&self, text: &str, out: &mut String) -> Result<(), MessageError> {
        self.budget.pay_bytes(text.len())?;
        if out.len() + text.len() > limits::PART_BYTES {
            return Err(Fault::Overflow.into());
        }
        out.push_str(text);
        Ok(())
    }

    pub(super) fn place(
        &self,
        expr: &'r Expr,
        place: TermSite<'_, 'r>,
        out: &mut String,
    ) -> Result<(), MessageError> {
        match expr {
            Expr::Message(key) => {
                let (bundle, pattern) = self.find(key, place)?;
                self.pattern(
                    pattern,
                    TermSite {
                        bundle,
                        term: place.term,
                    },
                    out,
                )
            }
            Expr::Term { key, args } => {
                let (bundle, pattern) = self.find(key, place)?;
                let mut given = Vec::with_capacity(args.len());
                for (name, expr) in args {
                    given.push((
                        name.as_str(),
                        self.value(expr, place)?.ok_or_else(|| missing(expr))?,
                    ));
                }
                let term = Some(given.as_slice());
                self.pattern(pattern, TermSite { bundle, term }, out)
            }
            Expr::Select {
                selector,
                variants,
                default,
            } => {
                let chosen = match self.value(selector, place)? {
                    Some(value) => self.choose(&value, variants, place)?.unwrap_or(*default),
                    // A term without the argument that selects (a grammatical case, for example) takes the
                    // default.
                    None if place.term.is_some() => *default,
                    None => return Err(missing(selector)),
                };
                let (_, pattern) = &variants[chosen];
                self.pattern(pattern, place, out)
            }
            expr => {
                let value = self.value(expr, place)?.ok_or_else(|| missing(expr))?;
                self.write(value.shown.as_deref().unwrap_or(&value.plain), out)
            }
        }
    }

    /// The value of an expression, for selecting and for writing; `None` if its variable was not passed.
    fn value(&self, expr: &'r Expr, place: TermSite<'_, 'r>) -> Result<Option<Chosen<'r>>, MessageError> {
        self.budget.pay(1)?;
        Ok(Some(match expr {
            Expr::Literal(text) => Chosen::plain(text.as_str()),
            Expr::Variable(name) => match place.term {
                Some(given) => match given.iter().find(|(given, _)| given == name) {
                    Some((_, value)) => {
                        let shown = value.shown.as_ref().map_or(0, String::len);
                        self.budget.pay_bytes(value.plain.len() + shown)?;
                        value.clone()
                    }
                    None => return Ok(None),
                },
                None => match self.args.iter().find(|(given, _)| given == name) {
                    Some((_, value)) => {
                        let arg = Arg {
                            written: &Written(expr),
                            value,
                            root: self.root,
                        };
                        let plain = match value {
                            Value::String(text) => Cow::Borrowed(text.as_str()),
                            _ => Cow::Owned(helpers::plain(&arg, self.budget)?.into_owned()),
                        };
                        self.budget.pay_bytes(plain.len())?;
                        Chosen::plain(plain)
                    }
                    None => return Ok(None),
                },
            },
            Expr::Call { function, arg } => {
                let Some(value) = self.value(arg, place)? else {
                    return Ok(None);
                };
                self.call(function, arg, &value.plain, place)?
            }
            Expr::Message(_) | Expr::Term { .. } | Expr::Select { .. } => {
                let mut text = String::new();
                self.place(expr, place, &mut text)?;
                Chosen::plain(text)
            }
        }))
    }

    fn call(
        &self,
        function: &Function,
        arg: &Expr,
        plain: &str,
        place: TermSite<'_, 'r>,
    ) -> Result<Chosen<'r>, MessageError> {
        self.budget.pay_bytes(plain.len())?;
        let text = Value::String(plain.to_owned());
        let written = Written(arg);
        // A text is taken from the event itself, so that an error can point at it.
        let value = match (place.term, arg) {
            (None, Expr::Variable(name)) => self.args.iter().find(|(given, _)| given == name),
            _ => None,
        };
        let arg = Arg {
            written: &written,
            value: value.map_or(&text, |(_, value)| *value),
            root: self.root,
        };
        match function {
            Function::Number { format, ordinal } => {
                let (plain, shown) = helpers::formatted_number(&arg, format, self.reader.conventions)?;
                Ok(Chosen {
                    plain: plain.into(),
                    shown: Some(shown),
                    ordinal: *ordinal,
                })
            }
            Function::DateTime(format) => {
                let shown = helpers::formatted_date(&arg, *format, self.reader, self.budget)?;
                Ok(Chosen {
                    shown: Some(shown),
                    ..Chosen::plain(plain.to_owned())
                })
            }
        }
    }

    /// The first variant that a value selects: by its text, by its number, or by the plural category of that.
    fn choose(
        &self,
        value: &Chosen<'_>,
        variants: &[(VariantKey, Pattern)],
        place: TermSite<'_, 'r>,
    ) -> Result<Option<usize>, MessageError> {
        let bundle = &self.messages.0[place.bundle];
        let digits = number(&value.plain);
        let operands = digits.as_deref().and_then(operands);
        let category = operands.and_then(|operands| bundle.category(operands, value.ordinal));
        for (index, (key, _)) in variants.iter().enumerate() {
            self.budget.pay(1)?;
            let selected = match key {
                VariantKey::Word(word) => {
                    self.budget.pay_bytes(word.len())?;
                    *word == value.plain || category == Some(word.as_str())
                }
                VariantKey::Number(key) => match &digits {
                    Some(digits) => {
                        self.budget.pay_bytes(key.len() + digits.len())?;
                        number(key).is_some_and(|key| same_number(&key, digits))
                    }
                    None => false,
                },
            };
            if selected {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// A text by its key: from the bundle of the text that refers to it, or from the fallback bundles.
    fn find(&self, key: &str, place: TermSite<'_, 'r>) -> Result<(usize, &'r Pattern), MessageError> {
        self.messages
            .find(key, place.bundle)
            .ok_or_else(|| MessageError::Broken(format!("there is no {key}")))
    }
}

fn missing(expr: &Expr) -> MessageError {
    match expr {
        Expr::Variable(name) => MessageError::MissingArgument(name.clone()),
        Expr::Call { arg, .. } => missing(arg),
        _ => MessageError::Broken("a value is missing".to_owned()),
    }
}

/// An expression as the file writes it.
struct Written<'e>(&'e Expr);

impl std::fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Expr::Variable(name) => write!(f, "${name}"),
            Expr::Literal(text) => f.write_str(&quoted(text)),
            Expr::Message(key) | Expr::Term { key, .. } => f.write_str(key),
            Expr::Call { arg, .. } => Written(arg).fmt(f),
            Expr::Select { .. } => f.write_str("a selected text"),
        }
    }
}

/// The operands by which a number's digits select a plural category; at most 18 behind the point. The rules are
/// computed in floating point, which holds 15 digits. For a longer number the last digits suffice in every
/// language, together with the fact that there are more.
fn operands(digits: &str) -> Option<PluralOperands> {
    const EXACT: usize = 15;
    const DECIDING: usize = 9;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 18 {
        return None;
    }
    let whole = whole.trim_start_matches('-');
    if whole.len() <= EXACT {
        return PluralOperands::try_from(digits).ok();
    }
    let last = &whole[whole.len() - DECIDING..];
    let point = if fraction.is_empty() { "" } else { "." };
    PluralOperands::try_from(format!("1{last}{point}{fraction}").as_str()).ok()
}

/// The digits of a number, without an exponent. As in conditions, white space around a number is no part of it.
fn number(text: &str) -> Option<String> {
    let text = text.trim();
    helpers::digits(text).filter(|_| !text.ends_with('.'))
}

/// Whether two numbers without an exponent are equal, regardless of leading and trailing zeros.
fn same_number(a: &str, b: &str) -> bool {
    bare(a) == bare(b)
}

/// A number's sign, and its digits before and behind the point without the zeros that do not count.
fn bare(text: &str) -> (bool, &str, &str) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    (text.starts_with('-'), whole, fraction)
}

impl Bundle {
    fn category(&self, operands: PluralOperands, ordinal: bool) -> Option<&'static str> {
        let rules = if ordinal { &self.ordinal } else { &self.cardinal };
        let category = rules.as_ref()?.select(operands).ok()?;
        Some(match category {
            PluralCategory::ZERO => "zero",
            PluralCategory::ONE => "one",
            PluralCategory::TWO => "two",
            PluralCategory::FEW => "few",
            PluralCategory::MANY => "many",
            PluralCategory::OTHER => "other",
        })
    }

    /// A language's plural rules, or those of the root locale if it has none.
    pub(super) fn rules(tag: &str, kind: PluralRuleType) -> Option<PluralRules> {
        let language: unic_langid::LanguageIdentifier = tag.parse().ok()?;
        let bare = unic_langid::LanguageIdentifier::from_parts(language.language, None, None, &[]);
        PluralRules::create(language, kind)
            .or_else(|_| PluralRules::create(bare, kind))
            .ok()
    }
}
