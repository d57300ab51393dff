//! Long loops without a wait yield regularly, so that a batch of a campaign delays other tasks by at most about a
//! millisecond.

/// The number of steps after which a loop yields. A step takes a few microseconds.
const STEPS: usize = 32;

/// Yields to other tasks of this thread every [`STEPS`] calls.
#[derive(Debug, Default)]
pub struct Fair(usize);

impl Fair {
    /// Counts a step; to be called at each step of a loop.
    pub async fn step(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(STEPS) {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[tokio::test]
    async fn a_long_loop_yields_to_other_tasks() {
        let turns = Rc::new(Cell::new(0));
        let other = Rc::clone(&turns);
        let local = tokio::task::LocalSet::new();
        local.spawn_local(async move {
            loop {
                other.set(other.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        let counted = local
            .run_until(async {
                let mut fair = Fair::default();
                for _ in 0..STEPS * 10 {
                    fair.step().await;
                }
                turns.get()
            })
            .await;
        assert!((9..=12).contains(&counted), "{counted}");
    }
}
