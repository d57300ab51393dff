//! Template store, publish gate, preview and rendering over HTTP.
