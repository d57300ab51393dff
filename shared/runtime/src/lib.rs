//! Process plumbing: configuration, lifecycle, telemetry, HTTP server, problem+json, HTTP client.
