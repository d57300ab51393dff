//! The attributes in whose quoted values variables are allowed.

/// The permitted use of a variable in an attribute's quoted value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Any variable: the value is a text, a number or a colour.
    Any,
    /// A link: `url` at its beginning, `encode` further on.
    Link,
    /// None: the value is script, style, a list of links, or unknown.
    None,
}

/// Attributes that are harmless on every element.
const HARMLESS: [&str; 44] = [
    "abbr",
    "align",
    "alt",
    "bgcolor",
    "border",
    "bordercolor",
    "cellpadding",
    "cellspacing",
    "class",
    "color",
    "cols",
    "colspan",
    "datetime",
    "dir",
    "face",
    "for",
    "headers",
    "height",
    "high",
    "hspace",
    "id",
    "label",
    "lang",
    "low",
    "max",
    "maxlength",
    "min",
    "nowrap",
    "optimum",
    "placeholder",
    "role",
    "rows",
    "rowspan",
    "scope",
    "size",
    "span",
    "start",
    "step",
    "summary",
    "title",
    "valign",
    "vspace",
    "width",
    "xml:lang",
];

/// Links that are followed or shown, each with its elements. Others load style, script or documents.
const LINKS: [(&str, &[&str]); 8] = [
    ("action", &["form"]),
    (
        "background",
        &["body", "table", "tbody", "td", "tfoot", "th", "thead", "tr"],
    ),
    ("cite", &["blockquote", "del", "ins", "q"]),
    ("formaction", &["button", "input"]),
    ("href", &["a", "area", "v:rect", "v:roundrect"]),
    ("poster", &["video"]),
    (
        "src",
        &["audio", "img", "input", "source", "v:fill", "v:image", "video"],
    ),
    ("xlink:href", &["a", "image"]),
];

/// Elements on which `value` is a text or a number. On `param` it may be the address of a plug-in's document.
const WITH_VALUE: [&str; 7] = ["button", "data", "input", "li", "meter", "option", "progress"];

pub(super) fn in_attribute(element: &str, attribute: &str) -> Use {
    if let Some((_, elements)) = LINKS.iter().find(|(name, _)| *name == attribute) {
        return if elements.contains(&element) {
            Use::Link
        } else {
            Use::None
        };
    }
    let harmless = HARMLESS.contains(&attribute)
        || attribute.starts_with("aria-")
        || (attribute == "value" && WITH_VALUE.contains(&element));
    if harmless { Use::Any } else { Use::None }
}
