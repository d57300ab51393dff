//! Catalogs, templates, languages.

use std::collections::BTreeMap;

use carillon_domain::Catalog;
use carillon_runtime::http::Conditions;
use carillon_store::{
    StoreError, etag,
    templates::{TemplateDraft, TemplateName},
};

use crate::support::on_each;

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
async fn a_catalog_has_a_version_that_changes_with_what_it_says() {
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

#[tokio::test]
async fn a_draft_becomes_a_version_that_nothing_changes_any_more() {
    on_each(async |store| {
        let (templates, tenant) = (store.templates(), &store.tenant);
        let one = draft("OrderShipped/sms", None, "one");
        let nothing = templates.publish(tenant, &one.name).await;
        assert!(matches!(nothing, Err(StoreError::NotFound { .. })));
        assert_eq!(templates.revision(tenant).await.unwrap(), 0);

        assert_eq!(templates.put_draft(tenant, &one, None).await.unwrap().version, 1);
        assert_eq!(
            templates.draft(tenant, &one.name).await.unwrap().unwrap().value,
            one
        );
        assert!(templates.published(tenant).await.unwrap().is_empty());
        let published = templates.publish(tenant, &one.name).await.unwrap();
        assert_eq!((published.version, &published.parts), (1, &one.parts));
        let revision = templates.revision(tenant).await.unwrap();
        // Publishing an unchanged draft again changes nothing.
        assert_eq!(templates.publish(tenant, &one.name).await.unwrap(), published);
        assert_eq!(templates.revision(tenant).await.unwrap(), revision);

        let two = draft("OrderShipped/sms", None, "two");
        let stale = templates.put_draft(tenant, &two, Some(&version(4))).await;
        assert!(matches!(stale, Err(StoreError::PreconditionFailed(_))));
        templates
            .put_draft(tenant, &two, Some(&version(1)))
            .await
            .unwrap();
        assert_eq!(templates.publish(tenant, &two.name).await.unwrap().version, 2);
        assert!(templates.revision(tenant).await.unwrap() > revision);
        assert_eq!(
            templates.version(tenant, "OrderShipped/sms", 1).await.unwrap(),
            Some(published)
        );
        assert!(templates.delete_draft(tenant, &two.name).await.unwrap());
        assert!(templates.drafts(tenant).await.unwrap().is_empty());
        assert_eq!(templates.published(tenant).await.unwrap()[0].version, 2);
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
            .unwrap();
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
            templates.apply(tenant, &folder, &languages).await.unwrap().len(),
            2
        );
        let revision = templates.revision(tenant).await.unwrap();
        assert!(
            templates
                .apply(tenant, &folder, &languages)
                .await
                .unwrap()
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
async fn publishers_at_once_do_not_number_two_versions_alike() {
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
        let mut versions: Vec<u32> = rows.into_iter().flatten().map(|row| row.version).collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=8).collect::<Vec<_>>());
    })
    .await;
}
