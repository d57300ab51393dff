//! The beginning of a link, which decides whether a variable may follow.

/// A link's value, up to a place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing but white space.
    Empty,
    /// Letters that may become a scheme.
    Start(String),
    /// A scheme that is safe to follow, or the beginning of a relative link.
    Safe,
    /// Another scheme, or a beginning that cannot be judged.
    Unsafe,
}

/// The longest beginning that is kept: that of a safe scheme and one letter more.
const LONGEST: usize = 8;

impl Link {
    /// Reads one more character of the template's own text.
    pub(super) fn step(self, c: char) -> Self {
        match self {
            // Browsers remove these from every link.
            Self::Empty | Self::Start(_) if matches!(c, '\t' | '\n' | '\r') => self,
            Self::Empty if c == ' ' => self,
            Self::Empty => Self::Start(String::new()).step(c),
            Self::Start(mut letters) => match c {
                ':' => match letters.as_str() {
                    "https" | "http" | "mailto" | "tel" | "sms" | "cid" => Self::Safe,
                    _ => Self::Unsafe,
                },
                '/' | '?' | '#' => Self::Safe,
                _ if c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.') => {
                    if letters.len() < LONGEST {
                        letters.push(c.to_ascii_lowercase());
                    }
                    Self::Start(letters)
                }
                // A character reference may stand for any character.
                _ => Self::Unsafe,
            },
            Self::Safe | Self::Unsafe => self,
        }
    }
}
