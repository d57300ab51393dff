//! What SMTP replies mean: by reply code, refined by the enhanced code (RFC 3463), and by how far the transaction came.

use std::error::Error as _;

use crate::outcome::{Refusal, SendOutcome};

/// How far a transaction came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connecting, TLS, AUTH: a refusal speaks of us.
    Connect,
    /// At `MAIL FROM`: a refusal speaks of our sender, or of the message's size.
    Envelope,
    /// At `RCPT TO`, and up to the content: a refusal speaks of the address.
    Recipient,
    /// From the content's first byte to the reply after the final dot.
    Content,
}

pub(super) fn timed_out(stage: Stage) -> SendOutcome {
    let refusal = Refusal::new("timeout", "the relay did not answer in time");
    if stage == Stage::Content {
        SendOutcome::Uncertain(refusal)
    } else {
        SendOutcome::Retry(refusal)
    }
}

pub(super) fn classify(error: &lettre::transport::smtp::Error, stage: Stage) -> SendOutcome {
    match error.status() {
        Some(code) => {
            let line = error.source().map(ToString::to_string).unwrap_or_default();
            classify_reply(u16::from(code), enhanced(&line), stage)
        }
        None if error.is_tls() => {
            SendOutcome::Config(Refusal::new("tls", "the relay's TLS certificate is not accepted"))
        }
        None if stage == Stage::Content => {
            let detail = "the connection broke before the relay had answered";
            SendOutcome::Uncertain(Refusal::new("connection-lost", detail))
        }
        None if error.is_client() => SendOutcome::Config(Refusal::new(
            "unsupported",
            "the relay does not offer what is configured",
        )),
        None => SendOutcome::Retry(Refusal::new("connect", "the relay could not be reached")),
    }
}

/// The enhanced code that a reply's text begins with: (class, subject, detail).
fn enhanced(line: &str) -> Option<(u16, u16, u16)> {
    let mut parts = line
        .split_whitespace()
        .next()?
        .split('.')
        .map(|part| part.parse().ok());
    let code = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(code.0, 2 | 4 | 5)).then_some(code)
}

fn classify_reply(code: u16, enhanced: Option<(u16, u16, u16)>, stage: Stage) -> SendOutcome {
    let refusal = |detail: &str| {
        let name = enhanced.map_or_else(|| code.to_string(), |(a, b, c)| format!("{a}.{b}.{c}"));
        Refusal::new(name, detail)
    };
    match (code, enhanced) {
        (530 | 534 | 535 | 538, _) => SendOutcome::Config(refusal("the credentials are not accepted")),
        // A full, busy or greylisting mailbox speaks of itself; pausing the account for it would stop all mail.
        (450..=452, enhanced) if stage == Stage::Recipient && !matches!(enhanced, Some((4, 3 | 7, _))) => {
            SendOutcome::Retry(refusal("the mailbox does not take mail now").of_message())
        }
        (421 | 450 | 451 | 452 | 454, _) | (400..500, Some((4, 7, _))) => {
            SendOutcome::Throttle(refusal("the relay asks for patience"))
        }
        (400..500, _) => SendOutcome::Retry(refusal("the relay refused for now")),
        (552, _) | (_, Some((5, 3, 4))) if stage == Stage::Envelope => {
            SendOutcome::Terminal(refusal("the message is too big for the relay"))
        }
        _ if matches!(stage, Stage::Connect | Stage::Envelope) => {
            SendOutcome::Config(refusal("the relay does not accept us or our sender"))
        }
        (_, Some((5, 1, 0 | 1 | 10) | (5, 2, 1))) => {
            SendOutcome::AddressDead(refusal("there is no such mailbox"))
        }
        (_, Some((5, 2, 2))) => SendOutcome::Retry(refusal("the mailbox is full").of_message()),
        // From here on a refusal is this recipient's or this message's: others' domains have other rules. What the
        // operator mends (DMARC, say) can be replayed.
        (_, Some((5, 7, _))) => SendOutcome::Terminal(refusal("the recipient's side does not allow it")),
        (550 | 551 | 553, None) if stage == Stage::Recipient => {
            SendOutcome::Terminal(refusal("the relay refused the address"))
        }
        _ => SendOutcome::Terminal(refusal("the relay refused the message")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart_by_their_codes() {
        for (code, line, expected) in [
            (550, "5.7.1 this user takes no mail from you", "terminal"),
            (550, "5.1.1 no such user", "address_dead"),
            (550, "5.2.1 disabled", "address_dead"),
            (552, "5.2.2 full", "retry"),
            (550, "5.7.26 dmarc", "terminal"),
            (550, "5.7.515 not allowed", "terminal"),
            (550, "no idea", "terminal"),
            (535, "5.7.8 bad credentials", "config"),
            (421, "4.7.0 try later", "throttle"),
            (451, "greylisted", "retry"),
            (452, "4.2.2 full", "retry"),
            (452, "4.3.1 no space", "throttle"),
            (450, "4.7.1 slow down", "throttle"),
            (
                454,
                "Throttling failure: Maximum sending rate exceeded.",
                "throttle",
            ),
            (432, "4.3.2 not now", "retry"),
            (554, "5.6.0 bad content", "terminal"),
        ] {
            assert_eq!(
                classify_reply(code, enhanced(line), Stage::Recipient).name(),
                expected,
                "{code} {line}"
            );
        }
    }

    #[test]
    fn silence_after_the_content_is_uncertain_and_before_it_is_not() {
        assert_eq!(timed_out(Stage::Content).name(), "uncertain");
        assert_eq!(timed_out(Stage::Envelope).name(), "retry");
        assert_eq!(timed_out(Stage::Connect).name(), "retry");
    }

    #[test]
    fn an_enhanced_code_is_only_what_looks_like_one() {
        assert_eq!(enhanced("5.1.1 x"), Some((5, 1, 1)));
        assert_eq!(enhanced("10.0.0.1 refused"), None);
        assert_eq!(enhanced("3.1.1"), None);
        assert_eq!(enhanced(""), None);
    }
}
