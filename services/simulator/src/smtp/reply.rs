//! Replies, and mailboxes that refuse mail.

use crate::faults::{Answer, enhanced_code_fits};

/// A one-line reply: code, enhanced status code, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    code: u16,
    enhanced: String,
    text: String,
}

impl Reply {
    pub(super) fn new(code: u16, enhanced: &str, text: impl Into<String>) -> Self {
        Self {
            code,
            enhanced: enhanced.to_owned(),
            text: text.into(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let space = if self.enhanced.is_empty() { "" } else { " " };
        out.extend_from_slice(format!("{} {}{space}{}\r\n", self.code, self.enhanced, self.text).as_bytes());
    }
}

/// The reply of a fault script. A code of another provider is replaced by the usual one.
pub(super) fn scripted(answer: &Answer) -> Reply {
    let usual = match answer.status {
        421 => "4.3.2",
        450 | 451 => "4.7.1",
        452 => "4.3.1",
        454 => "4.7.0",
        535 => "5.7.8",
        550 => "5.1.1",
        552 => "5.2.2",
        554 => "5.7.1",
        400..=499 => "4.0.0",
        _ => "5.0.0",
    };
    let code = answer
        .code
        .as_deref()
        .filter(|code| enhanced_code_fits(code, Some(answer.status)))
        .unwrap_or(usual);
    let text = if answer.status < 500 {
        "Not now, try again later"
    } else {
        "Not taken"
    };
    Reply::new(answer.status, code, text)
}

/// The refusal of a mailbox, by the start of its local part; `None` for all other mailboxes.
pub(super) fn mailbox_fate(address: &str) -> Option<Reply> {
    const FATES: [(&str, u16, &str, &str); 4] = [
        ("no-such-user", 550, "5.1.1", "No such user here"),
        ("mailbox-full", 452, "4.2.2", "Mailbox full"),
        ("greylisted", 451, "4.7.1", "Greylisted, try again later"),
        ("blocked", 550, "5.7.1", "Refused by policy"),
    ];
    let local = address
        .rsplit_once('@')
        .map_or(address, |(local, _)| local)
        .to_ascii_lowercase();
    FATES
        .into_iter()
        .find(|(prefix, ..)| local.starts_with(prefix))
        .map(|(_, code, enhanced, text)| Reply::new(code, enhanced, text))
}
