//! Work that waits: leased with SKIP LOCKED, released through an outbox.
