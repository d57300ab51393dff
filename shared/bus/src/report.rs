//! The metrics and notes of a group while it works: its lag, the age of its oldest waiting record, whether it is stuck,
//! and its idle members.

use std::{collections::HashMap, time::Duration};

use carillon_domain::Lane;
use carillon_runtime::{Shutdown, http::ReadySwitch};

use crate::{
    Bus,
    lag::{CrowdedTopic, Movement, TopicLag},
    topics::TopicKind,
};

/// The interval at which a group's lag is measured, and its members are counted.
const LOOK_AT_LAG: Duration = Duration::from_secs(15);
/// The interval at which the age of the oldest waiting record is measured.
const LOOK_AT_AGE: Duration = Duration::from_secs(2);

impl Bus {
    /// Keeps the gauges `carillon_consumer_lag{group,topic}`, `carillon_consumer_stuck_seconds{group,topic}`,
    /// `carillon_consumer_idle_members{group}` and `carillon_queue_age_seconds{group,topic,lane}` current until the
    /// shutdown. While the group is stuck or has idle members, its part of the readiness has a note, and the log has a line
    /// when that begins.
    pub async fn report_lag(&self, group: String, part: ReadySwitch, shutdown: Shutdown) {
        let mut timer = tokio::time::interval(LOOK_AT_LAG.min(self.stuck_after));
        let mut ages = tokio::time::interval(LOOK_AT_AGE);
        let mut movement = Movement::default();
        let (mut known, mut was_stuck) = (Vec::new(), false);
        let (lag_note, crowd_note) = (format!("lag of {group}"), format!("members of {group}"));
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                _ = ages.tick() => {
                    self.tell_age(&group);
                    continue;
                }
                () = shutdown.soft() => return,
            }
            match self.lag(&group).await {
                Ok(lags) => {
                    let stuck = self.tell_lag(&group, &lags, &mut movement);
                    if let Some(why) = stuck.as_deref().filter(|_| !was_stuck) {
                        tracing::warn!(group, why, "a consumer group stands still");
                    }
                    was_stuck = stuck.is_some();
                    part.note(&lag_note, stuck);
                }
                Err(error) => tracing::debug!(group, %error, "the lag is not known"),
            }
            match self.crowds(&group).await {
                Ok(crowds) => part.note(&crowd_note, tell_crowds(&group, crowds, &mut known)),
                Err(error) => tracing::debug!(group, %error, "the members are not known"),
            }
        }
    }

    /// Sets the gauge of each topic that the group's members in this process read.
    fn tell_age(&self, group: &str) {
        let now = self.clock.now();
        for (topic, oldest) in self.unfinished.oldest(group) {
            let lane = match self.topics.kind_of(&topic) {
                // Records of these topics wait for their due time on purpose.
                Some(TopicKind::Retry { .. } | TopicKind::Scheduled) => continue,
                Some(TopicKind::Events(lane) | TopicKind::Channel(_, lane)) => Some(lane),
                _ => None,
            };
            let age = oldest.and_then(|oldest| (now - oldest).to_std().ok());
            let mut labels = vec![("group", group.to_owned()), ("topic", topic.to_string())];
            labels.extend(lane.map(|lane: Lane| ("lane", lane.as_str().to_owned())));
            metrics::gauge!("carillon_queue_age_seconds", &labels).set(age.unwrap_or_default().as_secs_f64());
        }
    }

    /// Sets the gauges; returns a note if the group is stuck.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn tell_lag(&self, group: &str, lags: &[TopicLag], movement: &mut Movement) -> Option<String> {
        let mut seconds: HashMap<&str, f64> = HashMap::new();
        let mut note = None;
        for still in movement.observe(lags, tokio::time::Instant::now()) {
            // Records of these topics wait for their due time on purpose.
            let waits = matches!(
                self.topics.kind_of(&still.topic),
                Some(TopicKind::Retry { .. } | TopicKind::Scheduled)
            );
            if waits || still.lasted < self.stuck_after {
                continue;
            }
            let lasted = still.lasted.as_secs();
            note = Some(format!(
                "{} records of {} wait, and none has been done for {lasted} s",
                still.records, still.topic
            ));
            let known = lags.iter().find(|lag| lag.topic == still.topic);
            seconds.extend(known.map(|lag| (&*lag.topic, still.lasted.as_secs_f64())));
        }
        for lag in lags {
            let labels = [("group", group.to_owned()), ("topic", lag.topic.to_string())];
            metrics::gauge!("carillon_consumer_lag", &labels).set(lag.records as f64);
            let stuck = seconds.get(&*lag.topic).copied().unwrap_or(0.0);
            metrics::gauge!("carillon_consumer_stuck_seconds", &labels).set(stuck);
        }
        note
    }
}

/// Sets the gauge and returns a note if a topic has more members than partitions. Logs a warning for each topic at
/// which this is new.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn tell_crowds(group: &str, crowds: Vec<CrowdedTopic>, known: &mut Vec<CrowdedTopic>) -> Option<String> {
    let idle: usize = crowds.iter().map(|crowd| crowd.members - crowd.partitions).sum();
    metrics::gauge!("carillon_consumer_idle_members", "group" => group.to_owned()).set(idle as f64);
    for crowd in crowds.iter().filter(|crowd| !known.contains(crowd)) {
        tracing::warn!(group, topic = %crowd.topic, members = crowd.members, partitions = crowd.partitions,
            "a consumer group has more members than its topic has partitions; the others receive no records from it");
    }
    *known = crowds;
    let notes: Vec<String> = known
        .iter()
        .map(|crowd| {
            format!(
                "{} members read {}, which has {} partitions: {} of them receive nothing",
                crowd.members,
                crowd.topic,
                crowd.partitions,
                crowd.members - crowd.partitions
            )
        })
        .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
