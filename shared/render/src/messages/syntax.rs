//! The sentences for entries of a file of texts that cannot be read. The parser's own ones name the rules of its grammar.

use carillon_domain::field_error::echo;
use fluent_syntax::parser::ErrorKind;

/// The sentence about an entry, which is named by its first line.
pub(super) fn sentence(kind: &ErrorKind, entry: &str) -> String {
    let first = entry.lines().map(str::trim).find(|line| !line.is_empty());
    let expected = if entry.lines().any(is_indented_by_tab) {
        "expected spaces at the beginning of a line, not a tab".to_owned()
    } else {
        expected(kind)
    };
    match first {
        Some(line) => format!("{expected} (here {})", echo(line)),
        None => expected,
    }
}

/// Whether a line with text begins with a tab. Fluent's grammar knows only spaces there.
fn is_indented_by_tab(line: &str) -> bool {
    line.starts_with('\t') && !line.trim().is_empty()
}

fn expected(kind: &ErrorKind) -> String {
    let fixed = match kind {
        ErrorKind::ExpectedToken('=') => "expected = behind the key of a text",
        ErrorKind::ExpectedToken('}') => "expected } after the text that begins with {",
        ErrorKind::ExpectedToken(token) => return format!("expected {token}"),
        ErrorKind::ExpectedCharRange { range } if range.contains('0') => "expected a digit",
        ErrorKind::ExpectedCharRange { .. } => "expected a key or name that begins with a letter",
        ErrorKind::ExpectedMessageField { entry_id } => {
            return format!("expected a text or an attribute behind {} =", echo(entry_id));
        }
        ErrorKind::ExpectedTermField { entry_id } => {
            return format!("expected a text behind -{} =", echo(entry_id));
        }
        ErrorKind::ForbiddenCallee => {
            "expected the name of a function in capital letters, such as NUMBER, before ("
        }
        ErrorKind::MissingDefaultVariant => "expected one variant with * before it, such as *[other]",
        ErrorKind::MultipleDefaultVariants => "expected only one variant with * before it",
        ErrorKind::MissingValue => "expected a text",
        ErrorKind::MessageReferenceAsSelector
        | ErrorKind::MessageAttributeAsSelector
        | ErrorKind::ExpectedSimpleExpressionAsSelector => {
            "expected a variable such as $count before ->, not another text"
        }
        ErrorKind::TermReferenceAsSelector => {
            "expected a variable or a term's attribute before ->, not a term"
        }
        ErrorKind::TermAttributeAsPlaceable => "expected an attribute of a term only before ->",
        ErrorKind::UnterminatedStringLiteral => "expected \" at the end of a quoted text, in the same line",
        ErrorKind::PositionalArgumentFollowsNamed => {
            "expected the value of a function before its options, such as NUMBER($n, style: \"percent\")"
        }
        ErrorKind::DuplicatedNamedArgument(name) => {
            return format!("expected the option {} once", echo(name));
        }
        ErrorKind::UnknownEscapeSequence(escape) => {
            return format!(
                "expected \\\\, \\\", \\u and four or \\U and six hexadecimal digits, not \\{}",
                echo(escape)
            );
        }
        ErrorKind::InvalidUnicodeEscapeSequence(escape) => {
            return format!(
                "expected \\u and four hexadecimal digits, or \\U and six, not {}",
                echo(escape)
            );
        }
        ErrorKind::UnbalancedClosingBrace => "expected { before }",
        ErrorKind::ExpectedInlineExpression => {
            "expected a variable ($name), a key, a quoted text, a number or a function between { and }"
        }
        ErrorKind::ExpectedLiteral => "expected a quoted text or a number as the value of an option",
    };
    fixed.to_owned()
}
