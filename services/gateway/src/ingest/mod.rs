//! Accepting events: body → events → checked events → claimed, published, marked.

mod aside;
mod attributes;
mod check;
mod forms;
mod idempotency;
mod patience;
mod publish;

pub(crate) use aside::{aside, aside_long};
pub(crate) use check::{Checked, check, check_by};
pub(crate) use forms::{Context, Form, read, read_json};
pub(crate) use idempotency::{Keyed, is_passing, key, replayed};
pub(crate) use patience::in_time;
pub(crate) use publish::{Accepted, publish};
