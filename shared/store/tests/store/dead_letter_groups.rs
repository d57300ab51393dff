//! The handling of causes of dead letters by people, and planned replays.

use std::collections::BTreeMap;

use carillon_domain::Channel;
use carillon_runtime::http::Conditions;
use carillon_store::{
    Page, Store, StoreError,
    account_holds::AccountHold,
    api_keys::{Principal, Role},
    audit_log::AuditAction,
    dead_letter_groups::{Handling, HandlingPatch, MOST_IGNORED, NewPlan, PlanCondition, PlanState},
    dead_letter_jobs::{Canary, CanaryPhase, JobState},
    dead_letters::{DeadLetterFilter, OpenCount},
    etag,
    suppressions::Change,
    templates::{TemplateDraft, TemplateName},
};
use uuid::Uuid;

use crate::{
    dead_letters::letter,
    support::{TestStore, on_each, seconds},
};

const CAUSE: &str = "9f86d081884c7d65";

fn who(name: &str) -> Principal {
    Principal {
        key_id: Uuid::from_u128(9),
        name: name.to_owned(),
        tenant: "default".into(),
        role: Role::Operator,
    }
}

fn any() -> Conditions {
    Conditions::default()
}

fn exactly(handling: &Handling) -> Conditions {
    Conditions::exactly(&etag(handling.version))
}

fn ignoring(is_ignored: bool) -> HandlingPatch {
    HandlingPatch {
        ignored: Change::Set(Some(is_ignored)),
        ..HandlingPatch::default()
    }
}

async fn actions(store: &TestStore) -> Vec<(AuditAction, String)> {
    let log = store.audit_log().list(&store.tenant, Page::default()).await;
    let entries = log.unwrap().items.into_iter().rev();
    entries.map(|entry| (entry.action, entry.route)).collect()
}

#[tokio::test]
async fn a_cause_has_note_and_owner_and_only_what_is_named_changes() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        let unset = groups.get(&store.tenant, CAUSE).await.unwrap();
        assert_eq!(unset, Handling::default());
        let told = HandlingPatch {
            note: Change::Set(Some("in review".to_owned())),
            owner: Change::Set(Some("team checkout".to_owned())),
            ignored: Change::Keep,
        };
        let first = groups
            .change(&who("ada"), CAUSE, &told, &exactly(&unset))
            .await
            .unwrap();
        assert_eq!((first.version, first.note.as_deref()), (1, Some("in review")));
        let same = groups.change(&who("bob"), CAUSE, &told, &any()).await.unwrap();
        assert_eq!(same, first, "nothing has changed");
        let stale = groups
            .change(&who("bob"), CAUSE, &ignoring(true), &exactly(&unset))
            .await;
        assert!(
            matches!(stale, Err(StoreError::PreconditionFailed(_))),
            "{stale:?}"
        );
        store.clock.advance(seconds(5));
        let second = groups
            .change(&who("bob"), CAUSE, &ignoring(true), &exactly(&first))
            .await
            .unwrap();
        let ignored = second.ignored.clone().unwrap();
        assert_eq!((ignored.by.as_str(), ignored.at), ("bob", store.now()));
        assert_eq!(
            (second.version, second.owner.as_deref()),
            (2, Some("team checkout"))
        );
        let removed = HandlingPatch {
            note: Change::Set(None),
            ignored: Change::Set(None),
            ..HandlingPatch::default()
        };
        let third = groups.change(&who("ada"), CAUSE, &removed, &any()).await.unwrap();
        assert_eq!((third.note, third.ignored, third.version), (None, None, 3));
        let all = groups.all(&store.tenant).await.unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), [CAUSE]);
        assert!(groups.all(&"other".into()).await.unwrap().is_empty());
        let route = format!("/v1/dlq/groups/{CAUSE}");
        let expected = [
            AuditAction::Annotate,
            AuditAction::Ignore,
            AuditAction::Annotate,
            AuditAction::Unignore,
        ];
        let mut found = actions(store).await;
        // The last two have the same time.
        found[2..].sort_by_key(|(action, _)| action.to_string());
        assert_eq!(found, expected.map(|action| (action, route.clone())));
    })
    .await;
}

