//! Catalogs, templates, languages.

use std::collections::BTreeMap;

use carillon_domain::Catalog;
use carillon_runtime::http::Conditions;
use carillon_store::{
    StoreError, etag,
    templates::{TemplateDraft, TemplateName, TemplateRow},
};

use crate::support::{TestStore, on_each};

fn version(version: i64) -> Conditions {
    Conditions::exactly(&etag(version))
}

fn catalog(category: &str) -> Catalog {
    let json = format!(
        r#"{{"types":{{"OrderShipped":{{"category":"{category}","channels":{{"order":["email"]}}}}}},
            "categories":{{"{category}":{{"limits":[{{"channel":"email","max":3,"per":"1h"}}]}}}}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

#[tokio::test]
async fn the_version_of_a_catalog_changes_with_its_content() {
    on_each(async |store| {
        let catalogs = store.catalog();
        assert!(catalogs.get(&store.tenant).await.unwrap().is_none());
        let stale = catalogs
            .put(&store.tenant, &catalog("a"), Some(&version(1)))
            .await;
        assert!(matches!(stale, Err(StoreError::PreconditionFailed(_))));
        assert!(catalogs.get(&store.tenant).await.unwrap().is_none());
        assert_eq!(
            catalogs
                .put(&store.tenant, &catalog("a"), None)
                .await
                .unwrap()
                .version,
            1
        );
        assert_eq!(
            catalogs
                .put(&store.tenant, &catalog("a"), None)
                .await
                .unwrap()
                .version,
            1
        );
        assert_eq!(
            catalogs
                .put(&store.tenant, &catalog("b"), Some(&version(1)))
                .await
                .unwrap()
                .version,
            2
        );
        let read = catalogs.get(&store.tenant).await.unwrap().unwrap();
        assert_eq!((read.value, read.version), (catalog("b"), 2));
        catalogs.put(&"acme".into(), &catalog("c"), None).await.unwrap();
        assert_eq!(
            catalogs.versions().await.unwrap(),
            [("acme".into(), 1), (store.tenant.clone(), 2)]
        );
    })
    .await;
}

fn draft(id: &str, locale: Option<&str>, text: &str) -> TemplateDraft {
    TemplateDraft {
        name: TemplateName {
            id: id.into(),
            locale: locale.map(Into::into),
        },
        parts: BTreeMap::from([("text".to_owned(), text.to_owned())]),
    }
}

/// Publishes a draft that was judged beside the present content.
async fn publish(
    store: &TestStore,
    draft: &TemplateDraft,
    conditions: Option<&Conditions>,
) -> Result<Option<TemplateRow>, StoreError> {
    let revision = store.templates().revision(&store.tenant).await.unwrap();
    store
        .templates()
        .publish(&store.tenant, draft, revision, conditions)
        .await
}

#[tokio::test]
async fn a_draft_becomes_an_immutable_version() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        let one = draft("OrderShipped/sms", None, "one");
        let nothing = publish(store, &one, None).await;
        assert!(matches!(nothing, Err(StoreError::NotFound { .. })));
        assert_eq!(templates.revision(tenant).await.unwrap(), 0);

        let put = templates.put_draft(tenant, &one, None).await.unwrap();
        assert_eq!(put, templates.state(tenant, &one.name).await.unwrap());
        let written = put.draft.unwrap();
        assert_eq!(
            (written.version, written.base, &written.parts),
            (1, None, &one.parts)
        );
        assert!(templates.published(tenant).await.unwrap().is_empty());
        let published = publish(store, &one, None).await.unwrap().unwrap();
        assert_eq!((published.version, &published.parts), (1, &one.parts));
        assert!(
            templates.drafts(tenant).await.unwrap().is_empty(),
            "publishing ends a draft"
        );
        let revision = templates.revision(tenant).await.unwrap();
        // Publishing the same text again changes nothing, and ends its draft as well.
        templates.put_draft(tenant, &one, None).await.unwrap();
        assert_eq!(
            publish(store, &one, None).await.unwrap().as_ref(),
            Some(&published)
        );
        assert_eq!(templates.revision(tenant).await.unwrap(), revision);
        assert!(templates.drafts(tenant).await.unwrap().is_empty());

        let two = draft("OrderShipped/sms", None, "two");
        templates.put_draft(tenant, &two, None).await.unwrap();
        assert_eq!(publish(store, &two, None).await.unwrap().unwrap().version, 2);
        assert!(templates.revision(tenant).await.unwrap() > revision);
        assert_eq!(
            templates.version(tenant, "OrderShipped/sms", 1).await.unwrap(),
            Some(published)
        );
        assert_eq!(templates.published(tenant).await.unwrap()[0].version, 2);
    })
    .await;
}

