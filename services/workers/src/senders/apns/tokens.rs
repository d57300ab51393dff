//! The provider token in use.

use carillon_domain::Timestamp;
use carillon_providers::apns::{ProviderToken, ProviderTokens};
use parking_lot::Mutex;

/// Signs a token when the next one is due.
pub(super) struct CurrentToken {
    tokens: ProviderTokens,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<ProviderToken>,
    /// The time of issue that the last renewal asked for.
    renewed_at: i64,
}

impl CurrentToken {
    pub(super) fn new(tokens: ProviderTokens) -> Self {
        Self {
            tokens,
            state: Mutex::default(),
        }
    }

    /// The token to send with; `None` if the key cannot sign.
    pub(super) fn get(&self, now: Timestamp) -> Option<ProviderToken> {
        let mut state = self.state.lock();
        let due = ProviderTokens::issued_at(now).max(state.renewed_at);
        if let Some(token) = state.token.as_ref().filter(|token| token.issued_at == due) {
            return Some(token.clone());
        }
        let token = self.tokens.sign(due)?;
        state.token = Some(token.clone());
        Some(token)
    }

    /// The token after the one that Apple called expired; `None` if Apple accepts no newer one yet.
    pub(super) fn renew(&self, now: Timestamp, expired: i64) -> Option<ProviderToken> {
        let due = ProviderTokens::renewed_at(now);
        if due <= expired {
            return None;
        }
        {
            let mut state = self.state.lock();
            if ProviderTokens::issued_at(now).max(state.renewed_at) <= expired {
                state.renewed_at = due;
            }
        }
        self.get(now)
    }
}
