//! Folders: the refusals with their places, and the effects of applying.

use std::{fs, path::Path};

use crate::support::{House, copy, shop};
use carillon_domain::{Event, TenantId, Timestamp, compiled::CompiledCatalog, event::Defaults};
use carillon_templates::catalog_folder::{Difference, apply, diff, load};

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn applying_the_shop_twice_changes_nothing_the_second_time() {
    let house = House::empty().await;
    let tenant = TenantId::default();
    let folder = load(&shop()).unwrap();
    let first = apply(&house.store, &tenant, &folder).await.unwrap();
    assert_eq!(first.difference.types.added.len(), folder.catalog.types.len());
    assert!(first.published.len() > 12 && first.published.iter().all(|version| version.version == 1));
    let revision = house.store.templates().revision(&tenant).await.unwrap();
    assert_eq!(
        diff(&house.store, &tenant, &folder).await.unwrap(),
        Difference::default()
    );
    let second = apply(&house.store, &tenant, &folder).await.unwrap();
    assert_eq!(second.published, []);
    assert_eq!(second.catalog_version, first.catalog_version);
    assert!(second.difference.is_empty());
    assert_eq!(house.store.templates().revision(&tenant).await.unwrap(), revision);
    let stored = house.store.catalog().get(&tenant).await.unwrap().unwrap();
    assert_eq!(stored.value, folder.catalog);
}

#[tokio::test]
async fn a_changed_source_or_setting_is_a_difference() {
    let house = House::with_shop().await;
    let tenant = TenantId::default();
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    let file = place.path().join("catalog.yaml");
    let shop = fs::read_to_string(&file).unwrap();
    let with = |rules: &str| {
        fs::write(
            &file,
            format!("{shop}\nsources:\n  shop.orders:\n    rules: [{rules}]\n"),
        )
        .unwrap();
    };
    with("{type: OrderShipped}");
    let applied = apply(&house.store, &tenant, &load(place.path()).unwrap())
        .await
        .unwrap();
    assert_eq!(applied.difference.settings.added, ["sources/shop.orders"]);
    with("{type: OrderShipped, when: {op: [create]}}");
    let applied = apply(&house.store, &tenant, &load(place.path()).unwrap())
        .await
        .unwrap();
    assert_eq!(applied.difference.settings.changed, ["sources/shop.orders"]);
    fs::write(&file, format!("{shop}\ntimezone: Europe/Paris\n")).unwrap();
    let applied = apply(&house.store, &tenant, &load(place.path()).unwrap())
        .await
        .unwrap();
    assert_eq!(applied.difference.settings.only_in_store, ["sources/shop.orders"]);
    assert_eq!(applied.difference.settings.changed, ["timezone"]);
    assert!(!applied.difference.is_empty());
}

#[tokio::test]
async fn only_changed_templates_get_a_new_version() {
    let house = House::with_shop().await;
    let tenant = TenantId::default();
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    edit(
        &place.path().join("templates/OrderShipped/sms.text.hbs"),
        "{{#if",
        "!{{#if",
    );
    edit(&place.path().join("locales/fr.ftl"), "Bonjour", "Salut");
    edit(
        &place.path().join("catalog.yaml"),
        "max: 3, per: 7d",
        "max: 2, per: 7d",
    );
    fs::write(
        place.path().join("templates/OrderShipped/sms.fr.text.hbs"),
        "à part",
    )
    .unwrap();
    let folder = load(place.path()).unwrap();
    let applied = apply(&house.store, &tenant, &folder).await.unwrap();
    assert_eq!(applied.difference.templates.changed, ["OrderShipped/sms"]);
    assert_eq!(applied.difference.templates.added, ["OrderShipped/sms (fr)"]);
    assert_eq!(applied.difference.locales.changed, ["fr"]);
    assert_eq!(applied.difference.categories.changed, ["marketing"]);
    assert!(applied.difference.types.changed.is_empty());
    let mut published: Vec<_> = applied
        .published
        .iter()
        .map(|it| (it.id.as_str(), it.locale.as_deref()))
        .collect();
    published.sort_unstable();
    assert_eq!(
        published,
        [("OrderShipped/sms", None), ("OrderShipped/sms", Some("fr"))]
    );
    assert_eq!(applied.catalog_version, 2);
}

/// The refusals of the shop after an edit: file name, pointer, whether a line is known, code.
fn refused(change: impl FnOnce(&Path)) -> Vec<(String, String, bool, String)> {
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    change(place.path());
    let issues = load(place.path()).unwrap_err().issues;
    issues
        .into_iter()
        .map(|issue| {
            let file = issue
                .file
                .strip_prefix(place.path())
                .unwrap()
                .display()
                .to_string();
            (file, issue.pointer, issue.line.is_some(), issue.code)
        })
        .collect()
}

