//! Tests of the scheduler on the embedded backends, and on the real ones where they are configured.

mod crashes;
mod jobs;
mod support;
