//! Templates: their store, the gate for publishing, previews, and rendering over HTTP.
//!
//! The same routes serve two processes: the templates role ([`run`], behind an internal token) and the gateway, which
//! mounts [`router`] behind its own authentication. [`catalog_folder`] applies a folder such as `examples/shop` to
//! the store.

mod access;
mod api;
mod body;
pub mod catalog_folder;
mod errors;
mod gate;
mod query;
mod role;
mod store_templates;

pub use access::{TENANT_HEADER, TemplateCaller};
pub use api::{TemplatesApi, router};
pub use role::{RoleError, TemplatesRole, run};
pub use store_templates::StoreTemplates;