fn one(file: &str, pointer: &str, line: bool, code: &str) -> Vec<(String, String, bool, String)> {
    vec![(file.to_owned(), pointer.to_owned(), line, code.to_owned())]
}

#[test]
fn a_mistake_in_the_catalog_is_named_with_its_pointer() {
    let catalog = |from: &'static str, to: &'static str| {
        refused(move |place| edit(&place.join("catalog.yaml"), from, to))
    };
    let file = "catalog.yaml";
    assert_eq!(
        catalog(
            "mode: fanout, order: [email, sms, push]",
            "mode: all, order: [email, sms, push]"
        ),
        one(file, "/types/OrderShipped/channels/mode", true, "type")
    );
    let waits = |wait: &str| {
        let to = format!("mode: fallback, order: [sms, email], wait: {{ {wait} }}");
        refused(move |place| {
            edit(
                &place.join("catalog.yaml"),
                "mode: fallback, order: [sms, email]",
                &to,
            );
        })
    };
    for (wait, channel, line, code) in [
        ("fax: 30m", "fax", true, "type"),
        ("email: soon", "email", true, "type"),
        ("email: 0s", "email", false, "range"),
        ("email: 8d", "email", false, "range"),
        ("push: 30m", "push", false, "unknown"),
        ("sms: 30m", "sms", false, "first"),
    ] {
        let pointer = format!("/types/OneTimePassword/channels/wait/{channel}");
        assert_eq!(waits(wait), one(file, &pointer, line, code), "{wait}");
    }
    assert_eq!(
        catalog("max: 1, per: 1d", "max: 1, per: soon"),
        one(file, "/categories/marketing/limits/0/per", true, "type")
    );
    assert_eq!(
        catalog(
            "  OrderPlaced:\n    category: transactional",
            "  OrderPlaced:\n    category: none"
        ),
        one(file, "/types/OrderPlaced/category", false, "unknown")
    );
    assert_eq!(
        catalog(
            "    critical: true\n    priority: high",
            "    critical: true\n    urgent: yes"
        ),
        one(file, "/types/PasswordReset/urgent", true, "unknown-field")
    );
}

#[test]
fn a_catalog_that_is_no_regular_file_is_refused_and_not_waited_for() {
    let replaced = |make: fn(&Path)| {
        refused(move |place| {
            let file = place.join("catalog.yaml");
            fs::remove_file(&file).unwrap();
            make(&file);
        })
    };
    let unreadable = one("catalog.yaml", "", false, "unreadable");
    assert_eq!(
        replaced(|file| std::os::unix::fs::symlink("/dev/zero", file).unwrap()),
        unreadable
    );
    assert_eq!(replaced(|file| fs::create_dir(file).unwrap()), unreadable);
    assert_eq!(replaced(|_| {}), unreadable);
    let pipe = replaced(|file| {
        let made = std::process::Command::new("mkfifo").arg(file).status().unwrap();
        assert!(made.success());
    });
    assert_eq!(pipe, unreadable);
    let large = replaced(|file| fs::File::create(file).unwrap().set_len((16 << 20) + 1).unwrap());
    assert_eq!(large, unreadable);
}

#[test]
fn a_mistake_in_a_file_is_named_with_file_and_line() {
    assert_eq!(
        refused(|place| edit(&place.join("catalog.yaml"), "types:\n", "types: {}\ntypes:\n")),
        one("catalog.yaml", "", true, "syntax")
    );
    assert_eq!(
        refused(|place| fs::remove_file(place.join("catalog.yaml")).unwrap()),
        one("catalog.yaml", "", false, "unreadable")
    );
    assert_eq!(
        refused(|place| fs::write(place.join("templates/OrderShipped/fax.text.hbs"), "x").unwrap()),
        one("templates/OrderShipped/fax.text.hbs", "", false, "name")
    );
    assert_eq!(
        refused(|place| fs::remove_file(place.join("templates/OrderShipped/sms.text.hbs")).unwrap()),
        one(
            "catalog.yaml",
            "/types/OrderShipped/channels/order/1",
            false,
            "missing-template"
        )
    );
    assert_eq!(
        refused(|place| edit(
            &place.join("templates/OrderShipped/push.body.hbs"),
            "push-body",
            "none"
        )),
        one("templates/OrderShipped/push.body.hbs", "", true, "unknown-key")
    );
    assert_eq!(
        refused(|place| edit(
            &place.join("locales/de.ftl"),
            ".unsubscribe = Abmelden",
            ".unsubscribe = { $x"
        )),
        one("locales/de.ftl", "", true, "syntax")
    );
}

