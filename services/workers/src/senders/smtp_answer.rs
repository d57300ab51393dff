//! The meaning of SMTP replies: by reply code, refined by the enhanced code (RFC 3463) and by the stage of the
//! transaction.
//!
//! Sources: RFC 5321 §4.2, RFC 3463 and its IANA registry, RFC 6647 (greylisting), Exchange Online's non-delivery
//! reports (5.4.1, 5.7.515), Gmail's SMTP errors (4.7.28, 5.7.26), Amazon SES's SMTP responses (454).

use std::error::Error as _;

use carillon_domain::contact::DeathReason;

use crate::outcome::{Refusal, Scope, SendOutcome};

/// The stage that a transaction has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connecting, TLS, AUTH: a refusal concerns the account.
    Connect,
    /// At `MAIL FROM`: a refusal concerns the account's sender, or the message's size.
    Envelope,
    /// At `RCPT TO`, and up to the content: a refusal concerns the address, its domain, or the account.
    Recipient,
    /// From the content's first byte to the reply after the final dot.
    Content,
}

pub(super) fn timed_out(stage: Stage) -> SendOutcome {
    let refusal = Refusal::new(Scope::Connection, "timeout", "the relay did not answer in time");
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
            Reply::new(u16::from(code), &line).outcome(stage)
        }
        None if error.is_tls() => SendOutcome::Config(Refusal::new(
            Scope::Account,
            "tls",
            "the relay's TLS certificate is not accepted",
        )),
        None if stage == Stage::Content => SendOutcome::Uncertain(Refusal::new(
            Scope::Connection,
            "connection-lost",
            "the connection broke before the relay had answered",
        )),
        None if error.is_client() => SendOutcome::Config(Refusal::new(
            Scope::Account,
            "unsupported",
            "the relay does not offer the configured security or login",
        )),
        None => SendOutcome::Retry(Refusal::new(
            Scope::Connection,
            "connect",
            "the relay could not be reached",
        )),
    }
}

/// A negative reply.
struct Reply {
    code: u16,
    enhanced: Option<(u16, u16, u16)>,
}

/// The enhanced code that a reply's text begins with: (class, subject, detail). Some relays add punctuation:
/// `#5.1.0`, `5.1.1:`, `[5.1.1]`.
fn enhanced(line: &str) -> Option<(u16, u16, u16)> {
    let number = |part: &str| {
        let is_number = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let mut words = line.split_whitespace();
    let mut word = words.next()?.trim_matches(|c: char| c.is_ascii_punctuation());
    if word.is_empty() {
        // The punctuation is a word of its own: `# 5.1.0`.
        word = words.next()?.trim_matches(|c: char| c.is_ascii_punctuation());
    }
    let mut parts = word.split('.').map(number);
    let code = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && matches!(code.0, 4 | 5)).then_some(code)
}

impl Reply {
    fn new(code: u16, line: &str) -> Self {
        Self {
            code,
            enhanced: enhanced(line),
        }
    }

    fn refusal(&self, scope: Scope, detail: &str) -> Refusal {
        let name = self
            .enhanced
            .map_or_else(|| self.code.to_string(), |(a, b, c)| format!("{a}.{b}.{c}"));
        Refusal::new(scope, name, detail)
    }

    fn config(&self, detail: &str) -> SendOutcome {
        SendOutcome::Config(self.refusal(Scope::Account, detail))
    }

    fn throttle(&self, scope: Scope, detail: &str) -> SendOutcome {
        SendOutcome::Throttle(self.refusal(scope, detail))
    }

    fn terminal(&self, scope: Scope, detail: &str) -> SendOutcome {
        SendOutcome::Terminal(self.refusal(scope, detail))
    }

    /// The reply code tells whether the refusal is temporary or permanent. The enhanced code refines its
    /// subject, even if its class differs from the reply code's.
    fn outcome(&self, stage: Stage) -> SendOutcome {
        // X.0.0 adds nothing to the reply code.
        let about = self
            .enhanced
            .map(|(_, subject, detail)| (subject, detail))
            .filter(|(subject, _)| *subject != 0);
        match self.code {
            530 | 534 | 535 | 538 => self.config("the credentials are not accepted"),
            400..500 => match stage {
                Stage::Connect | Stage::Envelope => {
                    self.throttle(Scope::Account, "the relay asks for a pause")
                }
                Stage::Recipient | Stage::Content => self.for_now(about, stage),
            },
            _ => match stage {
                Stage::Connect => self.config("the relay does not accept us"),
                Stage::Envelope if self.code == 552 || about == Some((3, 4)) => {
                    self.terminal(Scope::Message, "the message is too big for the relay")
                }
                Stage::Envelope => self.config("the relay does not accept our sender"),
                Stage::Recipient | Stage::Content => self.for_good(about, stage),
            },
        }
    }

