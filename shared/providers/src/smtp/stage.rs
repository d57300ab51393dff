//! The stages of an SMTP transaction.

/// The stage that a transaction has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connecting, TLS, AUTH: a refusal concerns the account.
    Connect,
    /// At `MAIL FROM`: a refusal concerns the account's sender, or the message's size.
    Envelope,
    /// At `RCPT TO`, and up to the content: a refusal concerns the address, its domain, or the account.
    Recipient,
    /// From the content's first byte to the reply after the final dot.
    Content,
}
