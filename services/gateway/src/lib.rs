//! HTTP edge: events in, users, preferences and catalog, status and DLQ views, dashboard.
