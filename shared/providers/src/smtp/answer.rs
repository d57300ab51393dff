//! The meaning of a transaction that did not end with the relay's acceptance. It depends on the stage: before the
//! content nothing was sent; after its first byte the mail may have gone out.

use super::{reply::Reply, stage::Stage};
use crate::outcome::{Refusal, Scope, SendOutcome};

/// Why a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpFault<'a> {
    /// The relay refused a command or the content.
    Reply {
        /// The reply code.
        code: u16,
        /// The text of the reply's first line, which may begin with an enhanced code.
        text: &'a str,
    },
    /// TLS could not be agreed on.
    Tls,
    /// The relay does not offer an extension that the configuration demands.
    Unsupported,
    /// The relay does not offer SMTPUTF8, which the mail needs. No command of the mail was sent.
    NoSmtpUtf8,
    /// The relay did not answer in time.
    TimedOut,
    /// There is no connection, or it broke.
    Lost,
}

/// The outcome of a mail whose transaction ended at this stage.
pub fn classify(fault: SmtpFault<'_>, stage: Stage) -> SendOutcome {
    let of_account = |code, detail| SendOutcome::Config(Refusal::new(Scope::Account, code, detail));
    let of_connection = |code, detail| Refusal::new(Scope::Connection, code, detail);
    match fault {
        SmtpFault::Reply { code, text } => Reply::new(code, text).outcome(stage),
        SmtpFault::Tls => of_account("tls", "the relay's TLS certificate is not accepted"),
        SmtpFault::NoSmtpUtf8 => SendOutcome::Terminal(Refusal::new(
            Scope::Message,
            "smtputf8-unsupported",
            "the address has letters before the @ that the relay does not take (SMTPUTF8)",
        )),
        SmtpFault::TimedOut => {
            let refusal = of_connection("timeout", "the relay did not answer in time");
            if stage == Stage::Content {
                SendOutcome::Uncertain(refusal)
            } else {
                SendOutcome::Retry(refusal)
            }
        }
        SmtpFault::Lost | SmtpFault::Unsupported if stage == Stage::Content => {
            let detail = "the connection broke before the relay had answered";
            SendOutcome::Uncertain(of_connection("connection-lost", detail))
        }
        SmtpFault::Unsupported => of_account(
            "unsupported",
            "the relay does not offer the configured security or login",
        ),
        SmtpFault::Lost => SendOutcome::Retry(of_connection("connect", "the relay could not be reached")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 4] = [Stage::Connect, Stage::Envelope, Stage::Recipient, Stage::Content];

    fn said(fault: SmtpFault<'_>, stage: Stage) -> String {
        let outcome = classify(fault, stage);
        format!("{} {}", outcome.name(), outcome.refusal().unwrap().code)
    }

    #[test]
    fn silence_after_the_content_is_uncertain_and_before_it_is_not() {
        for (fault, before, after) in [
            (SmtpFault::TimedOut, "retry timeout", "uncertain timeout"),
            (SmtpFault::Lost, "retry connect", "uncertain connection-lost"),
            (
                SmtpFault::Unsupported,
                "config unsupported",
                "uncertain connection-lost",
            ),
        ] {
            for stage in STAGES {
                let expected = if stage == Stage::Content { after } else { before };
                assert_eq!(said(fault, stage), expected, "{fault:?} {stage:?}");
            }
        }
    }

    #[test]
    fn a_fault_of_the_operator_is_named_as_one() {
        assert_eq!(said(SmtpFault::Tls, Stage::Connect), "config tls");
        let relay = SmtpFault::Reply {
            code: 535,
            text: "5.7.8 bad credentials",
        };
        assert_eq!(said(relay, Stage::Connect), "config 5.7.8");
        assert_eq!(
            said(SmtpFault::NoSmtpUtf8, Stage::Connect),
            "terminal smtputf8-unsupported"
        );
    }
}
