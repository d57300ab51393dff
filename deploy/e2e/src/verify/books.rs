//! Checks the auditor's equations, and its counts against those of the sources.

use super::{Evidence, Finding};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let stats = &evidence.stats;
    let accepted = evidence
        .entries
        .iter()
        .filter(|entry| entry.is_accepted())
        .count() as u64;
    let mut violations = Vec::new();
    let mut hold = |holds: bool, text: String| {
        if !holds {
            violations.push(text);
        }
    };
    // Carillon makes the events of digests itself.
    let expected = accepted + evidence.digests.sent.len() as u64;
    let differences = (stats.events_difference, stats.deliveries_difference);
    hold(
        differences == (0, 0),
        format!("the books do not balance: {stats:?}"),
    );
    hold(
        stats.waiting == 0 && stats.pending == 0,
        format!("something is still under way: {stats:?}"),
    );
    hold(
        stats.routed + stats.cancelled == expected,
        format!(
            "{accepted} events were accepted and {} digests made, {} events were routed and {} cancelled before",
            evidence.digests.sent.len(),
            stats.routed,
            stats.cancelled
        ),
    );
    hold(
        stats.rejected == 0,
        format!("{} events were rejected, and all were sound", stats.rejected),
    );
    hold(
        stats.ended == evidence.deliveries.len() as u64 && stats.ended == stats.deliveries_produced,
        format!(
            "{} deliveries were produced, {} ended, and {} are listed",
            stats.deliveries_produced,
            stats.ended,
            evidence.deliveries.len()
        ),
    );
    let line = format!(
        "books: {} acknowledged = {} routed + {} cancelled + {} duplicate; {} deliveries produced = {} ended; differences {} and {}",
        stats.acknowledged,
        stats.routed,
        stats.cancelled,
        stats.duplicate,
        stats.deliveries_produced,
        stats.ended,
        stats.events_difference,
        stats.deliveries_difference
    );
    Finding::new(line, violations)
}

#[cfg(test)]
mod tests {
    use super::{super::evidence::sound, *};

    #[test]
    fn books_that_do_not_balance_or_differ_from_the_sources_counts_are_found() {
        assert!(check(&sound::evidence()).violations.is_empty());
        let mut evidence = sound::evidence();
        evidence.stats.events_difference = 1;
        assert_eq!(check(&evidence).violations.len(), 1);
        let mut evidence = sound::evidence();
        evidence.stats.routed = 1;
        assert_eq!(check(&evidence).violations.len(), 1);
        let mut evidence = sound::evidence();
        evidence.deliveries.remove("d-a");
        assert_eq!(check(&evidence).violations.len(), 1);
    }
}
