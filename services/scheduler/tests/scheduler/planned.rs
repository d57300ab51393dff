//! Replays that begin by themselves.

use std::{collections::BTreeMap, time::Duration};

use carillon_domain::TenantId;
use carillon_runtime::http::Conditions;
use carillon_scheduler::Planner;
use carillon_store::{
    Page,
    dead_letter_groups::{NewPlan, PlanCondition},
    dead_letter_jobs::{JobState, JobView},
    templates::{TemplateDraft, TemplateName},
};
use carillon_testkit::eventually;
use uuid::Uuid;

use crate::support::{Setting, delivery_id, killed_after, letter, on_scheduler, who};

/// Plans a replay of the cause of [`letter`] for the version above `after`; returns the id of its job.
async fn plan(setting: &Setting, after: u32) -> Uuid {
    let plan = NewPlan {
        id: Uuid::now_v7(),
        condition: PlanCondition::Template {
            id: "OrderShipped/sms".to_owned(),
            after,
        },
        rate: None,
        note: None,
        canary: None,
    };
    let groups = setting.env.store.dead_letter_groups();
    let cause = letter("default", 1).fingerprint;
    groups
        .plan(&who(), &cause, &plan, &Conditions::default())
        .await
        .unwrap();
    plan.id
}

async fn publish(setting: &Setting, text: &str) {
    let draft = TemplateDraft {
        name: TemplateName {
            id: "OrderShipped/sms".to_owned(),
            locale: None,
        },
        parts: BTreeMap::from([("text".to_owned(), text.to_owned())]),
    };
    let templates = setting.env.store.templates();
    templates
        .apply(&TenantId::default(), &[draft], &BTreeMap::new())
        .await
        .unwrap();
    // Renderers have loaded it by now.
    setting.clock.advance(Duration::from_secs(15));
}

async fn jobs(setting: &Setting) -> Vec<JobView> {
    let jobs = setting.env.store.dead_letter_jobs();
    let page = Page {
        limit: 500,
        ..Page::default()
    };
    jobs.list(&TenantId::default(), page).await.unwrap().items
}

#[tokio::test]
async fn a_planned_replay_begins_once_its_template_is_published_and_each_letter_goes_out_once() {
    on_scheduler(async |setting| {
        setting.bury(&[letter("default", 1), letter("default", 2)]).await;
        setting.clock.advance(Duration::from_mins(1));
        let job = plan(setting, 0).await;
        assert_eq!(Planner::new(setting.deps()).step().await.unwrap(), 0);
        publish(setting, "mended").await;
        // A letter that comes while the plan waits is a part of its job.
        setting.bury(&[letter("default", 3)]).await;
        let planners: Vec<_> = (0..4).map(|_| Planner::new(setting.deps())).collect();
        let started = futures::future::join_all(planners.iter().map(Planner::step)).await;
        let started: u64 = started.into_iter().map(Result::unwrap).sum();
        assert_eq!(started, 1);
        assert_eq!(setting.view(job).await.total, 3);
        setting.run_jobs().await;
        setting.publish_all().await;
        let once = (1..=3).map(|number| ((delivery_id(number), 1), 1));
        assert_eq!(setting.deliveries().await, once.collect());
        assert_eq!(setting.view(job).await.state, JobState::Done);
        assert_eq!(Planner::new(setting.deps()).step().await.unwrap(), 0);
        assert_eq!(jobs(setting).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_planned_replay_makes_one_job_wherever_its_scheduler_dies() {
    on_scheduler(async |setting| {
        let mut rounds = 0_usize;
        loop {
            let number = i64::try_from(rounds).unwrap();
            setting.bury(&[letter("default", number)]).await;
            setting.clock.advance(Duration::from_mins(10));
            let job = plan(setting, u32::try_from(rounds).unwrap()).await;
            publish(setting, &format!("text {rounds}")).await;
            let planner = Planner::new(setting.deps());
            let survived = killed_after(rounds, Box::pin(planner.step())).await.is_some();
            rounds += 1;
            // PostgreSQL rolls the transaction of a dropped future back in its own time.
            eventually("the job is made", || async {
                Planner::new(setting.deps()).step().await.unwrap();
                jobs(setting).await.iter().any(|made| made.id == job)
            })
            .await;
            assert_eq!(jobs(setting).await.len(), rounds);
            setting.run_jobs().await;
            if survived {
                break;
            }
        }
        assert!(rounds > 3, "the planner waits for the database several times");
        setting.publish_all().await;
        let once = (0..i64::try_from(rounds).unwrap()).map(|number| ((delivery_id(number), 1), 1));
        assert_eq!(setting.deliveries().await, once.collect());
    })
    .await;
}