#[tokio::test]
async fn of_several_people_who_saw_the_same_version_one_changes_it() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        let unset = exactly(&Handling::default());
        let changes = (0..5).map(|number| {
            let patch = HandlingPatch {
                owner: Change::Set(Some(format!("owner {number}"))),
                ..HandlingPatch::default()
            };
            let unset = unset.clone();
            async move { groups.change(&who("ada"), CAUSE, &patch, &unset).await }
        });
        let ended = futures::future::join_all(changes).await;
        assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 1, "{ended:?}");
        let refused = |ended: &Result<_, _>| matches!(ended, Err(StoreError::PreconditionFailed(_)));
        assert_eq!(
            ended.iter().filter(|ended| refused(ended)).count(),
            4,
            "{ended:?}"
        );
        assert_eq!(groups.get(&store.tenant, CAUSE).await.unwrap().version, 1);
    })
    .await;
}

#[tokio::test]
async fn open_letters_of_ignored_causes_are_counted_apart_and_left_out_of_selections() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let rows: Vec<_> = (0..9)
            .map(|offset| {
                letter(
                    offset,
                    Some(Channel::Sms),
                    ["a", "b", "c"][usize::try_from(offset).unwrap() % 3],
                )
            })
            .collect();
        letters.apply("tracker", &rows, &[]).await.unwrap();
        let groups = store.dead_letter_groups();
        let cause = rows[0].fingerprint.as_str();
        groups
            .change(&who("ada"), cause, &ignoring(true), &any())
            .await
            .unwrap();
        // The same cause of another tenant is not ignored.
        let counted = |open, ignored| OpenCount {
            queue: "sms".to_owned(),
            class: "terminal".to_owned(),
            open,
            ignored,
        };
        assert_eq!(letters.open_counts().await.unwrap(), [counted(6, 3)]);
        let filter = DeadLetterFilter {
            without: groups.ignored(&store.tenant).await.unwrap(),
            ..DeadLetterFilter::default()
        };
        let left = letters
            .list(&store.tenant, &filter, Page::default())
            .await
            .unwrap();
        assert_eq!(left.items.len(), 6);
        assert!(left.items.iter().all(|letter| letter.code != "a"));
        let one = letters.group(&store.tenant, cause).await.unwrap().unwrap();
        assert_eq!((one.code.as_str(), one.open), ("a", 3));
        assert_eq!(one.sample_type.as_deref(), Some("OrderShipped"));
        assert_eq!(letters.group(&"other".into(), cause).await.unwrap(), None);
        groups
            .change(&who("ada"), cause, &ignoring(false), &any())
            .await
            .unwrap();
        assert_eq!(letters.open_counts().await.unwrap(), [counted(9, 0)]);
    })
    .await;
}

#[tokio::test]
async fn a_tenant_ignores_a_bounded_number_of_causes() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        for number in 0..MOST_IGNORED {
            let cause = format!("cause {number}");
            groups
                .change(&who("ada"), &cause, &ignoring(true), &any())
                .await
                .unwrap();
        }
        let more = groups.change(&who("ada"), CAUSE, &ignoring(true), &any()).await;
        assert!(
            matches!(
                more,
                Err(StoreError::Full {
                    most: MOST_IGNORED,
                    ..
                })
            ),
            "{more:?}"
        );
        groups
            .change(&who("ada"), "cause 7", &ignoring(false), &any())
            .await
            .unwrap();
        groups
            .change(&who("ada"), CAUSE, &ignoring(true), &any())
            .await
            .unwrap();
    })
    .await;
}

fn planned(condition: PlanCondition) -> NewPlan {
    NewPlan {
        id: Uuid::now_v7(),
        condition,
        rate: Some(7),
        note: None,
        canary: Some(Canary {
            letters: 10,
            tolerance: 20,
        }),
    }
}

fn of_template(after: u32) -> PlanCondition {
    PlanCondition::Template {
        id: "OrderShipped/sms".to_owned(),
        after,
    }
}

async fn publish(store: &TestStore, locale: Option<&str>, text: &str) {
    let draft = TemplateDraft {
        name: TemplateName {
            id: "OrderShipped/sms".to_owned(),
            locale: locale.map(Into::into),
        },
        parts: BTreeMap::from([("text".to_owned(), text.to_owned())]),
    };
    let templates = store.templates();
    templates
        .apply(&store.tenant, &[draft], &BTreeMap::new())
        .await
        .unwrap();
}

