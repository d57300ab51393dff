//! The templates service from outside: its renderers, its routes, and catalog folders.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod api;
mod bounded_previews;
mod catalog_folder;
mod drafts;
mod previews;
mod renderers;
mod samples;
mod support;
