//! Sessions. A session is kept in this process's memory with the API key that opened it. The key is verified again on
//! each request, so revoking it ends the session. The browser holds a random token; the process holds only its hash.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, OriginalUri},
    http::{Method, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use carillon_domain::{Timestamp, clock::SharedClock};
use carillon_runtime::{Secret, config::HttpUrl, http::ProblemKind};
use carillon_store::api_keys::Role;
use parking_lot::Mutex;
use rand::Rng as _;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{
    Dashboard,
    page::{Frame, NavSection, PageError},
};
use crate::{
    auth::{Caller, check_role},
    error::ApiError,
    limits::Slot,
    privacy::Sight,
};

/// The name of the session's cookie.
const COOKIE: &str = "carillon_session";
/// The lifetime of a session.
const LIFETIME: Duration = Duration::from_hours(12);
/// The most sessions. A further one ends the session that would expire first.
const MAX_SESSIONS: usize = 10_000;

/// The most sessions of one key. A further sign-in ends the session of this key that would expire first.
const MAX_OF_KEY: usize = 100;

/// The time for which a page shows values that an admin has revealed.
const REVEALED: Duration = Duration::from_mins(5);
/// The most revealed pages of one session at the same time.
const MAX_REVEALED: usize = 50;

type Hash = [u8; 32];

/// The sessions; clones share them.
#[derive(Clone)]
pub(crate) struct Sessions {
    clock: SharedClock,
    open: Arc<Mutex<HashMap<Hash, Session>>>,
}

#[derive(Clone)]
struct Session {
    key: Secret,
    key_id: Uuid,
    csrf: String,
    until: Timestamp,
    /// Revealed pages, each with the end of its reveal.
    revealed: Vec<(String, Timestamp)>,
}

impl Sessions {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            open: Arc::default(),
        }
    }

    /// Opens a session and returns its token.
    pub(crate) fn open(&self, key: Secret, key_id: Uuid) -> String {
        let (token, now) = (random_token(), self.clock.now());
        let session = Session {
            key,
            key_id,
            csrf: random_token(),
            until: now + LIFETIME,
            revealed: Vec::new(),
        };
        let mut open = self.open.lock();
        if open.len() >= MAX_SESSIONS {
            open.retain(|_, session| session.until > now);
        }
        let is_own = |session: &Session| session.key_id == key_id;
        if open.values().filter(|session| is_own(session)).count() >= MAX_OF_KEY {
            end_first(&mut open, is_own);
        }
        if open.len() >= MAX_SESSIONS {
            end_first(&mut open, |_| true);
        }
        open.insert(hash(&token), session);
        token
    }

    fn find(&self, token: &str) -> Option<Session> {
        let now = self.clock.now();
        let mut open = self.open.lock();
        let hash = hash(token);
        if open.get(&hash)?.until > now {
            return open.get(&hash).cloned();
        }
        open.remove(&hash);
        None
    }

    /// Reveals a page for [`REVEALED`].
    pub(crate) fn reveal(&self, token: &str, page: &str) {
        let now = self.clock.now();
        if let Some(session) = self.open.lock().get_mut(&hash(token)) {
            session
                .revealed
                .retain(|(revealed, until)| *until > now && revealed != page);
            if session.revealed.len() >= MAX_REVEALED {
                session.revealed.remove(0);
            }
            session.revealed.push((page.to_owned(), now + REVEALED));
        }
    }

    /// Ends a session.
    pub(crate) fn close(&self, token: &str) {
        self.open.lock().remove(&hash(token));
    }
}

impl Dashboard {
    /// Whether a session is open and its key in force. While the database does not answer, the session counts as open: it
    /// has no data then.
    pub(super) async fn is_signed_in(&self, token: &str) -> bool {
        let Some(session) = self.sessions.find(token) else {
            return false;
        };
        let keys = self.gateway.store.api_keys();
        match keys.verify(session.key.expose_secret()).await {
            Ok(None) => {
                self.sessions.close(token);
                false
            }
            Ok(Some(_)) | Err(_) => true,
        }
    }
}

/// Of the matching sessions, ends the one that would expire first.
fn end_first(open: &mut HashMap<Hash, Session>, is_meant: impl Fn(&Session) -> bool) {
    let meant = open.iter().filter(|(_, session)| is_meant(session));
    let first = meant
        .min_by_key(|(_, session)| session.until)
        .map(|(hash, _)| *hash);
    if let Some(first) = first {
        open.remove(&first);
    }
}

/// 256 random bits that may stand in a cookie and in a form.
pub(crate) fn random_token() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The refusal of a form whose token is not the expected one.
pub(super) fn forged() -> PageError {
    ApiError::new(
        ProblemKind::Forbidden,
        "the form is too old, or came from another site; go back, load the page again and repeat",
    )
    .into()
}