    /// A temporary refusal (4yz) after `MAIL FROM`.
    fn for_now(&self, about: Option<(u16, u16)>, stage: Stage) -> SendOutcome {
        match (self.code, about) {
            // 421 closes the channel; 454 means SES's sending rate, or a temporary failure of AUTH.
            (421 | 454 | 455, _) => self.throttle(Scope::Account, "the relay asks for a pause"),
            // The domain of the account's sender cannot be looked up.
            (_, Some((1, 7 | 8))) => self.throttle(Scope::Account, "the relay cannot check our sender now"),
            (_, Some((1 | 2, _))) => {
                SendOutcome::Retry(self.refusal(Scope::Address, "the mailbox does not take mail now"))
            }
            (_, Some((6, _))) => {
                SendOutcome::Retry(self.refusal(Scope::Message, "the message cannot be converted now"))
            }
            // Greylisting, a domain's own rate, or its name server: other domains are not affected.
            (_, Some((4 | 7, _))) | (450, None) => {
                self.throttle(Scope::Domain, "the recipient's domain asks for a pause")
            }
            (451 | 452, None) if stage == Stage::Recipient => {
                self.throttle(Scope::Domain, "the recipient's domain asks for a pause")
            }
            (_, Some((3 | 5, _))) | (451 | 452, None) => {
                self.throttle(Scope::Account, "the relay cannot take more now")
            }
            _ => SendOutcome::Retry(self.refusal(Scope::Account, "the relay refused for now")),
        }
    }

