//! Twilio's error codes (`code` in the body of a 4xx), from Twilio's Error and Warning Dictionary
//! (<https://www.twilio.com/docs/api/errors>).

use Meaning::{Account, Address, Country, Gone, Maintenance, Message, Stopped, Throttle, ThrottleOfAddress};

/// The meaning of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The operator must repair it: credentials, sender, messaging service, registration.
    Account,
    /// The operator must allow the country of the number: geographic permissions.
    Country,
    /// The message cannot be sent in this form.
    Message,
    /// The message cannot be sent to this number; other messages may be.
    Address,
    /// The number takes no text messages.
    Gone,
    /// The recipient has answered STOP.
    Stopped,
    /// The account's rate is too high.
    Throttle,
    /// The rate to this number is too high.
    ThrottleOfAddress,
    /// Twilio is under maintenance and has not accepted the message.
    Maintenance,
}

/// The meaning of a code, and a sentence without a full stop; `None` if the code is not listed. Listed are the
/// synchronous errors of `POST …/Messages.json`, and codes of the dictionary that an edge location or a channel may
/// answer instead.
#[expect(
    clippy::match_same_arms,
    clippy::too_many_lines,
    reason = "a table in the order of Twilio's dictionary"
)]
pub(super) fn meaning(code: u32) -> Option<(Meaning, &'static str)> {
    Some(match code {
        14_107 => (Throttle, "the account sends too fast"),
        20_001..=20_002 => (Message, "a parameter is not accepted"),
        20_003 => (Account, "the credentials are not accepted"),
        20_004 => (Account, "the method is not allowed"),
        20_005..=20_006 => (Account, "the account is not active"),
        20_008 => (Account, "test credentials cannot do this"),
        20_010..=20_012 => (Account, "the account may not do this"),
        20_101..=20_107 => (Account, "the access token is not accepted"),
        20_151..=20_160 => (Account, "the access token is not accepted"),
        20_403 => (Account, "the account may not do this"),
        20_404 => (Account, "the account's URL does not exist"),
        20_429 => (Throttle, "the account sends too fast"),
        21_202 => (Address, "the number is a premium number"),
        21_203 => (Address, "the account may not send abroad"),
        21_210 => (Account, "the sender's number is not verified"),
        21_211 => (Gone, "the number is not a valid phone number"),
        21_212..=21_213 => (Account, "the sender's number is not accepted"),
        21_214 => (Address, "the number cannot be reached"),
        21_215 => (Address, "the account may not send to this region"),
        21_216 => (Address, "the number is blocked"),
        21_217 => (Gone, "the number is not a valid phone number"),
        21_219 => (Address, "a trial account sends to verified numbers only"),
        21_264 => (Account, "the sender's number is not accepted"),
        21_265 => (Gone, "the number is a short code"),
        21_266 => (Address, "the number is the sender's own"),
        21_267 => (Account, "a trial account has no alphanumeric sender"),
        21_268 => (Gone, "the number is a premium number"),
        21_401 => (Account, "the sender is not accepted"),
        21_407 => (Account, "the sender's number sends no text messages"),
        21_408 => (Country, "the account may not send to this region"),
        21_420..=21_422 => (Account, "the sender's number or application is not accepted"),
        21_470..=21_479 => (Account, "the account is not active"),
        21_601 => (Account, "the sender's number is not the account's"),
        21_602 => (Message, "the message has no text"),
        21_603 => (Account, "there is no sender"),
        21_604 => (Address, "there is no number"),
        21_605 => (Message, "the message is too long"),
        21_606..=21_607 => (Account, "the sender's number cannot send"),
        21_608 => (Address, "a trial account sends to verified numbers only"),
        21_609 => (Account, "the callback URL is not accepted"),
        21_610 => (Stopped, "the recipient has opted out by STOP"),
        21_611 => (Throttle, "the sender's queue is full"),
        21_612 => (Address, "the sender cannot reach this number"),
        21_613 => (Account, "the sender's number has to be certified"),
        21_614 => (Gone, "the number takes no text messages"),
        21_615..=21_616 => (Account, "the sender's number is not accepted"),
        21_617..=21_618 => (Message, "the text cannot be sent"),
        21_619..=21_620 => (Message, "the message cannot be built"),
        21_621..=21_622 => (Account, "the account sends no media"),
        21_623..=21_624 => (Message, "a parameter is not accepted"),
        21_626 => (Account, "the callback is not accepted"),
        21_627 => (Message, "a parameter is not accepted"),
        21_631 => (Account, "the sender's number has to be registered"),
        21_635 => (Gone, "the number is a landline"),
        21_649..=21_651 => (Account, "the sender's number has to be registered"),
        21_652..=21_656 => (Message, "a parameter is not accepted"),
        21_657 => (Account, "the sender is not accepted"),
        21_658 => (Message, "a parameter is too long"),
        21_659..=21_661 => (
            Account,
            "the sender's number is not the account's, or cannot send",
        ),
        21_662 => (Address, "the sender cannot reach this number in its region"),
        21_663..=21_668 => (Account, "the sender's number is configured wrongly"),
        21_701..=21_729 => (Account, "the messaging service is not accepted"),
        21_730 => (Maintenance, "the provider is under maintenance"),
        21_731..=21_741 => (Account, "the sender's brand is not accepted"),
        21_900..=21_902 => (Account, "the registration is not accepted"),
        21_910 => (Account, "the sender is of another channel"),
        23_001..=23_006 => (Account, "the account's redaction is configured wrongly"),
        30_001 => (Throttle, "the sender's queue is full"),
        30_002 => (Account, "the account is suspended"),
        30_003 => (Address, "the handset cannot be reached"),
        30_004 => (Address, "the number is blocked"),
        30_005..=30_006 => (Gone, "the number takes no text messages"),
        30_007 => (Message, "the message was filtered"),
        30_010 => (Message, "the message costs more than is allowed"),
        30_012..=30_013 => (Message, "the validity period is not accepted"),
        30_014..=30_016 => (Account, "the sender is of another channel"),
        30_017 => (ThrottleOfAddress, "the carrier's network is busy"),
        30_018 => (Account, "the sender has to be registered"),
        30_019 => (Message, "the message is too big for the carrier"),
        30_022..=30_023 => (Throttle, "the campaign sends too fast"),
        30_024 => (Account, "the sender has to be registered"),
        30_027 => (Throttle, "the campaign's daily limit is reached"),
        30_028..=30_035 => (Account, "the sender has to be registered"),
        30_125..=30_127 => (Account, "the messaging service is not accepted"),
        35_111..=35_126 => (Message, "a parameter is not accepted"),
        63_001..=63_002 => (Account, "the channel's credentials are not accepted"),
        63_003 => (Gone, "the channel does not know the number"),
        63_005..=63_006 => (Message, "the channel refuses the content"),
        63_007..=63_008 => (Account, "the channel is configured wrongly"),
        63_013 => (Message, "the channel's policy refuses the message"),
        63_014 => (Address, "the recipient has blocked the sender"),
        63_015..=63_016 => (Address, "the recipient has not agreed to messages"),
        63_017..=63_018 => (Throttle, "the channel's rate is exceeded"),
        63_019 => (Message, "the media cannot be loaded"),
        63_020 => (Account, "the channel's business account is not accepted"),
        63_021 => (Message, "the channel refuses the content"),
        63_022 => (Account, "the channel's certificate is not accepted"),
        63_024 => (Gone, "the channel does not know the number"),
        63_026 => (Message, "the message was filtered"),
        63_027..=63_028 => (Message, "the channel's template does not match the message"),
        63_030 => (Message, "a parameter is not accepted"),
        63_031..=63_033 => (Address, "the channel does not send to this number"),
        63_034 => (Message, "the media is too big"),
        63_035..=63_036 => (Address, "the channel does not reach this number"),
        63_037 => (Message, "the media cannot be loaded"),
        63_038 => (Throttle, "the account's daily limit is reached"),
        63_039 => (ThrottleOfAddress, "too much is sent to this recipient"),
        63_040..=63_042 => (Message, "the channel's template is not active"),
        63_051 => (Account, "the channel's business account is locked"),
        90_007..=90_014 => (Message, "the validity period is not accepted"),
        _ => return None,
    })
}
