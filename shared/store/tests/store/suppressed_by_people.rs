//! Entries of the suppression list that people write, list and import.

use carillon_domain::{Channel, suppression::SuppressionReason};
use carillon_runtime::http::Conditions;
use carillon_store::{
    Page, StoreError,
    api_keys::Principal,
    suppressions::{Change, Imported, SuppressionFilter, SuppressionPut, SuppressionView},
};

use crate::{
    support::{on_each, seconds},
    suppressions::{NUMBER, bounce, get, noted, operator, seen, stop, strike, until},
};

fn imported(channel: Channel, address: &str, reason: SuppressionReason) -> Imported {
    Imported {
        channel,
        address: address.to_owned(),
        reason,
        note: None,
        expires_at: None,
    }
}

#[tokio::test]
async fn a_person_puts_an_address_on_the_list_once_changes_the_entry_and_lifts_it() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        let plain = SuppressionPut::default();
        let put = async |put: &SuppressionPut, conditions: Option<&Conditions>| {
            suppressions
                .put(&who, Channel::Email, "Ada@Example.com", put, conditions)
                .await
        };
        let made = put(&plain, None).await.unwrap();
        assert!(made.created);
        let again = put(&plain, None).await.unwrap();
        assert_eq!(
            (again.created, again.version),
            (false, made.version),
            "the same wish twice"
        );
        let none = put(&plain, Some(&Conditions::exactly("\"7\""))).await;
        assert!(matches!(none, Err(StoreError::PreconditionFailed(_))));
        let noted = noted("moved away");
        let seen = Conditions::exactly(&made.etag());
        assert_eq!(put(&noted, Some(&seen)).await.unwrap().version, made.version + 1);

        let get = async || {
            suppressions
                .get(&store.tenant, Channel::Email, "ada@example.com")
                .await
                .unwrap()
        };
        let entry = get().await.unwrap();
        assert_eq!(entry.version, made.version + 1);
        let entry = entry.value;
        assert_eq!(
            (entry.reason, entry.created_at),
            (SuppressionReason::Manual, store.now())
        );
        assert_eq!(entry.actor.as_deref(), Some("support desk"));
        assert_eq!(entry.note.as_deref(), Some("moved away"));
        assert_eq!(entry.address_masked.as_deref(), Some("A…@Example.com"));

        let lift = async |conditions| {
            suppressions
                .lift(&who, Channel::Email, "ADA@example.com", conditions)
                .await
        };
        assert!(matches!(
            lift(Some(&seen)).await,
            Err(StoreError::PreconditionFailed(_))
        ));
        assert!(lift(None).await.unwrap());
        assert!(!lift(None).await.unwrap());
        assert!(get().await.is_none());

        let log = store
            .audit_log()
            .list(&store.tenant, Page::default())
            .await
            .unwrap();
        let mut told: Vec<String> = log
            .items
            .iter()
            .map(|entry| format!("{} {} {}", entry.key_name, entry.action, entry.route))
            .collect();
        told.sort();
        assert_eq!(
            told,
            [
                "support desk lift /v1/suppressions/email/A…@example.com",
                "support desk suppress /v1/suppressions/email/A…@Example.com",
                "support desk suppress /v1/suppressions/email/A…@Example.com",
            ],
            "each change has its entry, and the address is in none"
        );
    })
    .await;
}

