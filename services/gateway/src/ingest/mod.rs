//! Events in: body → events → checked events → claimed, published, marked.

mod check;
mod forms;
mod idempotency;
mod publish;

pub(crate) use check::{Checked, check};
pub(crate) use forms::{Form, read};
pub(crate) use idempotency::{Passing, is_passing, replayed};
pub(crate) use publish::{Accepted, publish};
