//! Speaks FCM, Twilio and SMTP with faults, and shows what arrived.