async fn due(store: &Store) -> Vec<Uuid> {
    let due = store.dead_letter_groups().due().await.unwrap();
    due.into_iter().map(|due| due.plan.id).collect()
}

#[tokio::test]
async fn a_replay_that_waits_for_a_template_is_due_once_a_newer_version_of_it_is_published() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        publish(store, None, "one").await;
        let plan = planned(of_template(1));
        let handling = groups.plan(&who("ada"), CAUSE, &plan, &any()).await.unwrap();
        let shown = handling.plan.unwrap();
        assert_eq!((shown.id, shown.state), (plan.id, PlanState::Waiting));
        assert_eq!(
            (shown.condition, shown.canary, shown.rate),
            (of_template(1), plan.canary, Some(7))
        );
        assert!(due(store).await.is_empty());
        publish(store, None, "one").await;
        assert!(due(store).await.is_empty(), "the same text is no new version");
        publish(store, Some("fr"), "deux").await;
        store.clock.advance(seconds(14));
        assert!(due(store).await.is_empty(), "renderers are loading it");
        store.clock.advance(seconds(1));
        assert_eq!(due(store).await, [plan.id]);
    })
    .await;
}

fn hold(store: &TestStore, account: &str, seconds_left: Option<u64>) -> AccountHold {
    AccountHold {
        account: account.to_owned(),
        channel: Channel::Sms,
        cause: "it refuses our credentials".to_owned(),
        ends_at: seconds_left.map(|left| store.now() + seconds(left)),
        park: Some("refusals".to_owned()),
    }
}

#[tokio::test]
async fn a_replay_that_waits_for_an_account_is_due_once_no_worker_holds_it() {
    on_each(async |store| {
        let (groups, holds) = (store.dead_letter_groups(), store.account_holds());
        let [one, two] = [Uuid::now_v7(), Uuid::now_v7()];
        holds.put(one, &hold(store, "twilio", None)).await.unwrap();
        holds.put(two, &hold(store, "twilio", Some(900))).await.unwrap();
        let plan = planned(PlanCondition::Account("twilio".to_owned()));
        groups.plan(&who("ada"), CAUSE, &plan, &any()).await.unwrap();
        assert!(due(store).await.is_empty());
        holds.remove(one, "twilio").await.unwrap();
        assert!(due(store).await.is_empty(), "another worker holds it");
        // A worker that does not renew its row may be restarting.
        store.clock.advance(seconds(120));
        assert!(due(store).await.is_empty());
        holds.remove(two, "twilio").await.unwrap();
        assert_eq!(due(store).await, [plan.id]);
    })
    .await;
}

#[tokio::test]
async fn the_hold_of_a_worker_that_never_came_back_counts_until_it_is_over() {
    on_each(async |store| {
        let (groups, holds) = (store.dead_letter_groups(), store.account_holds());
        let plan = planned(PlanCondition::Account("twilio".to_owned()));
        groups.plan(&who("ada"), CAUSE, &plan, &any()).await.unwrap();
        holds
            .put(Uuid::now_v7(), &hold(store, "twilio", Some(900)))
            .await
            .unwrap();
        store.clock.advance(seconds(600));
        assert!(due(store).await.is_empty(), "its park lasts on");
        store.clock.advance(seconds(301));
        assert_eq!(due(store).await, [plan.id]);
    })
    .await;
}

