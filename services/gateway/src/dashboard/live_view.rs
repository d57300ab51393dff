//! The live view of a page: the place of its script, which shows how many rows are new since the page was loaded.

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use carillon_store::Cursor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Dashboard;

/// The content security policy of a page with a live view: as that of all pages, and our own script, which may connect to
/// us.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; frame-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// The live view of a page, for its template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveView {
    /// The path and query of the stream.
    pub(crate) stream: String,
    /// The page with the new rows.
    pub(crate) page: String,
}

impl LiveView {
    /// The live view of a page with these lists, by their paths and queries, each with its first row. `None` if live views
    /// are turned off.
    pub(super) fn new(dashboard: &Dashboard, page: &str, lists: &[(&str, Option<Cursor>)]) -> Option<Self> {
        if dashboard.gateway.config.max_live_views == 0 {
            return None;
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = lists.iter().map(|(list, first)| {
            let first = first.map_or_else(String::new, |first| first.to_string());
            format!("list={}&since={first}", encoded(list))
        });
        Some(Self {
            stream: format!("/live?{}", pairs.collect::<Vec<_>>().join("&")),
            page: page.to_owned(),
        })
    }
}

/// Lets a page with a live view run its script.
pub(super) fn with_script(mut page: Response) -> Response {
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    page
}
