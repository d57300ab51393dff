//! Work that waits: deferred and scheduled deliveries, digests, replay jobs.
//!
//! Empty until there is some: today the gateway and the router refuse an event whose `sendat` lies ahead, with a clear
//! error, and nothing is deferred.
