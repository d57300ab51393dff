//! Writes under the conditions of a request: on the existence of a resource, and on its version.

use std::collections::BTreeSet;

use carillon_domain::{Catalog, Preferences, UserId};
use carillon_runtime::http::Conditions;
use carillon_store::{
    StoreError, before_first, etag,
    templates::{TemplateDraft, TemplateName},
    users::UserPut,
};

use crate::support::on_each;

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    let result = result.map(|written| format!("{written:?}"));
    assert!(
        matches!(result, Err(StoreError::PreconditionFailed(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_user_is_created_or_replaced_only_if_the_condition_on_its_existence_holds() {
    on_each(async |store| {
        let (users, id, put) = (store.users(), UserId::from("u-1"), UserPut::default());
        let absent = Conditions::absent();
        refused(
            users
                .put(&store.tenant, &id, &put, Some(&Conditions::existing()))
                .await,
        );
        refused(
            users
                .delete(&store.tenant, &id, Some(&Conditions::existing()))
                .await,
        );
        assert!(users.get(&store.tenant, &id).await.unwrap().is_none());
        let made = users.put(&store.tenant, &id, &put, Some(&absent)).await.unwrap();
        assert!(made.created);
        refused(users.put(&store.tenant, &id, &put, Some(&absent)).await);
        let again = users
            .put(&store.tenant, &id, &put, Some(&Conditions::existing()))
            .await
            .unwrap();
        assert_eq!((again.created, again.version), (false, made.version + 1));
        refused(
            users
                .delete(&store.tenant, &id, Some(&Conditions::exactly(&made.etag())))
                .await,
        );
        assert!(
            users
                .delete(&store.tenant, &id, Some(&Conditions::exactly(&again.etag())))
                .await
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn of_concurrent_creations_of_one_user_with_if_none_match_one_succeeds() {
    on_each(async |store| {
        let (put, absent) = (UserPut::default(), Conditions::absent());
        for round in 0..10 {
            let id = UserId::from(format!("u-{round}"));
            let makers = (0..4).map(|_| store.users().put(&store.tenant, &id, &put, Some(&absent)));
            let made = futures::future::join_all(makers).await;
            assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
            made.into_iter().filter(Result::is_err).for_each(refused);
        }
    })
    .await;
}

#[tokio::test]
async fn preferences_exist_as_soon_as_their_user_does() {
    on_each(async |store| {
        let (preferences, id, said) = (store.preferences(), UserId::from("u-1"), Preferences::default());
        for conditions in [Conditions::existing(), Conditions::absent()] {
            let nobody = preferences
                .put(&store.tenant, &id, &said, Some(&conditions))
                .await;
            assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
        }
        let user = store
            .users()
            .put(&store.tenant, &id, &UserPut::default(), None)
            .await
            .unwrap();
        let unset = before_first(user.version);
        refused(
            preferences
                .put(&store.tenant, &id, &said, Some(&Conditions::absent()))
                .await,
        );
        refused(
            preferences
                .put(&store.tenant, &id, &said, Some(&Conditions::exactly(&etag(1))))
                .await,
        );
        let never = Conditions::exactly(&etag(unset));
        assert_eq!(
            preferences
                .put(&store.tenant, &id, &said, Some(&never))
                .await
                .unwrap()
                .version,
            unset + 1
        );
        refused(preferences.put(&store.tenant, &id, &said, Some(&never)).await);
        assert_eq!(
            preferences
                .put(&store.tenant, &id, &said, Some(&Conditions::existing()))
                .await
                .unwrap()
                .version,
            unset + 2
        );
    })
    .await;
}

#[tokio::test]
async fn a_user_who_is_created_again_after_a_deletion_has_no_version_of_the_former_one() {
    on_each(async |store| {
        let (users, preferences) = (store.users(), store.preferences());
        let (id, put, said) = (UserId::from("u-1"), UserPut::default(), Preferences::default());
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let made = users.put(&store.tenant, &id, &put, None).await.unwrap();
            assert!(made.created);
            let changed = users.put(&store.tenant, &id, &put, None).await.unwrap();
            assert!(!changed.created);
            let unset = before_first(made.version);
            let set = preferences.put(&store.tenant, &id, &said, None).await.unwrap();
            assert!(set.created);
            let of_user = [made.etag(), changed.etag()].map(|tag| ("user", tag));
            let of_preferences = [etag(unset), set.etag()].map(|tag| ("preferences", tag));
            for tag in of_user.into_iter().chain(of_preferences) {
                assert!(seen.insert(tag.clone()), "{tag:?} of {seen:?}");
            }
            assert!(users.delete(&store.tenant, &id, None).await.unwrap());
        }
        let former: Vec<_> = seen.into_iter().map(|(_, tag)| tag).collect();
        users.put(&store.tenant, &id, &put, None).await.unwrap();
        for tag in former {
            let condition = Conditions::exactly(&tag);
            refused(users.put(&store.tenant, &id, &put, Some(&condition)).await);
            refused(preferences.put(&store.tenant, &id, &said, Some(&condition)).await);
            refused(users.delete(&store.tenant, &id, Some(&condition)).await);
        }
    })
    .await;
}

#[tokio::test]
async fn a_catalog_and_a_draft_keep_the_same_conditions() {
    on_each(async |store| {
        let (catalogs, catalog) = (store.catalog(), Catalog::default());
        refused(
            catalogs
                .put(&store.tenant, &catalog, Some(&Conditions::existing()))
                .await,
        );
        assert!(
            catalogs.get(&store.tenant).await.unwrap().is_none(),
            "nothing is left behind"
        );
        catalogs
            .put(&store.tenant, &catalog, Some(&Conditions::absent()))
            .await
            .unwrap();
        refused(
            catalogs
                .put(&store.tenant, &catalog, Some(&Conditions::absent()))
                .await,
        );
        catalogs
            .put(&store.tenant, &catalog, Some(&Conditions::existing()))
            .await
            .unwrap();

        let templates = store.templates();
        let draft = TemplateDraft {
            name: TemplateName {
                id: "OrderShipped/sms".to_owned(),
                locale: None,
            },
            parts: [("text".to_owned(), "Hi".to_owned())].into(),
        };
        let put = async |conditions: Conditions| {
            templates
                .put_draft(&store.tenant, &draft, Some(&conditions))
                .await
        };
        refused(put(Conditions::existing()).await);
        let made = put(Conditions::absent()).await.unwrap();
        refused(put(Conditions::absent()).await);
        put(Conditions::existing()).await.unwrap();
        refused(put(Conditions::exactly(&made.etag())).await);
        let revision = templates.revision(&store.tenant).await.unwrap();
        let published = templates.publish(&store.tenant, &draft, revision, None).await;
        assert!(published.unwrap().is_some());
        refused(put(Conditions::absent()).await);
        let again = put(Conditions::existing()).await.unwrap();
        let version = again.draft.map(|draft| draft.version);
        assert_eq!(version, Some(1), "it is published, so it exists");
    })
    .await;
}

#[tokio::test]
async fn concurrent_writes_whose_condition_every_version_meets_all_succeed() {
    on_each(async |store| {
        let (users, id) = (store.users(), UserId::from("u-1"));
        let user = users
            .put(&store.tenant, &id, &UserPut::default(), None)
            .await
            .unwrap();
        let (existing, said) = (Conditions::existing(), Preferences::default());
        let preferences = store.preferences();
        let writes = (0..12).map(|_| preferences.put(&store.tenant, &id, &said, Some(&existing)));
        let mut versions: Vec<i64> = futures::future::join_all(writes)
            .await
            .into_iter()
            .map(|written| written.unwrap().version)
            .collect();
        versions.sort_unstable();
        let unset = before_first(user.version);
        assert_eq!(versions, (unset + 1..=unset + 12).collect::<Vec<_>>());
    })
    .await;
}
