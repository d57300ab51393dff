//! Event sources: they post what the plan says, and post it again, under the same id, until it is accepted.

mod door;
mod journal;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub(crate) use self::{
    door::Door,
    journal::{Entry, Journal, Outcome},
};
use crate::{console::Console, events::Event, plan::Post};

/// The pause after a try that failed, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// What became of one try.
#[derive(Debug)]
pub(crate) enum Try {
    /// Every event is accepted.
    Accepted,
    /// Not now, or nobody knows: the same again after a pause, of so long if it was said.
    Again(Option<Duration>),
    /// Never: these events are refused, with the reason; the others are accepted.
    Refused(Vec<(String, String)>),
}

/// Posts one client's events, one post after the other, each at its time or when the one before was accepted.
pub(crate) async fn run_client(door: Door, posts: Vec<Post>, journal: Arc<Journal>, console: Console) {
    for post in posts {
        tokio::time::sleep_until(console.at(post.at)).await;
        let place = journal.begin(&post.events);
        let (tries, refused) = post_until_decided(&door, &post).await;
        journal.end(place, tries, &refused);
    }
}

/// Posts until every event was accepted or refused: how many tries it took, and what was refused.
async fn post_until_decided(door: &Door, post: &Post) -> (u32, Vec<(String, String)>) {
    let mut pause = FIRST_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        match door.post(post).await {
            Try::Accepted => return (tries, Vec::new()),
            Try::Refused(refused) => return (tries, refused),
            Try::Again(wait) => {
                tokio::time::sleep(wait.unwrap_or(pause).min(LAST_PAUSE)).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Posts one event now, over HTTP, until it is accepted.
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
