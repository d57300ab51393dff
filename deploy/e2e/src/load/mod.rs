//! Event sources: they post the planned events, and repeat each post with the same ids until it is accepted.

mod door;
mod journal;

use std::{sync::Arc, time::Duration};

use carillon_domain::{Clock as _, SystemClock, clock::later};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

pub(crate) use self::{
    door::Door,
    journal::{Cancelled, Entry, Journal, Outcome},
};
use crate::{console::Console, events::Event, plan::Post};

/// The pause after a failed try. It doubles up to `LAST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// The result of one try.
#[derive(Debug)]
pub(crate) enum Try {
    /// All events are accepted.
    Accepted,
    /// The post has to be repeated after a pause, of the given length if one was named: it was put off, or its
    /// outcome is unknown.
    Again(Option<Duration>),
    /// These events are refused for good, each with the reason; the others are accepted.
    Refused(Vec<(String, String)>),
}

/// Posts the events of one client, one post after another, each at its time or after the acceptance of the one
/// before. Requests to cancel events go out beside them.
pub(crate) async fn run_client(door: Door, posts: Vec<Post>, journal: Arc<Journal>, console: Console) {
    let mut cancels = JoinSet::new();
    for mut post in posts {
        sleep_until(console.at(post.at)).await;
        set_times(&mut post.events);
        let place = journal.begin(&post.events);
        let (tries, refused) = post_until_decided(&door, &post).await;
        journal.end(place.clone(), tries, &refused);
        for (place, event) in place.zip(post.events) {
            if let Some(after) = event.waits.cancel_after {
                let (door, journal) = (door.clone(), Arc::clone(&journal));
                cancels.spawn(async move {
                    sleep(after).await;
                    journal.cancelled(place, cancel_until_answered(&door, &event).await);
                });
            }
        }
    }
    cancels.join_all().await;
}

/// Sets `sendat`, which is the same at each try.
fn set_times(events: &mut [Event]) {
    let now = SystemClock.now();
    for event in events {
        event.waits.sendat = event.waits.delay.map(|delay| later(now, delay));
    }
}

/// Asks to cancel an event until there is an answer.
async fn cancel_until_answered(door: &Door, event: &Event) -> Cancelled {
    let mut is_repeated = false;
    loop {
        if let Some(result) = door.cancel(event).await {
            return Cancelled { result, is_repeated };
        }
        is_repeated = true;
        sleep(FIRST_PAUSE * 5).await;
    }
}

/// Posts until each event is accepted or refused; returns the number of tries and the refused events.
async fn post_until_decided(door: &Door, post: &Post) -> (u32, Vec<(String, String)>) {
    let mut pause = FIRST_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        match door.post(post).await {
            Try::Accepted => return (tries, Vec::new()),
            Try::Refused(refused) => return (tries, refused),
            Try::Again(wait) => {
                sleep(wait.unwrap_or(pause).min(LAST_PAUSE)).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Posts events now, over HTTP, until they are accepted.
pub(crate) async fn post_now(door: &Door, events: Vec<Event>, journal: &Journal) -> Instant {
    let via = if events.len() == 1 {
        crate::plan::Via::Single
    } else {
        crate::plan::Via::Batch
    };
    let post = Post {
        at: Duration::ZERO,
        via,
        events,
    };
    let place = journal.begin(&post.events);
    let (tries, refused) = post_until_decided(door, &post).await;
    journal.end(place, tries, &refused);
    Instant::now()
}