/// Compares in constant time.
pub(crate) fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// A cookie that scripts do not see and other sites do not send.
pub(crate) fn cookie(dashboard: &Dashboard, name: &'static str, value: String) -> Cookie<'static> {
    let public_url = dashboard.gateway.config.public_url.as_ref();
    Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(public_url.is_some_and(HttpUrl::is_https))
        .build()
}

/// The cookie of a session.
pub(crate) fn session_cookie(dashboard: &Dashboard, token: String) -> Cookie<'static> {
    cookie(dashboard, COOKIE, token)
}

/// A signed-in user. Only a page that names this type receives a tenant.
pub(crate) struct SignedIn {
    pub(crate) caller: Caller,
    pub(crate) csrf: String,
    pub(crate) token: String,
    /// The requested page: its path and query.
    pub(crate) page: String,
    /// The extent to which that page may show personal data.
    pub(crate) sight: Sight,
    /// The page's place in its key's share, held until the answer.
    _slot: Slot,
}

impl SignedIn {
    /// The key's role.
    pub(crate) fn role(&self) -> Role {
        self.caller.0.role
    }

    /// Refuses keys whose role does not include the needed one.
    pub(crate) fn check_role(&self, needed: Role) -> Result<(), PageError> {
        Ok(check_role(&self.caller.0, needed)?)
    }

    /// Refuses a form that does not come from a page of this session.
    pub(crate) fn check_form(&self, csrf: &str) -> Result<(), PageError> {
        if same(&self.csrf, csrf) {
            Ok(())
        } else {
            Err(forged())
        }
    }

    /// The frame around a page of this section.
    pub(crate) fn frame(&self, part: NavSection) -> Frame {
        Frame {
            part,
            key_name: self.caller.0.name.clone(),
            role: self.role().to_string(),
            tenant: self.caller.tenant().to_string(),
            csrf: self.csrf.clone(),
            page: self.page.clone(),
            is_revealed: self.sight.is_revealed(),
            may_reveal: self.role() >= Role::Admin,
            sees_keys: self.role() >= Role::Admin,
        }
    }
}

impl FromRequestParts<Dashboard> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Response> {
        let jar = CookieJar::from_headers(&parts.headers);
        let found = jar.get(COOKIE).and_then(|cookie| {
            let token = cookie.value().to_owned();
            dashboard.sessions.find(&token).map(|session| (token, session))
        });
        let Some((token, session)) = found else {
            return Err(to_sign_in(parts));
        };
        let keys = dashboard.gateway.store.api_keys();
        match keys.verify(session.key.expose_secret()).await {
            Ok(Some(principal)) => {
                let slot = dashboard.gateway.0.limits.admit_page(&principal);
                let page = wanted(parts).to_owned();
                let now = dashboard.sessions.clock.now();
                // A message is shown in a frame of its page, so the reveal of the page holds for it.
                let of_page = page.strip_suffix("/message").unwrap_or(&page);
                let is_revealed = session
                    .revealed
                    .iter()
                    .any(|(revealed, until)| revealed == of_page && *until > now);
                let sight = if is_revealed && principal.role >= Role::Admin {
                    Sight::Revealed
                } else {
                    Sight::of(principal.role)
                };
                Ok(Self {
                    _slot: slot.map_err(|error| PageError::from(error).into_response())?,
                    caller: Caller(principal),
                    csrf: session.csrf,
                    token,
                    page,
                    sight,
                })
            }
            Ok(None) => {
                dashboard.sessions.close(&token);
                Err(to_sign_in(parts))
            }
            Err(error) => Err(PageError::from(error).into_response()),
        }
    }
}

/// The requested path and query.
fn wanted(parts: &Parts) -> &str {
    let uri = parts
        .extensions
        .get::<OriginalUri>()
        .map_or(&parts.uri, |original| &original.0);
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// Redirects to the sign-in page, which then leads back to the requested page.
fn to_sign_in(parts: &Parts) -> Response {
    let wanted = wanted(parts);
    if parts.method != Method::GET || wanted == "/" {
        return Redirect::to("/sign-in").into_response();
    }
    let wanted = percent_encoding::utf8_percent_encode(wanted, percent_encoding::NON_ALPHANUMERIC);
    Redirect::to(&format!("/sign-in?next={wanted}")).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use carillon_testkit::ManualClock;

    use super::*;

    #[test]
    fn many_sign_ins_of_one_key_end_only_sessions_of_that_key() {
        let sessions = Sessions::new(Arc::new(ManualClock::at("2026-11-24T10:00:00Z")));
        let secret = || Secret::from("a secret");
        let (flooding, other) = (Uuid::now_v7(), Uuid::now_v7());
        let of_other = sessions.open(secret(), other);
        let own: Vec<String> = (0..MAX_OF_KEY * 2)
            .map(|_| sessions.open(secret(), flooding))
            .collect();
        assert!(sessions.find(&of_other).is_some());
        assert_eq!(
            own.iter().filter(|token| sessions.find(token).is_some()).count(),
            MAX_OF_KEY
        );
    }
}