#[tokio::test]
async fn a_planned_replay_makes_one_job_however_many_schedulers_start_it() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        publish(store, None, "one").await;
        store.clock.advance(seconds(15));
        let plan = planned(of_template(0));
        groups.plan(&who("ada"), CAUSE, &plan, &any()).await.unwrap();
        let found = groups.due().await.unwrap().remove(0);
        let starts = (0..5).map(|_| groups.start(&found, 3, store.now()));
        let made = futures::future::join_all(starts).await;
        let made = made.into_iter().map(Result::unwrap).filter(|made| *made).count();
        assert_eq!(made, 1);
        assert!(due(store).await.is_empty());
        let jobs = store
            .dead_letter_jobs()
            .list(&store.tenant, Page::default())
            .await
            .unwrap()
            .items;
        let [job] = jobs.as_slice() else {
            panic!("{jobs:?}")
        };
        assert_eq!((job.id, job.state, job.total), (plan.id, JobState::Running, 3));
        assert_eq!((job.key_name.as_str(), job.rate), ("ada", Some(7)));
        let canary = job.canary.unwrap();
        assert_eq!(
            (Some(canary.canary), canary.phase),
            (plan.canary, CanaryPhase::Sending)
        );
        assert_eq!(job.selection, found.selection());
        assert_eq!(job.selection.fingerprint, [CAUSE]);
        assert_eq!(
            job.note.as_deref(),
            Some("planned: once a version of OrderShipped/sms is published")
        );
        let handling = groups.get(&store.tenant, CAUSE).await.unwrap();
        assert_eq!(handling.plan.unwrap().state, PlanState::Started);
        let late = groups.cancel_plan(&who("ada"), CAUSE, &any()).await;
        assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
        let noted = actions(store).await;
        let expected = [
            (
                AuditAction::Plan,
                format!("/v1/dlq/groups/{CAUSE}/planned-replay"),
            ),
            (AuditAction::Replay, format!("/v1/dlq/jobs/{}", plan.id)),
        ];
        assert_eq!(noted, expected);
    })
    .await;
}

#[tokio::test]
async fn a_cause_has_one_planned_replay_and_a_cancelled_one_never_starts() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        publish(store, None, "one").await;
        store.clock.advance(seconds(15));
        let [first, second] = [planned(of_template(0)), planned(of_template(0))];
        groups.plan(&who("ada"), CAUSE, &first, &any()).await.unwrap();
        let before = groups.due().await.unwrap().remove(0);
        let replaced = groups.plan(&who("bob"), CAUSE, &second, &any()).await.unwrap();
        assert_eq!(replaced.plan.as_ref().unwrap().id, second.id);
        assert_eq!(due(store).await, [second.id]);
        assert!(
            !groups.start(&before, 1, store.now()).await.unwrap(),
            "it was replaced"
        );
        let stale = groups
            .cancel_plan(&who("ada"), CAUSE, &Conditions::exactly("\"1\""))
            .await;
        assert!(
            matches!(stale, Err(StoreError::PreconditionFailed(_))),
            "{stale:?}"
        );
        let waiting = groups.due().await.unwrap().remove(0);
        let cancelled = groups
            .cancel_plan(&who("ada"), CAUSE, &exactly(&replaced))
            .await
            .unwrap();
        assert_eq!(cancelled.plan.unwrap().state, PlanState::Cancelled);
        assert!(
            !groups.start(&waiting, 1, store.now()).await.unwrap(),
            "it was cancelled"
        );
        let again = groups.cancel_plan(&who("ada"), CAUSE, &any()).await;
        assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
        let jobs = store
            .dead_letter_jobs()
            .list(&store.tenant, Page::default())
            .await
            .unwrap();
        assert!(jobs.items.is_empty());
        // Plans that have ended are deleted by age; one that waits stays.
        let third = planned(of_template(9));
        groups.plan(&who("ada"), CAUSE, &third, &any()).await.unwrap();
        store.clock.advance(seconds(400 * 24 * 3_600));
        assert_eq!(groups.prune(seconds(1)).await.unwrap(), 2);
        let kept = groups.get(&store.tenant, CAUSE).await.unwrap().plan.unwrap();
        assert_eq!((kept.id, kept.state), (third.id, PlanState::Waiting));
    })
    .await;
}

#[tokio::test]
async fn several_people_who_plan_at_once_leave_one_plan() {
    on_each(async |store| {
        let groups = store.dead_letter_groups();
        let plans: Vec<_> = (0..5).map(|_| planned(of_template(0))).collect();
        let made = plans.iter().map(|plan| async move {
            groups.plan(&who("ada"), CAUSE, plan, &any()).await.unwrap();
        });
        futures::future::join_all(made).await;
        publish(store, None, "one").await;
        store.clock.advance(seconds(15));
        let shown = groups.get(&store.tenant, CAUSE).await.unwrap().plan.unwrap();
        assert_eq!(due(store).await, [shown.id]);
    })
    .await;
}
