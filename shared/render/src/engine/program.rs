//! A template in the form that the engine runs. Handlebars parses it; helpers, variables and partials, which
//! handlebars' own renderer looks up by name at each use, are resolved once here. Each execution pays for its
//! work.

use std::fmt;

use carillon_domain::json::Value;

/// A sequence of elements.
#[derive(Debug, Default)]
pub(super) struct Block(pub(super) Vec<ElementLine>);

/// One element and its line, from 1.
#[derive(Debug)]
pub(super) struct ElementLine {
    pub(super) line: Option<usize>,
    pub(super) element: Element,
}

#[derive(Debug)]
pub(super) enum Element {
    /// The template's own text.
    Text(String),
    /// `{{…}}`.
    Print(Expr),
    /// `{{#if …}}`, `{{#unless …}}` and the conditions as blocks, such as `{{#eq a b}}`.
    Choose {
        test: Expr,
        /// Whether the number 0 counts as true (`includeZero=true`).
        include_zero: Option<Expr>,
        /// The block for true, then the one for false.
        branches: [Option<Block>; 2],
    },
    /// `{{#each list as |value index|}}`.
    Each {
        list: Expr,
        names: Vec<String>,
        body: Block,
        otherwise: Option<Block>,
    },
    /// `{{#with value as |name|}}`.
    With {
        value: Expr,
        names: Vec<String>,
        body: Block,
        otherwise: Option<Block>,
    },
    /// `{{> name value key=…}}`, and `{{#> name}}block{{/name}}`.
    Partial {
        name: String,
        value: Option<Expr>,
        variables: Vec<(String, Expr)>,
        block: Option<Block>,
    },
    /// `{{> @partial-block}}`, and the default for a partial that was given no block.
    PartialBlock(Option<Block>),
}

/// An expression, which has a value.
#[derive(Debug)]
pub(super) enum Expr {
    Literal(Value),
    Path(Path),
    Call(Call),
}

/// A variable: its spelling in the template, and its resolved path.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) raw: String,
    pub(super) from: From,
    /// The fields, outermost first.
    pub(super) names: Vec<String>,
}

/// Where a variable is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// The scope this many levels up.
    Scope(usize),
    /// The whole data (`@root`).
    Root,
    /// A variable of the current round of a loop (`@index`), this many levels up.
    Round(usize),
}

/// A helper and its arguments.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) helper: Helper,
    pub(super) args: Vec<Expr>,
    pub(super) named: Vec<(String, Expr)>,
}

/// The helpers that return a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Helper {
    T,
    Date,
    Number,
    Money,
    Url,
    Encode,
    Lookup,
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    And,
    Or,
    Not,
    Len,
}

impl Helper {
    /// The number of required parameters.
    pub(super) fn arity(self) -> usize {
        match self {
            Self::And
            | Self::Or
            | Self::T
            | Self::Date
            | Self::Number
            | Self::Url
            | Self::Encode
            | Self::Not
            | Self::Len => 1,
            Self::Money
            | Self::Lookup
            | Self::Eq
            | Self::Ne
            | Self::Gt
            | Self::Gte
            | Self::Lt
            | Self::Lte => 2,
        }
    }

    /// The most parameters; `None` is any number of them.
    pub(super) fn most(self) -> Option<usize> {
        match self {
            Self::And | Self::Or => None,
            Self::Date => Some(2),
            _ => Some(self.arity()),
        }
    }

    /// Whether it returns true or false, so that it can be used as a block.
    pub(super) fn is_condition(self) -> bool {
        matches!(
            self,
            Self::Eq
                | Self::Ne
                | Self::Gt
                | Self::Gte
                | Self::Lt
                | Self::Lte
                | Self::And
                | Self::Or
                | Self::Not
        )
    }
}

/// The expression in the template's spelling.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => write!(f, "{value}"),
            Self::Path(path) => f.write_str(&path.raw),
            Self::Call(call) => {
                f.write_str(call.helper.into())?;
                for arg in &call.args {
                    match arg {
                        Self::Call(_) => write!(f, " ({arg})")?,
                        _ => write!(f, " {arg}")?,
                    }
                }
                Ok(())
            }
        }
    }
}
