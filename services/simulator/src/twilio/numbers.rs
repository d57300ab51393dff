//! Phone numbers, and Twilio's magic ones (from its "Test Credentials" page), which fail with a published code.

use super::error::TwilioError;

/// `+` and 7 to 15 digits that do not start with 0 (E.164).
pub(crate) fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The error of a receiver's number, if messages to it fail.
pub(super) fn receiver_at_fault(to: &str) -> Option<TwilioError> {
    let (code, message) = match to {
        "+15005550001" => (21_211, "Invalid 'To' Phone Number: +1500555XXXX"),
        "+15005550002" => (
            21_612,
            "Message cannot be sent with the current combination of 'To' and 'From' numbers",
        ),
        "+15005550003" => (
            21_408,
            "Permission to send an SMS has not been enabled for the region indicated by the 'To' number",
        ),
        "+15005550004" => (21_610, "Attempt to send to unsubscribed recipient"),
        "+15005550009" => (21_614, "'To' number is not a valid mobile number"),
        number if !is_e164(number) => (21_211, "Invalid 'To' Phone Number"),
        _ => return None,
    };
    Some(TwilioError::new(400, code, message))
}

/// The error of a sender's number, if messages from it fail. Short codes and alphanumeric senders are valid.
pub(super) fn sender_at_fault(from: &str) -> Option<TwilioError> {
    let (code, message) = match from {
        "+15005550001" => (21_212, "Invalid From Number (caller ID)"),
        "+15005550007" => (
            21_606,
            "The 'From' phone number provided is not a valid message-capable Twilio phone number",
        ),
        "+15005550008" => (
            21_611,
            "This 'From' number has exceeded the maximum number of queued messages",
        ),
        sender if is_sender(sender) => return None,
        _ => (21_212, "Invalid From Number (caller ID)"),
    };
    Some(TwilioError::new(400, code, message))
}

fn is_sender(from: &str) -> bool {
    let is_short_code = (5..=6).contains(&from.len()) && from.bytes().all(|byte| byte.is_ascii_digit());
    let is_alphanumeric = (1..=11).contains(&from.len())
        && from
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'+' | b'&'))
        && from.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_e164(from) || is_short_code || is_alphanumeric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_plus_and_up_to_fifteen_digits() {
        assert!(is_e164("+4915112345678"));
        for bad in [
            "4915112345678",
            "+0151",
            "+49151abc5678",
            "+1234567890123456",
            "+",
            "",
        ] {
            assert!(!is_e164(bad), "{bad} was taken");
        }
    }

    #[test]
    fn a_sender_is_a_number_a_short_code_or_a_name() {
        for good in ["+15005550006", "12345", "Carillon", "My Shop 24"] {
            assert_eq!(sender_at_fault(good), None, "{good} was refused");
        }
        for bad in ["", "1234", "A name that is too long", "Ümlaut"] {
            assert_eq!(
                sender_at_fault(bad).map(|error| error.code),
                Some(21_212),
                "{bad} was taken"
            );
        }
    }
}
