//! What live views read, and what pages of keys and templates note in the audit log.

use std::collections::BTreeMap;

use carillon_domain::{Channel, DeliveryStatus};
use carillon_store::{
    Cursor, Page, StoreError,
    api_keys::Role,
    audit_log::AuditAction,
    dead_letters::{DeadLetterFilter, DeadLetterState},
    read_model::{Projection, StoredOffset},
    templates::{TemplateDraft, TemplateName},
};

use crate::{
    dead_letters::letter,
    support::{TestStore, delivery_row, on_each, start, state},
};

fn next(next: i64) -> Vec<StoredOffset> {
    vec![StoredOffset {
        topic: "notifications.status".into(),
        partition: 0,
        next,
    }]
}

#[tokio::test]
async fn the_revision_changes_with_each_batch_of_a_tracker_and_with_nothing_else() {
    on_each(async |store| {
        let model = store.read_model();
        let batch = |offsets| Projection {
            consumer: "tracker".to_owned(),
            deliveries: vec![delivery_row(1, state(0, 1, DeliveryStatus::Sent), start())],
            offsets,
            ..Projection::default()
        };
        let mut revisions = vec![model.revision().await.unwrap()];
        assert_eq!(model.revision().await.unwrap(), revisions[0]);
        model.apply(&batch(next(5))).await.unwrap();
        revisions.push(model.revision().await.unwrap());
        let dead = [letter(1, Some(Channel::Sms), "21211")];
        store
            .dead_letters()
            .apply("letters", &dead, &next(1))
            .await
            .unwrap();
        revisions.push(model.revision().await.unwrap());
        store
            .api_keys()
            .create(&store.tenant, "a key", Role::Viewer)
            .await
            .unwrap();
        assert_eq!(model.revision().await.unwrap(), revisions[2]);
        model.begin_rebuild("tracker").await.unwrap();
        revisions.push(model.revision().await.unwrap());
        for (index, revision) in revisions.iter().enumerate() {
            assert!(!revisions[..index].contains(revision), "{revisions:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_places_of_dead_letters_are_those_of_their_list() {
    on_each(async |store| {
        let letters = store.dead_letters();
        let rows: Vec<_> = (0..7)
            .map(|offset| {
                letter(
                    offset,
                    Some(Channel::Sms),
                    if offset % 3 == 0 { "a" } else { "b" },
                )
            })
            .collect();
        letters.apply("letters", &rows, &next(1)).await.unwrap();
        let filter = DeadLetterFilter {
            state: vec![DeadLetterState::Open],
            code: vec!["b".to_owned()],
            ..DeadLetterFilter::default()
        };
        let mut page = Page {
            after: None,
            limit: 3,
        };
        loop {
            let listed = letters.list(&store.tenant, &filter, page).await.unwrap();
            let found = letters.places(&store.tenant, &filter, page).await.unwrap();
            let expected = listed.items.iter().map(|one| Cursor::new(one.dead_at, one.id));
            assert_eq!(found.items, expected.collect::<Vec<_>>());
            assert_eq!(found.next_cursor, listed.next_cursor);
            let Some(cursor) = listed.next_cursor else { break };
            page.after = Cursor::parse(&cursor);
        }
    })
    .await;
}

async fn audited(store: &TestStore) -> Vec<(AuditAction, String)> {
    let entries = store
        .audit_log()
        .list(&store.tenant, Page::default())
        .await
        .unwrap();
    let entries = entries.items.into_iter();
    entries.map(|entry| (entry.action, entry.route)).collect()
}

#[tokio::test]
async fn a_key_is_revoked_once_by_a_key_of_its_tenant_and_noted() {
    on_each(async |store| {
        let keys = store.api_keys();
        let admin = keys.create(&store.tenant, "admin", Role::Admin).await.unwrap();
        let who = keys.verify(&admin.secret).await.unwrap().unwrap();
        let leaked = keys
            .create(&store.tenant, "leaked", Role::Operator)
            .await
            .unwrap();
        let foreign = keys
            .create(&"other".into(), "foreign", Role::Operator)
            .await
            .unwrap();
        assert!(!keys.revoke_as(&who, foreign.id, "/keys/f/revoke").await.unwrap());
        assert!(keys.verify(&foreign.secret).await.unwrap().is_some());
        assert!(keys.verify(&leaked.secret).await.unwrap().is_some());
        assert!(keys.revoke_as(&who, leaked.id, "/keys/l/revoke").await.unwrap());
        assert!(keys.verify(&leaked.secret).await.unwrap().is_none());
        assert!(!keys.revoke_as(&who, leaked.id, "/keys/l/revoke").await.unwrap());
        assert_eq!(
            audited(store).await,
            [(AuditAction::Revoke, "/keys/l/revoke".to_owned())]
        );
    })
    .await;
}

#[tokio::test]
async fn a_new_version_of_a_template_is_noted_and_the_same_text_is_not() {
    on_each(async |store| {
        let keys = store.api_keys();
        let admin = keys.create(&store.tenant, "admin", Role::Admin).await.unwrap();
        let who = keys.verify(&admin.secret).await.unwrap().unwrap();
        let templates = store.templates();
        let draft = TemplateDraft {
            name: TemplateName {
                id: "OrderShipped/sms".into(),
                locale: None,
            },
            parts: BTreeMap::from([("text".to_owned(), "one".to_owned())]),
        };
        let none = templates.publish_as(&who, "/p", &draft, 0, None).await;
        assert!(matches!(none, Err(StoreError::NotFound { .. })));
        for expected in [1, 1] {
            templates.put_draft(&store.tenant, &draft, None).await.unwrap();
            let revision = templates.revision(&store.tenant).await.unwrap();
            let row = templates
                .publish_as(&who, "/p", &draft, revision, None)
                .await
                .unwrap();
            assert_eq!(row.unwrap().version, expected);
        }
        assert_eq!(audited(store).await, [(AuditAction::Publish, "/p".to_owned())]);
    })
    .await;
}
