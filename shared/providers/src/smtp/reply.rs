//! The meaning of SMTP's negative replies: by reply code, refined by the enhanced code (RFC 3463) and by the stage of the
//! transaction.
//!
//! Sources: RFC 5321 §4.2, RFC 3463 and its IANA registry, RFC 6647 (greylisting), Exchange Online's non-delivery
//! reports (5.4.1, 5.7.515), Gmail's SMTP errors (4.7.28, 5.7.26), Amazon SES's SMTP responses (454).

use carillon_domain::contact::DeathReason;

use super::stage::Stage;
use crate::outcome::{Refusal, Scope, SendOutcome};

/// A negative reply.
pub(super) struct Reply {
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
    pub(super) fn new(code: u16, line: &str) -> Self {
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
    pub(super) fn outcome(&self, stage: Stage) -> SendOutcome {
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
mod tests;
