//! `/sign-in` and `/sign-out`.

use askama::Template;
use axum::{
    Form,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::cookie::CookieJar;
use carillon_runtime::Secret;
use serde::Deserialize;

use super::{
    Dashboard,
    page::{Frame, PageError, render},
    session::{SignedIn, cookie, forged, random_token, same, session_cookie},
};
use crate::{error::ApiError, input::Query};

/// The name of the cookie that holds a copy of the sign-in form's token. The two are compared, since no session exists
/// yet.
const FORM_COOKIE: &str = "carillon_sign_in";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Option<Frame>,
    csrf: String,
    next: String,
    refused: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    next: Option<String>,
}

/// The sign-in form.
pub(crate) async fn form(
    State(dashboard): State<Dashboard>,
    jar: CookieJar,
    asked: Result<Query<Asked>, ApiError>,
) -> Result<Response, PageError> {
    let next = asked?.0.next.unwrap_or_default();
    Ok(page(&dashboard, jar, &next, false))
}

fn page(dashboard: &Dashboard, jar: CookieJar, next: &str, refused: bool) -> Response {
    let csrf = random_token();
    let jar = jar.add(cookie(dashboard, FORM_COOKIE, csrf.clone()));
    let page = SignInPage {
        frame: None,
        csrf,
        next: local(next).to_owned(),
        refused,
    };
    (jar, render(&page)).into_response()
}

/// The page after sign-in. It is always a path of this site, even if a link or a form names another site.
pub(super) fn local(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next[1..].starts_with(['/', '\\']);
    if is_path && next.bytes().all(|byte| byte.is_ascii_graphic()) {
        next
    } else {
        "/"
    }
}

#[derive(Deserialize)]
pub(crate) struct Entry {
    csrf: String,
    key: String,
    next: String,
}

/// Opens a session for the holder of an API key.
pub(crate) async fn enter(
    State(dashboard): State<Dashboard>,
    jar: CookieJar,
    Form(entry): Form<Entry>,
) -> Result<Response, PageError> {
    let expected = jar.get(FORM_COOKIE).map(|cookie| cookie.value().to_owned());
    if !expected.is_some_and(|expected| same(&expected, &entry.csrf)) {
        return Err(forged());
    }
    let key = entry.key.trim();
    let Some(principal) = dashboard.gateway.store.api_keys().verify(key).await? else {
        let mut response = page(&dashboard, jar, &entry.next, true);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    };
    dashboard.gateway.0.limits.sign_in(&principal)?;
    let token = dashboard.sessions.open(Secret::from(key), principal.key_id);
    let jar =
        jar.add(session_cookie(&dashboard, token))
            .remove(cookie(&dashboard, FORM_COOKIE, String::new()));
    Ok((jar, Redirect::to(local(&entry.next))).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Leave {
    csrf: String,
}

/// Ends the session.
pub(crate) async fn leave(
    State(dashboard): State<Dashboard>,
    signed_in: SignedIn,
    jar: CookieJar,
    Form(leave): Form<Leave>,
) -> Result<Response, PageError> {
    signed_in.check_form(&leave.csrf)?;
    dashboard.sessions.close(&signed_in.token);
    let jar = jar.remove(session_cookie(&dashboard, String::new()));
    Ok((jar, Redirect::to("/sign-in")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_signing_in_the_browser_is_sent_to_a_path_of_this_site_only() {
        assert_eq!(
            local("/deliveries?status=failed&q=a%20b"),
            "/deliveries?status=failed&q=a%20b"
        );
        for foreign in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "evil",
            "/a\r\nb",
            "/é",
        ] {
            assert_eq!(local(foreign), "/", "{foreign:?}");
        }
    }
}
