//! Carillon's pure domain: identities, events, recipients, preferences, the decision, delivery states and retry
//! policy. It does no I/O and reads no clock, so that the router, a simulation and the dry run of a replay give the
//! same results.

pub mod catalog;
pub mod channel;
pub mod clock;
pub mod compiled;
pub mod conclusion;
pub mod contact;
mod content;
pub mod dead_letter;
pub mod decide;
pub mod delivery;
mod delivery_state;
pub mod digest;
pub mod duration_text;
pub mod edit;
pub mod event;
pub mod fallback;
pub mod field_error;
pub mod ids;
pub mod json;
pub mod locale;
pub mod mask;
pub mod moment;
mod origin;
pub mod preference;
pub mod quiet_hours;
pub mod receipt;
pub mod recipient;
pub mod retry;
mod schema;
mod schema_errors;
pub mod source;
pub mod status;
pub mod stored_letter;
pub mod suppression;
pub mod text;
pub mod unsubscribe;
pub mod visible;
pub mod waiting;
mod wire;

pub use catalog::{Catalog, CategoryDef, EventTypeDef};
pub use channel::{Channel, Lane, Priority};
pub use clock::{Clock, SystemClock, Timestamp};
pub use contact::{ContactPoint, EmailAddress, Platform, Target};
pub use content::Content;
pub use delivery::Delivery;
pub use event::Event;
pub use field_error::FieldError;
pub use ids::{ContactPointId, DeliveryId, DigestId, EventId, NotificationId, TenantId, UserId};
pub use moment::Moment;
pub use preference::Preferences;
pub use recipient::Recipient;
pub use schema::possible;
pub use status::{DeliveryState, DeliveryStatus, StatusRecord};
pub use wire::WireError;
