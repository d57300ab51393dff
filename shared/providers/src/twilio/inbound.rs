//! Messages that recipients send to the account. Twilio posts them to the webhook of the number or of the messaging service, signed like
//! a status callback (<https://www.twilio.com/docs/messaging/guides/webhook-request>).

use std::collections::BTreeMap;

use super::TwilioConfig;

/// The parameters of a call.
pub(super) type Parameters = BTreeMap<String, String>;

/// The status of a message that the account has received.
pub(super) const RECEIVED: &str = "received";

/// The words by which Twilio lets a number be sent to again, in any case and as the whole text
/// (<https://help.twilio.com/articles/223134027>). A messaging service with Advanced Opt-Out may have others; its calls tell the kind of
/// the word as `OptOutType`.
const OPT_IN_WORDS: [&str; 3] = ["START", "YES", "UNSTOP"];

/// The parameter with the kind of the word: `STOP`, `START` or `HELP`
/// (<https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out>).
const KIND_OF_WORD: &str = "OptOutType";

/// The sender of the account's messages. An opt-out at Twilio holds for one sender, so only an answer to it ends one of the account's.
pub(super) struct Sender {
    /// The parameter that names the sender in a message to it.
    parameter: &'static str,
    /// The number or the messaging service; `None` if the settings lack it.
    value: Option<String>,
}

impl Sender {
    pub(super) fn of(config: &TwilioConfig) -> Self {
        match &config.messaging_service_sid {
            Some(service) => Self {
                parameter: "MessagingServiceSid",
                value: Some(service.as_str().to_owned()),
            },
            None => Self {
                parameter: "To",
                value: config.from.as_ref().map(|from| from.as_str().to_owned()),
            },
        }
    }

    /// The number whose owner asks this sender for messages again, if a received message does so.
    pub(super) fn opted_in(&self, parameters: &Parameters) -> Option<String> {
        let given = |name: &str| parameters.get(name).map(String::as_str);
        let is_to_us = self.value.is_some() && given(self.parameter) == self.value.as_deref();
        let is_opt_in = if let Some(kind) = given(KIND_OF_WORD) {
            kind == "START"
        } else {
            let word = given("Body").unwrap_or_default().trim();
            OPT_IN_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
        };
        // The address of another channel has a prefix, such as `whatsapp:`.
        let number = given("From").filter(|from| from.starts_with('+'))?;
        (is_to_us && is_opt_in).then(|| number.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::testing::config;

    const SERVICE: &str = "MG00000000000000000000000000000001";

    fn opted_in(sender: &Sender, given: &[(&str, &str)]) -> Option<String> {
        let usual = [
            ("From", "+491511234567"),
            ("To", "+15550001111"),
            ("MessagingServiceSid", SERVICE),
        ];
        let parameters = usual
            .iter()
            .chain(given)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        sender.opted_in(&parameters.collect())
    }

    fn service() -> Sender {
        Sender::of(&TwilioConfig {
            from: None,
            messaging_service_sid: Some(SERVICE.parse().unwrap()),
            ..config()
        })
    }

    #[test]
    fn the_whole_text_has_to_be_a_word_of_opting_in() {
        let sender = Sender::of(&config());
        for text in ["START", "start", " Start\n", "UNSTOP", "yes"] {
            assert_eq!(
                opted_in(&sender, &[("Body", text)]).as_deref(),
                Some("+491511234567"),
                "{text}"
            );
        }
        for text in ["STOP", "START please", "please start", "HELP", "", "STARTS"] {
            assert_eq!(opted_in(&sender, &[("Body", text)]), None, "{text}");
        }
        assert_eq!(opted_in(&sender, &[]), None);
    }

    #[test]
    fn the_kind_that_twilio_names_counts_whatever_the_text_is() {
        for (kind, text, counts) in [
            ("START", "HOLA", true),
            ("STOP", "START", false),
            ("HELP", "YES", false),
        ] {
            let found = opted_in(&service(), &[("OptOutType", kind), ("Body", text)]);
            assert_eq!(found.is_some(), counts, "{kind} {text}");
        }
    }

    #[test]
    fn only_an_answer_to_the_accounts_own_sender_by_text_message_counts() {
        let (number, start) = (Sender::of(&config()), ("Body", "START"));
        assert_eq!(opted_in(&number, &[start, ("To", "+15550002222")]), None);
        assert_eq!(
            opted_in(&number, &[start, ("From", "whatsapp:+491511234567")]),
            None
        );
        assert!(opted_in(&service(), &[start, ("To", "+15550002222")]).is_some());
        let other = "MG00000000000000000000000000000002";
        assert_eq!(
            opted_in(&service(), &[start, ("MessagingServiceSid", other)]),
            None
        );
        let without = Sender::of(&TwilioConfig {
            from: None,
            ..config()
        });
        assert_eq!(opted_in(&without, &[start]), None);
    }
}
