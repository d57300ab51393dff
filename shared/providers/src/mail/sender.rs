//! The sender of a relay's mails.

use std::str::FromStr;

use carillon_domain::{EmailAddress, field_error::quoted, visible::is_steering};
use lettre::{Address, message::Mailbox};
use serde::{Deserialize, Serialize};

/// The longest display name of a sender, in octets.
const LONGEST_NAME: usize = 200;

/// The sender of mails, such as `Shop <shop@example.com>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailSender {
    text: String,
    mailbox: Mailbox,
}

impl MailSender {
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }
}

impl FromStr for MailSender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "an address such as Shop <shop@example.com>";
        let wrong = |expected: &str| format!("expected {expected}, not {}", quoted(text));
        let mailbox: Mailbox = text.parse().map_err(|_| wrong(example))?;
        let name = mailbox.name.as_deref().unwrap_or_default();
        if name.len() > LONGEST_NAME || name.chars().any(is_steering) {
            return Err(wrong(&format!(
                "a display name of at most {LONGEST_NAME} octets without characters that control the text or its direction, \
                 as in {example}"
            )));
        }
        let address = EmailAddress::parse(mailbox.email.as_ref())
            .map_err(|error| format!("{error}, in {}", quoted(text)))?;
        if address.needs_smtputf8() {
            return Err(wrong(&format!(
                "{example} with ASCII letters before the @, because bounces come from servers that know no others"
            )));
        }
        Ok(Self {
            text: text.to_owned(),
            mailbox: Mailbox::new(mailbox.name, to_lettre(&address)),
        })
    }
}

impl TryFrom<String> for MailSender {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MailSender> for String {
    fn from(sender: MailSender) -> Self {
        sender.text
    }
}

/// Converts an address for lettre without lettre's own check, whose rule differs from Carillon's.
pub(super) fn to_lettre(address: &EmailAddress) -> Address {
    Address::new_dangerous(address.local(), address.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_of_mail_follows_the_rule_for_addresses() {
        for from in [
            "shop@example.com",
            "Shop <shop@bücher.example>",
            "Große Läden <shop@example.com>",
        ] {
            from.parse::<MailSender>().unwrap();
        }
        let long = format!("{} <shop@example.com>", "n".repeat(1_000));
        for from in [
            "",
            "nonsense",
            "Shop",
            "shop@[127.0.0.1]",
            "Shop <shop@localhost>",
            "Shop <läden@example.com>",
            "Shop <shop\u{200b}@example.com>",
            "Sho\u{202e}p <shop@example.com>",
            "Shop\u{2067} <shop@example.com>",
            &long,
        ] {
            let said = from.parse::<MailSender>().unwrap_err();
            assert!(
                said.contains("expected") && said.contains(&quoted(from)),
                "{from}: {said}"
            );
        }
    }
}
