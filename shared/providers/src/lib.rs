//! Carillon's knowledge of its providers: for each provider a folder with its configuration, the building of requests
//! and the meaning of answers; the list of providers (`kinds.rs`); and the named accounts of an installation
//! (`accounts.rs`). Nothing here does I/O, reads a clock or holds a connection: the workers carry requests out and hand
//! answers back.

mod accounts;
pub mod apns;
pub mod fcm;
mod http;
mod kinds;
pub mod mail;
mod message;
mod outcome;
mod receipt;
mod reference;
mod retry_after;
pub mod sendgrid;
pub mod ses;
mod setting;
pub mod smtp;
pub mod twilio;
pub mod webhook;

pub use accounts::{AccountsError, ProvidersConfig, platforms_served};
pub use apns::ApnsConfig;
pub use fcm::FcmConfig;
pub use http::{FoundMessage, HttpRequests, NoAnswer, ProviderRequest, ProviderResponse, SentList, SentPage};
pub use kinds::{ProviderConfig, ProviderKind};
pub use message::OutgoingMessage;
pub use outcome::{Class, Refusal, Scope, SendOutcome};
pub use receipt::{
    Callback, NotGenuine, Receipt, ReceiptStep, Receipts, SignedReceipts, SuppressedAddress, UnreadableCall,
};
pub use reference::{BadReference, REFERENCE_LIFETIME, Reference, ReferenceKey};
pub use retry_after::parse_retry_after;
pub use sendgrid::SendGridConfig;
pub use ses::{SesConfig, SnsContent, SnsReceipts};
pub use setting::{BaseUrl, HostName, SettingError};
pub use smtp::{SmtpConfig, SmtpTls};
pub use twilio::TwilioConfig;
pub use webhook::WebhookConfig;