#[tokio::test]
async fn an_entity_tag_changes_with_the_draft_and_with_the_published_version_and_never_comes_again() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        let (one, two) = (draft("A/sms", None, "one"), draft("A/sms", None, "two"));
        let no_texts = BTreeMap::new();
        let mut seen: Vec<String> = Vec::new();
        let look = async |seen: &mut Vec<String>| {
            let state = templates.state(tenant, &one.name).await.unwrap();
            assert!(!seen.contains(&state.etag()), "{seen:?} {state:?}");
            seen.push(state.etag());
            state
        };
        assert_eq!(look(&mut seen).await.etag(), "");
        templates.put_draft(tenant, &one, None).await.unwrap();
        look(&mut seen).await;
        templates.put_draft(tenant, &one, None).await.unwrap();
        look(&mut seen).await;
        templates
            .apply(tenant, std::slice::from_ref(&two), &no_texts)
            .await
            .unwrap();
        let now = look(&mut seen).await;
        assert!(now.is_outdated());
        let former = Conditions::exactly(&seen[2]);
        for refused in [
            publish(store, &one, Some(&former)).await.map(|_| ()),
            templates.put_draft(tenant, &one, Some(&former)).await.map(|_| ()),
            templates.discard_draft(tenant, &one.name, Some(&former)).await,
        ] {
            assert!(
                matches!(refused, Err(StoreError::PreconditionFailed(_))),
                "{refused:?}"
            );
        }
        let present = Conditions::exactly(&now.etag());
        publish(store, &one, Some(&present)).await.unwrap().unwrap();
        look(&mut seen).await;
        // A new draft begins at version 1 again, beside the same published version.
        templates.put_draft(tenant, &two, None).await.unwrap();
        look(&mut seen).await;
        templates.discard_draft(tenant, &two.name, None).await.unwrap();
        templates
            .put_draft(tenant, &draft("A/sms", None, "three"), None)
            .await
            .unwrap();
        look(&mut seen).await;
        let gone = templates
            .discard_draft(tenant, &draft("A/sms", Some("fr"), "").name, None)
            .await;
        assert!(matches!(gone, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn applying_ends_a_draft_of_the_same_text_and_names_an_outdated_one() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        let of = |text: &str| draft("A/sms", None, text);
        let apply = async |text: &str| {
            templates
                .apply(tenant, &[of(text)], &BTreeMap::new())
                .await
                .unwrap()
        };
        templates.put_draft(tenant, &of("one"), None).await.unwrap();
        assert_eq!(apply("one").await.outdated, []);
        assert_eq!(templates.state(tenant, &of("").name).await.unwrap().draft, None);
        templates.put_draft(tenant, &of("mine"), None).await.unwrap();
        assert_eq!(apply("one").await.outdated, [], "the text in use has not changed");
        let applied = apply("two").await;
        assert_eq!(
            (applied.versions[0].version, applied.outdated),
            (2, vec![of("").name])
        );
        let state = templates.state(tenant, &of("").name).await.unwrap();
        assert!(state.is_outdated(), "{state:?}");
        assert_eq!(state.draft.as_ref().unwrap().parts, of("mine").parts);
        let written = templates
            .put_draft(tenant, &of("mine"), Some(&Conditions::exactly(&state.etag())))
            .await;
        assert!(!written.unwrap().is_outdated());
    })
    .await;
}

