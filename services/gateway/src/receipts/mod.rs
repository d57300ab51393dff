//! Receipts of providers: the accounts that take them, and their way to the status topic and the suppression list.

mod account;
mod body;
mod bounded;
mod proof;
mod record;
mod refusal;
mod sns;

pub(crate) use account::{ReceiptAccount, Source};
pub use account::{ReceiptAccounts, ReceiptAccountsError};
pub(crate) use record::record;
pub(crate) use refusal::{no_account, refuse, unreadable};
use sns::Sns;
