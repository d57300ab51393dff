//! Conditional requests (RFC 9110 §13.1): `If-Match` and `If-None-Match`, with one meaning at every route.

use std::fmt;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};

use super::problem::{MAX_ECHO, Problem, ProblemError, ProblemKind, cut};
use crate::quoted::quoted;

/// The headers of conditional requests, for the OpenAPI document.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
pub struct ConditionHeaders {
    /// Entity tags, one of which must be the present one, or `*`: it must exist
    #[param(rename = "If-Match")]
    pub if_match: Option<String>,
    /// `*`: it must not exist; or entity tags that must not be the present one
    #[param(rename = "If-None-Match")]
    pub if_none_match: Option<String>,
}

/// The conditions of a request. Without headers, they hold for every resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`: any representation that exists.
    Any,
    Of(Vec<Tag>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    is_weak: bool,
    /// The tag with its quotes.
    opaque: String,
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = match self {
            Self::Any => return f.write_str("*"),
            Self::Of(tags) => tags,
        };
        for (index, tag) in tags.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let weak = if tag.is_weak { "W/" } else { "" };
            write!(f, "{comma}{weak}{}", tag.opaque)?;
        }
        Ok(())
    }
}

/// A condition that does not hold: the header, its value, and the present entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    header: &'static str,
    value: String,
    present: Option<String>,
}

impl Unmet {
    fn new(header: &'static str, tags: &Tags, current: &str) -> Self {
        Self {
            header,
            value: cut(tags.to_string(), MAX_ECHO),
            present: (!current.is_empty()).then(|| current.to_owned()),
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            header,
            value,
            present,
        } = self;
        write!(f, "the header {header}: ")?;
        match (*header, present) {
            ("if-match", Some(tag)) if value.contains(&format!("W/{tag}")) => write!(
                f,
                "expected the present version as a strong tag, {tag}, not {value}: if-match matches no weak tag"
            ),
            ("if-match", Some(tag)) => write!(f, "expected the present version, {tag}, not {value}"),
            ("if-match", None) => write!(f, "there is no present version that {value} could match"),
            (_, Some(tag)) if value == "*" => {
                write!(
                    f,
                    "expected that there is nothing here, but there is the version {tag}"
                )
            }
            (_, Some(tag)) => write!(
                f,
                "expected another version than the present one, {tag}, not {value}"
            ),
            (_, None) => write!(f, "expected that there is nothing here, but there is something"),
        }
    }
}

impl Conditions {
    /// The condition that a resource still has this entity tag (quotes included).
    #[must_use]
    pub fn exactly(tag: &str) -> Self {
        let tag = Tag {
            is_weak: false,
            opaque: tag.to_owned(),
        };
        Self {
            if_match: Some(Tags::Of(vec![tag])),
            if_none_match: None,
        }
    }

