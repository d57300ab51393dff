//! A template as the engine runs it. Handlebars parses; what its own renderer would look up by name at each use (helpers,
//! variables, partials) is resolved once here, and whatever runs pays for its work.

use std::fmt;

use carillon_domain::json::Value;

/// A run of elements.
#[derive(Debug, Default)]
pub(super) struct Block(pub(super) Vec<Step>);

/// One element, and the line at which it stands, from 1.
#[derive(Debug)]
pub(super) struct Step {
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
    /// `{{> @partial-block}}`, with what stands in its place where the partial was given no block.
    PartialBlock(Option<Block>),
}

/// What has a value.
#[derive(Debug)]
pub(super) enum Expr {
    Literal(Value),
    Path(Path),
    Call(Call),
}

/// A variable, as it is written and as it is looked up.
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
    /// The scope so many levels up.
    Scope(usize),
    /// The whole data (`@root`).
    Root,
    /// What a loop says of its present round (`@index`), so many levels up.
    Round(usize),
}

/// A helper and what it is given.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) helper: Helper,
    pub(super) args: Vec<Expr>,
    pub(super) named: Vec<(String, Expr)>,
}

/// The helpers that have a value.
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
    /// How many parameters it needs.
    pub(super) fn arity(self) -> usize {
        match self {
            Self::And | Self::Or => 0,
            Self::T | Self::Date | Self::Number | Self::Url | Self::Encode | Self::Not | Self::Len => 1,
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

    /// Whether it answers yes or no, so that it may stand as a block.
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

/// As the template writes it.
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