#[tokio::test]
async fn a_draft_is_not_published_if_it_or_the_content_beside_it_has_changed_since_it_was_judged() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        let (one, two) = (draft("A/sms", None, "one"), draft("A/sms", None, "two"));
        templates.put_draft(tenant, &one, None).await.unwrap();
        let revision = templates.revision(tenant).await.unwrap();
        templates
            .apply(tenant, &[draft("partials/p", None, "x")], &BTreeMap::new())
            .await
            .unwrap();
        assert_eq!(
            templates.publish(tenant, &one, revision, None).await.unwrap(),
            None
        );
        templates.put_draft(tenant, &two, None).await.unwrap();
        assert_eq!(publish(store, &one, None).await.unwrap(), None);
        assert_eq!(
            publish(store, &two, None).await.unwrap().unwrap().parts,
            two.parts
        );
    })
    .await;
}

#[tokio::test]
async fn a_name_can_be_pointed_back_to_one_of_its_own_versions() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        for text in ["one", "two"] {
            templates
                .apply(tenant, &[draft("A/sms", None, text)], &BTreeMap::new())
                .await
                .unwrap();
        }
        // Versions are numbered across the locales of a template.
        let german = templates
            .apply(tenant, &[draft("A/sms", Some("de"), "drei")], &BTreeMap::new())
            .await
            .unwrap()
            .versions;
        assert_eq!(german[0].version, 3);
        let name = draft("A/sms", None, "").name;
        assert_eq!(
            templates.point(tenant, &name, 1).await.unwrap().parts["text"],
            "one"
        );
        let current: Vec<_> = templates.published(tenant).await.unwrap();
        let current: Vec<_> = current
            .iter()
            .map(|row| (row.locale.as_deref(), row.version))
            .collect();
        assert_eq!(current, [(None, 1), (Some("de"), 3)]);
        for version in [3, 9] {
            let other = templates.point(tenant, &name, version).await;
            assert!(matches!(other, Err(StoreError::NotFound { .. })), "{version}");
        }
        let versions = templates.versions(tenant, "A/sms").await.unwrap();
        assert_eq!(
            versions.iter().map(|row| row.version).collect::<Vec<_>>(),
            [3, 2, 1]
        );
    })
    .await;
}

#[tokio::test]
async fn applying_a_folder_again_makes_no_new_versions() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        let folder = [draft("A/email", None, "a"), draft("A/sms", None, "b")];
        let languages = BTreeMap::from([
            ("en".to_owned(), "hi = Hi".to_owned()),
            ("fr".to_owned(), "hi = Salut".to_owned()),
        ]);
        assert_eq!(
            templates
                .apply(tenant, &folder, &languages)
                .await
                .unwrap()
                .versions
                .len(),
            2
        );
        let revision = templates.revision(tenant).await.unwrap();
        assert!(
            templates
                .apply(tenant, &folder, &languages)
                .await
                .unwrap()
                .versions
                .is_empty()
        );
        assert_eq!(templates.revision(tenant).await.unwrap(), revision);
        assert_eq!(templates.locales(tenant).await.unwrap(), languages);

        let german = BTreeMap::from([("de".to_owned(), "hi = Hallo".to_owned())]);
        templates.put_locales(tenant, &german).await.unwrap();
        assert_eq!(templates.locales(tenant).await.unwrap().len(), 3);
        assert_eq!(templates.revision(tenant).await.unwrap(), revision + 1);
        assert!(templates.published(&"other".into()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn concurrent_publications_get_different_version_numbers() {
    on_each(async |store| {
        let publish = (0..8).map(|n| {
            let (templates, tenant) = (store.templates().clone(), store.tenant.clone());
            async move {
                let text = format!("text {n}");
                templates
                    .apply(&tenant, &[draft("A/sms", None, &text)], &BTreeMap::new())
                    .await
                    .unwrap()
            }
        });
        let rows = futures::future::join_all(publish).await;
        let mut versions: Vec<u32> = rows
            .into_iter()
            .flat_map(|done| done.versions)
            .map(|row| row.version)
            .collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    })
    .await;
}