    /// The condition that the resource does not exist yet.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            if_match: None,
            if_none_match: Some(Tags::Any),
        }
    }

    /// The condition that the resource exists.
    #[must_use]
    pub fn existing() -> Self {
        Self {
            if_match: Some(Tags::Any),
            if_none_match: None,
        }
    }

    /// Reads the headers. A text that is not a list of entity tags is a malformed header.
    pub fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: tags(headers, &header::IF_MATCH)?,
            if_none_match: tags(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// The conditions, if the request has any.
    #[must_use]
    pub fn given(&self) -> Option<&Self> {
        (self.if_match.is_some() || self.if_none_match.is_some()).then_some(self)
    }

    /// Checks the conditions for a resource: whether it exists, which decides `*`, and its present entity tag, which
    /// is empty if there is none. `If-Match` compares strongly: a weak tag matches nothing. `If-None-Match` ignores
    /// weakness.
    pub fn check(&self, exists: bool, current: &str) -> Result<(), Unmet> {
        if let Some(tags) = &self.if_match {
            let may = match tags {
                Tags::Any => exists,
                Tags::Of(tags) => tags.iter().any(|tag| !tag.is_weak && tag.opaque == current),
            };
            if !may {
                return Err(Unmet::new("if-match", tags, current));
            }
        }
        if let Some(tags) = &self.if_none_match {
            let stands_in_the_way = match tags {
                Tags::Any => exists,
                Tags::Of(tags) => tags.iter().any(|tag| tag.opaque == current),
            };
            if stands_in_the_way {
                return Err(Unmet::new("if-none-match", tags, current));
            }
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}

/// Several lines of a header are one list.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Problem> {
    let mut found = Vec::new();
    let mut is_any = false;
    for value in headers.get_all(name) {
        let value = String::from_utf8_lossy(value.as_bytes());
        if value.trim() == "*" {
            is_any = true;
        } else {
            found.extend(list(&value).ok_or_else(|| unreadable(name, &value))?);
        }
    }
    Ok(match (is_any, found.is_empty()) {
        (false, true) => None,
        (false, false) => Some(Tags::Of(found)),
        (true, true) => Some(Tags::Any),
        (true, false) => return Err(unreadable(name, "* and entity tags")),
    })
}

/// A list of entity tags; `None` if the text is not one, or is empty.
fn list(text: &str) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut rest = text.trim();
    loop {
        let bare = rest.strip_prefix("W/");
        let quoted = bare.unwrap_or(rest).strip_prefix('"')?;
        let (opaque, after) = quoted.split_once('"')?;
        tags.push(Tag {
            is_weak: bare.is_some(),
            opaque: format!("\"{opaque}\""),
        });
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(tags);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

fn unreadable(name: &HeaderName, value: &str) -> Problem {
    let value: String = value.chars().take(100).collect();
    let text = format!(
        "the header {name}: expected entity tags in quotes, such as \"3\", or *, not {}",
        quoted(&value)
    );
    let error = ProblemError {
        pointer: String::new(),
        code: "format".to_owned(),
        message: text.clone(),
    };
    Problem::new(ProblemKind::MalformedHeader, text).with_errors(vec![error])
}

/// For routes whose resources have no entity tag: a condition is a problem that names its header, because a caller who
/// sends one relies on it.
#[derive(Debug)]
pub struct NoConditions;

impl<S: Send + Sync> FromRequestParts<S> for NoConditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        for name in [&header::IF_MATCH, &header::IF_NONE_MATCH] {
            if parts.headers.contains_key(name) {
                let text =
                    format!("the header {name}: expected none, because this resource has no entity tag");
                let error = ProblemError {
                    pointer: String::new(),
                    code: "unsupported".to_owned(),
                    message: text.clone(),
                };
                return Err(Problem::new(ProblemKind::MalformedHeader, text).with_errors(vec![error]));
            }
        }
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &HeaderName, values: &[&str]) -> Result<Conditions, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().unwrap());
        }
        Conditions::read(&headers)
    }

    #[test]
    fn if_match_holds_for_an_existing_resource_whose_tag_is_listed() {
        let holds =
            |values: &[&str], exists, tag| of(&header::IF_MATCH, values).unwrap().check(exists, tag).is_ok();
        assert!(holds(&[], false, "") && holds(&[], true, "\"1\""));
        assert!(holds(&["*"], true, "\"1\"") && !holds(&["*"], false, ""));
        assert!(holds(&["\"1\""], true, "\"1\"") && !holds(&["\"2\""], true, "\"1\""));
        assert!(!holds(&["\"1\""], false, ""), "there is nothing of this version");
        assert!(holds(&["\"2\" , \"1\""], true, "\"1\""));
        assert!(holds(&["\"2\"", "\"a,b\",\"1\""], true, "\"1\""), "several lines");
        assert!(!holds(&["W/\"1\""], true, "\"1\""), "a weak tag never matches");
    }

    #[test]
    fn if_none_match_holds_unless_a_listed_representation_exists() {
        let holds = |values: &[&str], exists, tag| {
            of(&header::IF_NONE_MATCH, values)
                .unwrap()
                .check(exists, tag)
                .is_ok()
        };
        assert!(holds(&["*"], false, "") && !holds(&["*"], true, "\"1\""));
        assert!(holds(&["\"2\""], true, "\"1\"") && !holds(&["\"1\""], true, "\"1\""));
        assert!(
            !holds(&["W/\"1\""], true, "\"1\""),
            "weakness does not matter here"
        );
        assert_eq!(of(&header::IF_NONE_MATCH, &["*"]).unwrap(), Conditions::absent());
        assert_eq!(of(&header::IF_MATCH, &["*"]).unwrap(), Conditions::existing());
        assert_eq!(
            of(&header::IF_MATCH, &["\"7\""]).unwrap(),
            Conditions::exactly("\"7\"")
        );
    }

    #[test]
    fn an_unmet_condition_is_named_with_its_value_and_the_present_version() {
        let said = |name: &HeaderName, value: &str, exists, tag: &str| {
            let unmet = of(name, &[value]).unwrap().check(exists, tag).unwrap_err();
            unmet.to_string()
        };
        assert_eq!(
            said(&header::IF_MATCH, "\"2\",W/\"3\"", true, "\"3\""),
            "the header if-match: expected the present version as a strong tag, \"3\", not \"2\", W/\"3\": if-match matches \
             no weak tag"
        );
        assert_eq!(
            said(&header::IF_NONE_MATCH, "*", true, "\"7\""),
            "the header if-none-match: expected that there is nothing here, but there is the version \"7\""
        );
        assert_eq!(
            said(&header::IF_MATCH, "*", false, ""),
            "the header if-match: there is no present version that * could match"
        );
        assert_eq!(
            said(&header::IF_MATCH, "W/\"2\"", true, "\"3\""),
            "the header if-match: expected the present version, \"3\", not W/\"2\""
        );
        assert_eq!(
            said(&header::IF_NONE_MATCH, "\"3\"", true, "\"3\""),
            "the header if-none-match: expected another version than the present one, \"3\", not \"3\""
        );
        let long = format!("\"{}\"", "x".repeat(5_000));
        assert!(said(&header::IF_MATCH, &long, true, "\"1\"").chars().count() < 240);
    }

    #[test]
    fn a_header_that_is_not_a_list_of_entity_tags_is_refused_by_name() {
        for value in ["1", "\"1", "\"1\" \"2\"", "\"1\",", "*, \"1\"", "w/\"1\"", ""] {
            for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
                let problem = of(&name, &[value]).unwrap_err();
                assert_eq!((problem.status, problem.errors.len()), (400, 1), "{value}");
                assert!(problem.detail.contains(name.as_str()), "{}", problem.detail);
            }
        }
        assert!(of(&header::IF_MATCH, &["*", "\"1\""]).is_err());
    }
}