#[tokio::test]
async fn a_persons_entry_does_not_replace_a_stop_and_makes_a_bounce_permanent_with_its_cause() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        let put = async |put: &SuppressionPut| {
            suppressions
                .put(&who, Channel::Sms, NUMBER, put, None)
                .await
                .unwrap()
        };
        suppressions.strike(&[bounce(store)]).await.unwrap();
        let bounced = get(store).await.unwrap();
        store.clock.advance(seconds(5));
        let ends = store.now() + seconds(60);
        let both = SuppressionPut {
            note: Change::Set(Some("n".to_owned())),
            expires_at: Change::Set(Some(ends)),
        };
        put(&both).await;
        let manual = SuppressionView {
            reason: SuppressionReason::Manual,
            actor: Some("support desk".to_owned()),
            note: Some("n".to_owned()),
            expires_at: Some(ends),
            ..bounced.clone()
        };
        assert_eq!(get(store).await, Some(manual), "the cause and the time stay");
        suppressions.revoke(&[bounce(store)]).await.unwrap();
        assert!(
            get(store).await.is_some(),
            "a revoked strike leaves a person's entry"
        );

        suppressions.strike(&[stop(store)]).await.unwrap();
        for _ in 0..2 {
            put(&both).await;
            let entry = get(store).await.unwrap();
            assert_eq!(
                (entry.reason, entry.expires_at),
                (SuppressionReason::OptedOut, None)
            );
            assert_eq!(
                (entry.note.as_deref(), entry.provider.as_deref(), entry.actor),
                (Some("n"), Some("twilio"), None)
            );
        }
        assert!(suppressions.lift(&who, Channel::Sms, NUMBER, None).await.unwrap());
        assert_eq!(get(store).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_request_without_a_field_leaves_the_field_of_every_entry_as_it_is() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        let put = async |put: SuppressionPut| {
            suppressions
                .put(&who, Channel::Sms, NUMBER, &put, None)
                .await
                .unwrap()
        };
        let none = SuppressionPut {
            note: Change::Set(None),
            expires_at: Change::Set(None),
        };
        let ends = store.now() + seconds(60);
        // A person's own entry.
        let made = put(noted("by phone")).await;
        put(until(ends)).await;
        assert_eq!(
            put(SuppressionPut::default()).await.version,
            made.version + 1,
            "an empty request changes nothing"
        );
        let entry = get(store).await.unwrap();
        assert_eq!(
            (entry.note.as_deref(), entry.expires_at),
            (Some("by phone"), Some(ends))
        );
        put(none.clone()).await;
        let entry = get(store).await.unwrap();
        assert_eq!((entry.note, entry.expires_at), (None, None));
        put(until(ends)).await;
        put(noted("by phone")).await;
        assert_eq!(get(store).await.unwrap().expires_at, Some(ends));

        // A STOP, which keeps the note of the entry that it replaces.
        suppressions.strike(&[stop(store)]).await.unwrap();
        let stopped = get(store).await.unwrap();
        assert_eq!(
            (stopped.reason, stopped.note.as_deref()),
            (SuppressionReason::OptedOut, Some("by phone"))
        );
        put(SuppressionPut::default()).await;
        assert_eq!(get(store).await, Some(stopped.clone()));
        put(none).await;
        assert_eq!(
            get(store).await,
            Some(SuppressionView {
                note: None,
                ..stopped
            })
        );
    })
    .await;
}

#[tokio::test]
async fn another_persons_change_leaves_the_name_of_the_person_who_made_the_entry() {
    on_each(async |store| {
        let suppressions = store.suppressions();
        let other = Principal {
            name: "night shift".to_owned(),
            ..operator(store)
        };
        let imported = imported(Channel::Sms, NUMBER, SuppressionReason::Import);
        suppressions.import(&operator(store), &[imported]).await.unwrap();
        suppressions
            .put(&other, Channel::Sms, NUMBER, &noted("n"), None)
            .await
            .unwrap();
        let entry = get(store).await.unwrap();
        assert_eq!(
            (entry.reason, entry.actor.as_deref(), entry.note.as_deref()),
            (SuppressionReason::Import, Some("support desk"), Some("n"))
        );
    })
    .await;
}

