//! The error types of SES's `SendEmail`, and those that all AWS services share.
//!
//! Sources: the service model `sesv2` 2019-09-27 of botocore
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>), its common errors
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html>), the errors of signatures
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>), and SES's sending errors
//! (<https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html>).

use Meaning::{Account, Address, Clock, Doubtful, Failed, Message, Throttle};

/// The meaning of an error type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The operator must repair it: credentials, permissions, sender, configuration set, the account's state.
    Account,
    /// The clock of this machine, or of a proxy, is wrong by more than minutes.
    Clock,
    /// The message cannot be sent in this form.
    Message,
    /// The input is refused, because of the address, the message or the sender: SES has one type for all three. A long
    /// run of such errors is the account's fault.
    Address,
    /// The account's rate or quota is exceeded.
    Throttle,
    /// The service failed and may have taken the message.
    Failed,
    /// The request was broken off; the message may have been taken.
    Doubtful,
}

/// The meaning of an error type, and a sentence without a full stop; `None` if the type is not listed.
#[expect(clippy::match_same_arms, reason = "a table in the order of the references")]
pub(super) fn meaning(kind: &str) -> Option<(Meaning, &'static str)> {
    Some(match kind {
        // SendEmail
        "AccountSuspendedException" => (Account, "the account may not send any more"),
        "SendingPausedException" => (
            Account,
            "sending is paused for the account or the configuration set",
        ),
        "MailFromDomainNotVerifiedException" => (Account, "the MAIL FROM domain is not verified"),
        "NotFoundException" => (Account, "the configuration set does not exist"),
        // "Email address is not verified" has this type too, for the sender, and for receivers in the sandbox.
        "MessageRejected" | "MessageRejectedException" => (
            Address,
            "the mail is refused, or the sender or receiver is not verified in the region",
        ),
        "BadRequestException" => (Address, "the address or the mail is not accepted"),
        "TooManyRequestsException" => (Throttle, "the account sends too fast"),
        "LimitExceededException" => (Throttle, "a limit of the account is reached"),
        // All services
        "ThrottlingException"
        | "Throttling"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequests"
        | "SlowDown" => (Throttle, "the account sends too fast"),
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "UnauthorizedOperation" => {
            (Account, "the access key may not send from this sender")
        }
        "ExpiredToken" | "ExpiredTokenException" => (Account, "the temporary credentials have expired"),
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => (Account, "the access key is not accepted"),
        "RequestExpired" | "RequestTimeTooSkewed" => (Clock, "the clock of this machine is wrong"),
        // AWS answers a signature with a time too far from its own by these types as well.
        "InvalidSignatureException" | "SignatureDoesNotMatch" => (
            Clock,
            "the secret of the access key, or the clock of this machine, is wrong",
        ),
        "IncompleteSignature" | "IncompleteSignatureException" => (Account, "the signature is not accepted"),
        "InvalidAction" | "UnknownOperationException" | "UnknownOperation" | "MalformedQueryString" => {
            (Account, "the account's URL is not SES's API")
        }
        "ValidationError"
        | "ValidationException"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "MissingParameter"
        | "SerializationException" => (Address, "the address or the mail is not accepted"),
        "MalformedHttpRequestException" => (Message, "the request is not accepted"),
        "RequestEntityTooLargeException" => (Message, "the mail is too big"),
        "RequestAbortedException" | "RequestTimeoutException" => (Doubtful, "the request was broken off"),
        "InternalFailure"
        | "InternalServiceErrorException"
        | "InternalServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => (Failed, "the service failed and may have taken the mail"),
        _ => return None,
    })
}
