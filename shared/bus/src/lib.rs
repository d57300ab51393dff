//! The only user of rdkafka: topics, producers, consumers, the contiguous-offset ledger, retry tiers, dead letters; and the embedded log.