#[tokio::test]
async fn an_imported_line_keeps_the_cause_and_the_note_of_the_entry_that_it_replaces() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        suppressions.strike(&[bounce(store)]).await.unwrap();
        let bounced = get(store).await.unwrap();
        store.clock.advance(seconds(5));
        let line = imported(Channel::Sms, NUMBER, SuppressionReason::Import);
        assert_eq!(suppressions.import(&who, &[line]).await.unwrap(), 1);
        let expected = SuppressionView {
            reason: SuppressionReason::Import,
            actor: Some("support desk".to_owned()),
            ..bounced
        };
        assert_eq!(get(store).await, Some(expected));

        suppressions.lift(&who, Channel::Sms, NUMBER, None).await.unwrap();
        store.clock.advance(seconds(5));
        suppressions
            .put(&who, Channel::Sms, NUMBER, &noted("asked by phone"), None)
            .await
            .unwrap();
        suppressions
            .put(
                &who,
                Channel::Sms,
                NUMBER,
                &until(store.now() + seconds(60)),
                None,
            )
            .await
            .unwrap();
        let line = imported(Channel::Sms, NUMBER, SuppressionReason::Complaint);
        assert_eq!(suppressions.import(&who, &[line]).await.unwrap(), 1);
        let entry = get(store).await.unwrap();
        assert_eq!(
            (entry.reason, entry.note.as_deref(), entry.provider),
            (SuppressionReason::Complaint, Some("asked by phone"), None),
            "a wish has a cause of its own"
        );
        suppressions.lift(&who, Channel::Sms, NUMBER, None).await.unwrap();
        let line = imported(Channel::Sms, NUMBER, SuppressionReason::Import);
        assert_eq!(suppressions.import(&who, &[line]).await.unwrap(), 1);
        assert_eq!(
            get(store).await.unwrap().note,
            None,
            "an entry that was lifted leaves nothing"
        );
    })
    .await;
}

#[tokio::test]
async fn a_list_is_filtered_and_paged_newest_first() {
    on_each(async |store| {
        let suppressions = store.suppressions();
        for number in 0..5 {
            store.clock.advance(seconds(1));
            let reason = if number == 2 {
                SuppressionReason::OptedOut
            } else {
                SuppressionReason::HardBounce
            };
            let one = strike(store, Channel::Sms, &format!("+491511234567{number}"), reason);
            suppressions.strike(&[one]).await.unwrap();
        }
        let mail = strike(
            store,
            Channel::Email,
            "a@example.com",
            SuppressionReason::HardBounce,
        );
        suppressions.strike(&[mail]).await.unwrap();
        let page = |after| Page { after, limit: 2 };
        let sms = SuppressionFilter {
            channels: vec![Channel::Sms],
            reasons: Vec::new(),
        };
        let (mut after, mut hints) = (None, Vec::new());
        loop {
            let list = suppressions.list(&store.tenant, &sms, page(after)).await.unwrap();
            hints.extend(list.items.into_iter().map(|entry| entry.address_masked.unwrap()));
            let Some(cursor) = list.next_cursor else { break };
            after = carillon_store::Cursor::parse(&cursor);
        }
        assert_eq!(hints, ["+49…74", "+49…73", "+49…72", "+49…71", "+49…70"]);
        let stopped = SuppressionFilter {
            channels: Vec::new(),
            reasons: vec![SuppressionReason::OptedOut, SuppressionReason::Manual],
        };
        let list = suppressions
            .list(&store.tenant, &stopped, Page::default())
            .await
            .unwrap();
        assert_eq!(list.items.len(), 1);
        let foreign = suppressions
            .list(&"other".into(), &stopped, Page::default())
            .await
            .unwrap();
        assert!(foreign.items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_import_adds_each_address_once_and_keeps_present_entries() {
    on_each(async |store| {
        let (suppressions, who) = (store.suppressions(), operator(store));
        suppressions.strike(&[stop(store)]).await.unwrap();
        let line = imported;
        let lines = [
            line(Channel::Sms, NUMBER, SuppressionReason::Import),
            line(Channel::Email, "a@example.com", SuppressionReason::Complaint),
            line(Channel::Email, "A@Example.com", SuppressionReason::Import),
            line(Channel::Email, "b@example.com", SuppressionReason::Import),
        ];
        suppressions.begin_import(&who).await.unwrap();
        assert_eq!(suppressions.import(&who, &lines).await.unwrap(), 2);
        assert_eq!(suppressions.import(&who, &lines).await.unwrap(), 0);
        assert_eq!(get(store).await.unwrap().reason, SuppressionReason::OptedOut);
        let first = seen(store, Channel::Email, "a@example.com").await.unwrap();
        assert_eq!(first.reason, SuppressionReason::Complaint);
        let many: Vec<_> = (0..700)
            .map(|n| {
                line(
                    Channel::Email,
                    &format!("m{n}@example.com"),
                    SuppressionReason::Import,
                )
            })
            .collect();
        assert_eq!(suppressions.import(&who, &many).await.unwrap(), 700);
    })
    .await;
}
