//! Panics: each is counted by role and logged once with its place. A panic during the work on one record is
//! caught, so that it does not affect other records.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, PanicHookInfo},
    sync::{Arc, Once},
};

use futures::FutureExt as _;

/// The most characters of a panic's message that are logged.
const MESSAGE: usize = 200;

tokio::task_local! {
    static ROLE: Arc<str>;
}

thread_local! {
    /// The place of the thread's last panic. Both the hook and the code that catches the panic run on the
    /// panicking thread.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panic {
    /// File, line and column.
    pub place: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a bug: the code panicked at {}", self.place)
    }
}

/// Counts and logs all panics of the process from now on, on all threads. Further calls have no effect.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            note(info);
            // Before logging is set up, only the standard hook prints panics.
            if !tracing::dispatcher::has_been_set() {
                before(info);
            }
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message: String = info
        .payload_as_str()
        .unwrap_or_default()
        .chars()
        .take(MESSAGE)
        .collect();
    let role = role();
    metrics::counter!("carillon_panics_total", "role" => role.to_string()).increment(1);
    tracing::error!(role = &*role, place, message, "a panic");
    LAST.with_borrow_mut(|last| *last = Some(place));
}

/// The role of the current task; `other` outside of any role.
#[must_use]
pub fn role() -> Arc<str> {
    ROLE.try_with(Arc::clone).unwrap_or_else(|_| Arc::from("other"))
}

/// Counts panics of the work for the role. Tasks that the work spawns are not included.
pub fn in_role<T>(role: impl Into<Arc<str>>, work: impl Future<Output = T>) -> impl Future<Output = T> {
    ROLE.scope(role.into(), work)
}

/// Runs work and catches its panic. Values that the work held are dropped.
pub async fn catch<T>(role: Arc<str>, work: impl Future<Output = T>) -> Result<T, Panic> {
    watch();
    let caught = in_role(role, AssertUnwindSafe(work).catch_unwind()).await;
    caught.map_err(|_| Panic {
        place: LAST
            .with_borrow_mut(Option::take)
            .unwrap_or_else(|| "an unknown place".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn a_panic_is_caught_with_its_place_and_counted_for_its_role() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let caught = metrics::with_local_recorder(&recorder, || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let fine = catch("router".into(), async { 7 }).await;
                assert_eq!(fine, Ok(7));
                let outer = in_role("sms worker", async {
                    catch(role(), async { panic!("oh") }).await
                });
                outer.await.map(|(): ()| ()).unwrap_err()
            })
        });
        assert!(caught.place.contains("panics.rs:"), "{caught}");
        let text = metrics.render();
        assert!(
            text.contains(r#"carillon_panics_total{role="sms worker"} 1"#),
            "{text}"
        );
    }
}
