//! The only user of handlebars' syntax: engine, languages, escaping and limits of each channel, and the [`Renderer`]
//! trait with its two implementations, in this process and over HTTP.
//!
//! The handlebars and Fluent libraries parse; this crate executes. Their own renderers do not measure work,
//! so one template could occupy a thread for ever or fill the memory. All execution here pays steps of a
//! [`budget`].
//!
//! A tenant's published templates ([`TemplateSet`]) are compiled into an immutable [`Engine`]. Templates are strict: a
//! variable that is not there is an error that names it, except where `{{#if}}` or `{{#unless}}` asks for it.
//! Texts in people's languages are Fluent messages, `{{t "order-shipped-subject" order_id=order_id}}`.

mod abandoned;
mod budget;
mod engine;
mod error;
mod fault;
mod folder;
mod helpers;
mod invisible;
pub mod limits;
mod locale;
mod messages;
mod origin;
mod renderer;
mod request;
mod set;
mod sms;

pub use carillon_domain::Content;
pub use engine::{Engine, TemplateIssue, Validation};
pub use error::RenderError;
pub use folder::{FolderError, load_folder, locale_file, read_text};
pub use locale::canonical_locale;
pub use renderer::{
    Admission, BatchRequest, HttpRenderer, InProcess, ItemAnswer, ItemProblem, MAX_BATCH, RenderBatchAnswer,
    Renderer, SourceError, TemplateSource, WorkError,
};
pub use request::{RenderContext, RenderRequest, Rendered};
pub use set::{DEFAULT_LOCALE, PartialDef, Parts, TemplateDef, TemplateSet};
