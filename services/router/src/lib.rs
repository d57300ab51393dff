//! notifications.events → decisions → deliveries, in one atomic step.