    /// A permanent refusal (5yz) after `MAIL FROM`.
    fn for_good(&self, about: Option<(u16, u16)>, stage: Stage) -> SendOutcome {
        match (self.code, about) {
            // Bad sequence, unknown command or parameter, HELO refused: these are independent of the
            // recipient.
            (500 | 502..=504 | 555, _) => self.config("the relay refuses a command or a parameter"),
            (_, Some((1, 7 | 8))) => self.config("the relay does not accept our sender"),
            (_, Some((3, 5))) => self.config("the relay is configured wrongly"),
            (_, Some((7, 8 | 9 | 11 | 13 | 14 | 57 | 60 | 64))) => {
                self.config("the relay does not accept us")
            }
            (_, Some((1, 0..=3 | 6 | 10) | (2 | 4, 1))) | (556, None) => {
                let refusal = self.refusal(Scope::Address, "the mailbox does not exist");
                SendOutcome::AddressDead(refusal, DeathReason::Gone)
            }
            (_, Some((2, 2))) => SendOutcome::Retry(self.refusal(Scope::Address, "the mailbox is full")),
            (552, None) if stage == Stage::Recipient => {
                SendOutcome::Retry(self.refusal(Scope::Address, "the mailbox is full"))
            }
            (_, Some((2, 3) | (3, 4))) | (552, None) => {
                self.terminal(Scope::Message, "the message is too big")
            }
            // Microsoft's rules for senders: authentication (515), blocked networks (606 to 649).
            (_, Some((7, 515 | 606..=649))) => {
                let detail = "the recipient's domain does not accept our sender";
                SendOutcome::Config(self.refusal(Scope::Domain, detail))
            }
            (_, Some((7, _))) => self.terminal(Scope::Address, "the recipient's side does not allow it"),
            (_, Some((6, _))) => self.terminal(Scope::Message, "the relay refused the message"),
            _ if stage == Stage::Recipient => self.terminal(Scope::Address, "the relay refused the address"),
            (_, Some((1 | 2 | 4, _))) => self.terminal(Scope::Address, "the relay refused the address"),
            _ => self.terminal(Scope::Message, "the relay refused the message"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stage: Stage, reply: &str) -> String {
        let (code, line) = reply.split_once(' ').unwrap_or((reply, ""));
        let outcome = Reply::new(code.parse().unwrap(), line).outcome(stage);
        let scope = outcome.refusal().unwrap().scope;
        format!("{} {scope:?}", outcome.name()).to_lowercase()
    }

    #[test]
    fn a_reply_to_the_recipient_is_about_the_address_its_domain_or_us() {
        for (reply, expected) in [
            ("550 5.1.1 no such user", "address_dead address"),
            ("550 5.1.1: no such user", "address_dead address"),
            ("550 #5.1.0 Address rejected", "address_dead address"),
            ("550 [5.1.1] unknown", "address_dead address"),
            ("550 (5.1.1) unknown", "address_dead address"),
            ("550 <5.1.1> unknown", "address_dead address"),
            ("550 5.1.1, unknown", "address_dead address"),
            ("550 # 5.1.0 rejected", "address_dead address"),
            ("551 5.1.6 moved", "address_dead address"),
            ("550 5.1.2 no such domain", "address_dead address"),
            ("553 5.1.3 not an address", "address_dead address"),
            ("501 5.1.3 not an address", "address_dead address"),
            ("550 5.1.10 null MX", "address_dead address"),
            ("556 the domain takes no mail", "address_dead address"),
            ("550 5.2.1 disabled", "address_dead address"),
            (
                "550 5.4.1 Recipient address rejected: Access denied",
                "address_dead address",
            ),
            ("552 5.2.2 full", "retry address"),
            ("552 exceeded storage allocation", "retry address"),
            ("552 5.3.4 too big", "terminal message"),
            ("550 5.2.3 too big for the mailbox", "terminal message"),
            ("550 no such user", "terminal address"),
            ("551 not here", "terminal address"),
            ("553 no", "terminal address"),
            ("554 no", "terminal address"),
            ("550 5.0.0 no", "terminal address"),
            ("501 5.5.4 invalid address", "terminal address"),
            ("554 5.7.1 Relay access denied", "terminal address"),
            ("550 5.7.1 Relaying denied", "terminal address"),
            ("550 5.7.26 not authenticated", "terminal address"),
            ("550 5.7.515 not allowed", "config domain"),
            ("550 5.7.606 banned", "config domain"),
            ("550 5.7.60 may not send as this sender", "config account"),
            ("550 5.1.8 bad sender's domain", "config account"),
            ("553 5.1.7 bad sender", "config account"),
            ("504 5.5.2 Helo command rejected", "config account"),
            ("503 5.5.1 bad sequence", "config account"),
            ("503", "config account"),
            ("502 5.5.1 unknown", "config account"),
            ("555 5.5.4 unknown parameter", "config account"),
            ("530 5.7.0 authenticate first", "config account"),
            ("535 5.7.8 bad credentials", "config account"),
            ("450 4.7.1 greylisted", "throttle domain"),
            ("451 4.7.1 greylisted", "throttle domain"),
            ("452 4.7.28 too fast", "throttle domain"),
            ("450 greylisted", "throttle domain"),
            ("451 greylisted", "throttle domain"),
            ("451 4.4.3 name server", "throttle domain"),
            ("450 4.1.2 domain not found for now", "retry address"),
            ("450 4.2.1 busy", "retry address"),
            ("452 4.2.2 full", "retry address"),
            ("450 4.1.8 sender's domain not found", "throttle account"),
            ("452 4.3.1 no space", "throttle account"),
            ("452 4.5.3 too many", "throttle account"),
            ("421 4.7.0 try later", "throttle account"),
            (
                "454 Throttling failure: Maximum sending rate exceeded.",
                "throttle account",
            ),
            ("454 4.7.1 relay access denied", "throttle account"),
            ("458 not now", "retry account"),
        ] {
            assert_eq!(said(Stage::Recipient, reply), expected, "{reply}");
        }
    }

    #[test]
    fn a_reply_to_the_content_is_about_the_message_the_address_its_domain_or_us() {
        for (reply, expected) in [
            ("554 5.6.0 bad content", "terminal message"),
            ("554 transaction failed", "terminal message"),
            ("550 refused", "terminal message"),
            ("552 too big", "terminal message"),
            ("552 5.2.2 full", "retry address"),
            ("550 5.1.1 no such user", "address_dead address"),
            ("554 5.7.1 spam", "terminal address"),
            ("550 5.7.515 not allowed", "config domain"),
            ("503 5.5.1 bad sequence", "config account"),
            ("451 4.7.1 greylisted", "throttle domain"),
            ("451 4.3.0 try again", "throttle account"),
            ("452 4.3.1 no space", "throttle account"),
            ("452 no space", "throttle account"),
            ("451 local error", "throttle account"),
            ("421 closing", "throttle account"),
            (
                "454 Throttling failure: Daily message quota exceeded.",
                "throttle account",
            ),
        ] {
            assert_eq!(said(Stage::Content, reply), expected, "{reply}");
        }
    }

    #[test]
    fn a_reply_before_the_recipient_is_about_us_or_the_messages_size() {
        for stage in [Stage::Connect, Stage::Envelope] {
            for (reply, expected) in [
                ("421 4.3.2 closing", "throttle account"),
                ("450 4.7.1 not now", "throttle account"),
                ("454 4.7.0 temporary failure", "throttle account"),
                ("535 5.7.8 bad credentials", "config account"),
                ("503 5.5.1 bad sequence", "config account"),
                ("504 5.5.2 Helo command rejected", "config account"),
                ("550 5.1.1 no such sender", "config account"),
                ("554 5.7.1 no", "config account"),
                ("550 5.7.515 not allowed", "config account"),
            ] {
                assert_eq!(said(stage, reply), expected, "{reply}");
            }
        }
        assert_eq!(said(Stage::Envelope, "552 too big"), "terminal message");
        assert_eq!(said(Stage::Envelope, "554 5.3.4 too big"), "terminal message");
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
        assert_eq!(enhanced("#5.1.0: x"), Some((5, 1, 0)));
        for no in [
            "10.0.0.1 refused",
            "[10.0.0.1] refused",
            "3.1.1",
            "2.1.5 fine",
            "5.1",
            "5.1.+1",
            "5.1.1111",
            "5..1",
            "#",
            "",
        ] {
            assert_eq!(enhanced(no), None, "{no}");
        }
    }
}
