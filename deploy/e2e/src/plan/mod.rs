//! The plan of a run, drawn from the seed before the run begins.

mod faults;
mod load;

use std::time::Duration;

use rand::{SeedableRng as _, rngs::StdRng};

pub(crate) use self::{
    faults::{Fault, FaultKind},
    load::{Post, USERS, Via},
};
use crate::args::Backend;

/// The plan of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// The faults, in the order in which they begin.
    pub(crate) faults: Vec<Fault>,
    /// The posts of each client, in order.
    pub(crate) clients: Vec<Vec<Post>>,
}

impl Plan {
    /// Draws the plan. The same arguments always give the same plan.
    pub(crate) fn draw(seed: u64, backend: Backend, length: Duration, rate: u32) -> Self {
        Self {
            faults: faults::draw(&mut dice(seed, 0), backend, length),
            clients: (1..=load::CLIENTS)
                .map(|client| load::draw(&mut dice(seed, client), client, backend, length, rate))
                .collect(),
        }
    }

    /// The number of events in the plan.
    pub(crate) fn events(&self) -> usize {
        self.clients.iter().flatten().map(|post| post.events.len()).sum()
    }
}

/// The random numbers of one part of the plan. Each part has its own, so that the length of one does not change
/// another.
fn dice(seed: u64, part: usize) -> StdRng {
    StdRng::seed_from_u64(seed ^ (part as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::events::To;

    const LENGTH: Duration = Duration::from_mins(5);

    #[test]
    fn a_seed_gives_the_same_run_again_and_another_seed_gives_another() {
        for backend in [Backend::Embedded, Backend::Real] {
            let plan = Plan::draw(7, backend, LENGTH, 50);
            assert_eq!(plan, Plan::draw(7, backend, LENGTH, 50));
            assert_ne!(plan, Plan::draw(8, backend, LENGTH, 50));
        }
    }

    #[test]
    fn each_user_belongs_to_one_client_and_ids_are_unique() {
        let plan = Plan::draw(7, Backend::Real, LENGTH, 50);
        let (mut ids, mut owners) = (HashSet::new(), std::collections::HashMap::new());
        for (client, posts) in plan.clients.iter().enumerate() {
            for event in posts.iter().flat_map(|post| &post.events) {
                assert!(ids.insert(&event.id), "{}", event.id);
                if let To::User(user) = event.to {
                    assert_eq!(*owners.entry(user).or_insert(client), client);
                }
            }
        }
        assert_eq!(ids.len(), plan.events());
    }

    #[test]
    fn the_load_has_about_the_rate_that_was_asked_for() {
        for rate in [10, 50, 400] {
            let events = Plan::draw(7, Backend::Real, LENGTH, rate).events();
            let expected = 300 * rate as usize;
            assert!(
                events * 10 > expected * 8 && events * 10 < expected * 12,
                "{events} of {expected}"
            );
        }
    }

    #[test]
    fn within_five_minutes_every_kind_of_fault_comes_and_none_outlasts_the_run() {
        let plan = Plan::draw(7, Backend::Real, LENGTH, 50);
        let kinds: HashSet<_> = plan.faults.iter().map(|fault| fault.kind).collect();
        for kind in [
            FaultKind::KillService("kafka"),
            FaultKind::KillService("postgres"),
            FaultKind::Flush,
        ] {
            assert!(kinds.contains(&kind), "{kind}");
        }
        assert!(kinds.iter().any(|kind| matches!(kind, FaultKind::Freeze(_))));
        assert!(plan.faults.iter().all(|fault| fault.at + fault.lasts <= LENGTH));
    }

    #[test]
    fn no_fault_hits_a_process_that_is_down() {
        for seed in 0..50 {
            for backend in [Backend::Embedded, Backend::Real] {
                let faults = Plan::draw(seed, backend, LENGTH, 1).faults;
                for (index, later) in faults.iter().enumerate() {
                    for earlier in &faults[..index] {
                        let apart = earlier.at + earlier.lasts < later.at;
                        assert!(
                            apart || earlier.kind.target() != later.kind.target(),
                            "{earlier:?} {later:?}"
                        );
                    }
                }
            }
        }
    }
}
