//! Retries of a unit of work that the database has rolled back.

use std::{future::Future, time::Duration};

use rand::RngExt as _;

use crate::error::StoreError;

/// The most retries of a unit of work.
const TRIES: u32 = 6;

/// Runs a unit of work. Runs it again if the database has rolled it back in favour of a concurrent one (a deadlock, a
/// serialization failure), or has refused it on a connection that has since been replaced. Such a unit has had no
/// effect.
pub(crate) async fn again<T, F>(work: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for tries in 0..TRIES {
        match work().await {
            Err(error) if error.fault().is_some_and(|fault| fault.may_pass_at_once(tries)) => {
                metrics::counter!("carillon_store_rollbacks_total").increment(1);
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    tries,
                    "a unit of work was rolled back and is run again"
                );
                tokio::time::sleep(pause(tries)).await;
            }
            ended => return ended,
        }
    }
    work().await
}

/// A random pause: up to 4 ms before the second try, up to 128 ms before the last. Random pauses keep two
/// conflicting transactions from meeting again.
fn pause(tries: u32) -> Duration {
    Duration::from_micros(rand::rng().random_range(500..=(4_000_u64 << tries)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fault::Fault;

    async fn tries(faults: &[Fault]) -> (u32, Result<(), StoreError>) {
        let count = Cell::new(0);
        let ended = again(|| async {
            let fault = faults.get(count.get() as usize);
            count.set(count.get() + 1);
            fault.map_or(Ok(()), |fault| Err(StoreError::Unavailable(*fault, None)))
        });
        let ended = ended.await;
        (count.get(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn only_work_that_was_rolled_back_for_a_concurrent_write_is_done_again() {
        let (count, ended) = tries(&[Fault::Conflict, Fault::Conflict]).await;
        assert_eq!((count, ended.is_ok()), (3, true));
        let (count, ended) = tries(&[Fault::Conflict; 20]).await;
        assert_eq!((count, ended.unwrap_err().fault()), (7, Some(Fault::Conflict)));
        let (count, ended) = tries(&[Fault::ReadOnly; 20]).await;
        assert_eq!((count, ended.unwrap_err().fault()), (2, Some(Fault::ReadOnly)));
        for fault in [Fault::Unreachable, Fault::DiskFull, Fault::Slow] {
            assert_eq!(tries(&[fault]).await.0, 1, "{fault}");
        }
    }
}
