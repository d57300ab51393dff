//! notifications.status and DLQ topics → read model; the auditor.