#[test]
fn a_text_that_is_not_translated_is_a_warning() {
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    edit(
        &place.path().join("locales/de.ftl"),
        "    .push-title = Wieder verfügbar\n",
        "",
    );
    let folder = load(place.path()).unwrap();
    assert_eq!(folder.warnings.len(), 1);
    let warning = folder.warnings[0].to_string();
    assert!(
        warning.contains("BackInStock/push.title.hbs:1") && warning.contains("de"),
        "{warning}"
    );
}

#[test]
fn the_catalog_accepts_every_sample_event() {
    let catalog = CompiledCatalog::new(load(&shop()).unwrap().catalog);
    for name in catalog.catalog().types.keys() {
        let json = fs::read(shop().join("events").join(format!("{name}.json"))).unwrap();
        let event = Event::from_plain(&json, Defaults::at(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(&*event.event_type, name);
        assert_eq!(catalog.validate_data(name, &event.data), [], "{name}");
        for recipient in &event.recipients {
            let user = shop()
                .join("users")
                .join(format!("{}.json", recipient.user_id.as_ref().unwrap()));
            assert!(user.exists(), "{}", user.display());
        }
    }
}

#[test]
fn data_without_a_required_field_breaks_the_schema() {
    let catalog = CompiledCatalog::new(load(&shop()).unwrap().catalog);
    let check = |json: &str| {
        let data = serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
        catalog.validate_data("OrderShipped", &data).len()
    };
    assert_eq!(check(r#"{"order_id":"1001","carrier":"DHL"}"#), 0);
    assert_eq!(check(r#"{"order_id":"1001"}"#), 1);
    assert_eq!(
        check(r#"{"order_id":"1001","carrier":"DHL","tracking_url":"javascript:alert(1)"}"#),
        1
    );
}

#[test]
fn two_files_of_one_locale_are_refused_and_both_are_named() {
    for (kept, other) in [
        ("locales/fr-CA.ftl", "locales/fr_CA.ftl"),
        ("locales/fr.ftl", "locales/FR.ftl"),
        (
            "templates/OrderShipped/sms.fr-CA.text.hbs",
            "templates/OrderShipped/sms.fr_CA.text.hbs",
        ),
    ] {
        let place = tempfile::tempdir().unwrap();
        copy(&shop(), place.path());
        fs::write(place.path().join(kept), "k = one\n").unwrap();
        fs::write(place.path().join(other), "k = other\n").unwrap();
        let issues = load(place.path()).unwrap_err().issues;
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert_eq!(issues[0].code, "duplicate-locale");
        let text = issues[0].to_string();
        for file in [kept, other] {
            let (_, file) = file.rsplit_once('/').unwrap();
            assert!(text.contains(file), "{text}");
        }
    }
}

#[tokio::test]
async fn a_file_name_may_spell_a_locale_in_another_way_and_keeps_its_place_in_the_store_and_in_errors() {
    let house = House::with_shop().await;
    let tenant = TenantId::default();
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    fs::rename(
        place.path().join("locales/fr.ftl"),
        place.path().join("locales/FR.ftl"),
    )
    .unwrap();
    let folder = load(place.path()).unwrap();
    assert_eq!(
        diff(&house.store, &tenant, &folder).await.unwrap(),
        Difference::default()
    );
    fs::write(place.path().join("locales/pt_BR.ftl"), "k = { $x\n").unwrap();
    let issues = load(place.path()).unwrap_err().issues;
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert!(issues[0].file.ends_with("locales/pt_BR.ftl"), "{}", issues[0]);
}

#[test]
fn a_template_that_writes_an_object_of_its_schema_is_refused_with_file_and_line() {
    let issues = refused(|place| {
        edit(
            &place.join("catalog.yaml"),
            "        carrier:",
            "        customer: { type: object, properties: { name: { type: string } } }\n        carrier:",
        );
        fs::write(
            place.join("templates/OrderShipped/sms.text.hbs"),
            "Hello {{customer.name}},\n{{customer}}",
        )
        .unwrap();
    });
    assert_eq!(
        issues,
        one("templates/OrderShipped/sms.text.hbs", "", true, "object-as-text")
    );
}

#[test]
fn an_error_of_the_catalog_tells_its_place_once_and_in_plain_words() {
    let said = |change: fn(&Path)| {
        let place = tempfile::tempdir().unwrap();
        copy(&shop(), place.path());
        change(&place.path().join("catalog.yaml"));
        let said = load(place.path()).unwrap_err().to_string();
        let folder = format!("{}/", place.path().display());
        assert_eq!(said.matches(&folder).count(), 1, "{said}");
        said.replace(&folder, "")
    };
    for (change, expected) in [
        (
            (|file| {
                edit(
                    file,
                    "mode: fanout, order: [email, sms, push]",
                    "mode: fan, order: [email, sms, push]",
                );
            }) as fn(&Path),
            "catalog.yaml:LINE /types/OrderShipped/channels/mode: expected ",
        ),
        (
            |file| edit(file, "mode: fanout, order: [email, sms, push]", "mode: fanout"),
            "catalog.yaml:LINE /types/OrderShipped/channels: expected the field order",
        ),
        (
            |file| {
                edit(
                    file,
                    "mode: fanout, order: [email, sms, push]",
                    "mode: fanout, ordre: [email]",
                );
            },
            "catalog.yaml:LINE /types/OrderShipped/channels/ordre: there is no field ordre; expected only ",
        ),
        (
            |file| edit(file, "recipients_from: [/data/customer_id]", "recipients_from: 7"),
            "catalog.yaml:LINE /types/",
        ),
        (
            |file| edit(file, "types:\n", "types: {}\ntypes:\n"),
            "catalog.yaml:LINE: expected the key \"types\" once",
        ),
        (
            |file| edit(file, "types:\n", "types: [\n"),
            "catalog.yaml:LINE: expected YAML: the text cannot be read at column ",
        ),
    ] {
        let said = said(change);
        let (before, after) = expected.split_once("LINE").unwrap();
        let rest = said.strip_prefix(before).unwrap_or_else(|| panic!("{said}"));
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        assert!(rest.starts_with(after), "{said}");
        for word in [" at line ", "`", "types.", "invalid type", "variant"] {
            assert!(!said.contains(word), "{said}");
        }
    }
}

#[test]
fn a_broken_file_is_named_and_not_its_consequences() {
    let change = |file: &'static str, from: &'static str, to: &'static str| {
        refused(move |place| edit(&place.join(file), from, to))
    };
    let english =
        |text: &'static str| refused(move |place| fs::write(place.join("locales/en.ftl"), text).unwrap());
    let of_english = one("locales/en.ftl", "", true, "syntax");
    assert_eq!(
        english("{\"order-shipped\": {\"subject\": \"Shipped\"}}\n"),
        of_english
    );
    assert_eq!(english("order-shipped\n    .subject = Shipped\n"), of_english);
    let shipped = "order-shipped =";
    assert_eq!(change("locales/en.ftl", shipped, "order-shipped"), of_english);
    let partial = "partials/layout.html.hbs";
    assert_eq!(
        refused(|place| fs::write(place.join(partial), "{{#if x}}").unwrap()),
        one(partial, "", true, "syntax")
    );
    let found = refused(|place| {
        let catalog = place.join("catalog.yaml");
        let text = fs::read_to_string(&catalog).unwrap();
        let at = text.find("    schema:").unwrap();
        let broken = format!(
            "{}    schema: {{additionalProperties: false, type: [object, 7]}}\n    old:{}",
            &text[..at],
            &text[at + 11..]
        );
        fs::write(
            &catalog,
            broken.replacen("    old:", "    description: x\n    was:", 1),
        )
        .unwrap();
    });
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_single_line_that_breaks_a_file_of_texts_gives_issues_of_that_file_only() {
    let file = shop().join("locales/en.ftl");
    let lines = fs::read_to_string(file).unwrap().lines().count();
    for broken in (0..lines).step_by(9) {
        let found = refused(|place| {
            let file = place.join("locales/en.ftl");
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().enumerate();
            let lines: Vec<&str> = lines
                .map(|(at, line)| if at == broken { "%%%" } else { line })
                .collect();
            fs::write(&file, lines.join("\n")).unwrap();
        });
        assert_eq!(
            found,
            one("locales/en.ftl", "", true, "syntax"),
            "line {}",
            broken + 1
        );
    }
}

#[test]
fn a_schema_that_no_event_fits_is_refused_with_its_pointer() {
    let file = "catalog.yaml";
    let found = refused(|place| {
        edit(
            &place.join(file),
            "required: [order_id, carrier]",
            "required: [order_id, carrier]\n      minProperties: 9\n      maxProperties: 3",
        );
    });
    assert_eq!(
        found,
        one(
            file,
            "/types/OrderShipped/schema/maxProperties",
            false,
            "impossible"
        )
    );
}

#[test]
fn a_doubtful_schema_is_applied_with_warnings_that_have_its_pointers() {
    let place = tempfile::tempdir().unwrap();
    copy(&shop(), place.path());
    edit(
        &place.path().join("catalog.yaml"),
        "required: [order_id, carrier]",
        "required: [order_id, carrier]\n      requird: [x]\n      patternProperties: {^never: {type: integer, minimum: 5, maximum: 3}}",
    );
    let folder = load(place.path()).unwrap();
    let found: Vec<_> = folder
        .warnings
        .iter()
        .map(|it| (it.pointer.as_str(), it.code.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("/types/OrderShipped/schema/requird", "unknown-keyword"),
            (
                "/types/OrderShipped/schema/patternProperties/^never/maximum",
                "impossible"
            )
        ]
    );
}
