//! Buttons of the pages: acknowledge a delivery, lift a suppression, revoke a key. Each needs its role and the session's own
//! form, and has an entry in the audit log.

use carillon_domain::{Channel, DeliveryStatus as S};
use carillon_store::{
    Page, api_keys::Role, audit_log::AuditAction, suppressions::SuppressionPut, users::UserPut,
};

use crate::{
    dashboard::{csrf, form, page, sign_in},
    seed::delivery,
    support::{Answer, Ask, Setting, on_gateway},
};

/// The actions in the audit log, newest first, each with its route.
async fn audited(setting: &Setting) -> Vec<(AuditAction, String)> {
    let log = setting.env.store.audit_log();
    let entries = log.list(&setting.tenant, Page::default()).await.unwrap().items;
    entries
        .into_iter()
        .map(|entry| (entry.action, entry.route))
        .collect()
}

/// A signed-in person.
struct Person<'a> {
    setting: &'a Setting,
    session: String,
}

impl<'a> Person<'a> {
    async fn with(setting: &'a Setting, key: &str) -> Self {
        let session = sign_in(setting, key).await;
        Self { setting, session }
    }

    async fn see(&self, path: &str) -> Answer {
        self.setting.ask(page(path, &self.session)).await
    }

    /// Presses a button as the page's form does.
    async fn press(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = csrf(&self.see("/").await);
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(fields);
        self.setting.ask(form(path, &self.session, &all)).await
    }

    async fn press_forged(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf", "made-up")];
        all.extend_from_slice(fields);
        self.setting.ask(form(path, &self.session, &all)).await
    }
}

#[tokio::test]
async fn a_delivery_is_acknowledged_on_its_page() {
    on_gateway(async |setting| {
        let id = delivery(setting, 1, &[(0, S::Queued), (1, S::Sending), (1, S::Sent)]).await;
        let path = format!("/deliveries/{id}");
        let button = format!("action=\"{path}/acknowledge\"");
        let press = format!("{path}/acknowledge");
        let viewer = Person::with(setting, &setting.viewer).await;
        assert!(!viewer.see(&path).await.text().contains(&button));
        assert_eq!(viewer.press(&press, &[]).await.status, 403);
        let operator = Person::with(setting, &setting.operator).await;
        assert!(operator.see(&path).await.text().contains(&button));
        assert_eq!(operator.press_forged(&press, &[]).await.status, 403);
        assert_eq!(audited(setting).await, []);
        for (result, says) in [
            ("acknowledged", "the recipient has seen it"),
            ("already_acknowledged", "acknowledged before"),
        ] {
            let pressed = operator.press(&press, &[]).await;
            let location = format!("{path}?acknowledge={result}");
            assert_eq!(pressed.header("location"), Some(location.as_str()), "{pressed:?}");
            assert!(operator.see(&location).await.text().contains(says));
        }
        assert_eq!(audited(setting).await, [(AuditAction::Acknowledge, press)]);

        let unsent = delivery(setting, 2, &[(0, S::Queued)]).await;
        let path = format!("/deliveries/{unsent}");
        assert!(!operator.see(&path).await.text().contains("/acknowledge\""));
        let pressed = operator.press(&format!("{path}/acknowledge"), &[]).await;
        let location = format!("{path}?acknowledge=not_sent");
        assert_eq!(pressed.header("location"), Some(location.as_str()), "{pressed:?}");
        assert!(
            operator
                .see(&location)
                .await
                .text()
                .contains("Nothing was acknowledged")
        );
    })
    .await;
}

#[tokio::test]
async fn a_suppression_is_lifted_on_the_page_of_a_user() {
    on_gateway(async |setting| {
        let suppressions = setting.env.store.suppressions();
        let keys = setting.env.store.api_keys();
        let who = keys.verify(&setting.operator).await.unwrap().unwrap();
        let address = "ada@example.com";
        let put = SuppressionPut::default();
        suppressions
            .put(&who, Channel::Email, address, &put, None)
            .await
            .unwrap();
        let is_listed = async || {
            suppressions
                .get(&setting.tenant, Channel::Email, address)
                .await
                .unwrap()
                .is_some()
        };
        let lift = "/users/u-42/lift";
        let masked = carillon_domain::contact::mask(Channel::Email, address);
        let fields = [("place", "0"), ("masked", masked.as_str())];

        let viewer = Person::with(setting, &setting.viewer).await;
        assert!(!viewer.see("/users/u-42").await.text().contains(lift));
        assert_eq!(viewer.press(lift, &fields).await.status, 403);
        let operator = Person::with(setting, &setting.operator).await;
        let shown = operator.see("/users/u-42").await.text();
        assert!(shown.contains(lift) && !shown.contains(address), "{shown}");
        assert_eq!(operator.press_forged(lift, &fields).await.status, 403);
        let gone = operator.press("/users/nobody/lift", &fields).await;
        assert_eq!(gone.status, 404);

        // Another address, and another place, are not the one that the page showed.
        for fields in [
            [("place", "0"), ("masked", "b***@example.com")],
            [("place", "7"), ("masked", masked.as_str())],
        ] {
            let stale = operator.press(lift, &fields).await;
            assert_eq!(stale.header("location"), Some("/users/u%2D42?result=stale"));
        }
        assert!(
            operator
                .see("/users/u-42?result=stale")
                .await
                .text()
                .contains("Nothing was lifted")
        );
        assert!(is_listed().await);
        let lifted = operator.press(lift, &fields).await;
        assert_eq!(lifted.header("location"), Some("/users/u%2D42?result=lifted"));
        assert!(!is_listed().await);
        let shown = operator.see("/users/u-42?result=lifted").await.text();
        assert!(
            shown.contains("takes messages again") && !shown.contains(lift),
            "{shown}"
        );
        let again = operator.press(lift, &fields).await;
        assert_eq!(again.header("location"), Some("/users/u%2D42?result=not_listed"));
        let (action, route) = &audited(setting).await[0];
        assert_eq!(*action, AuditAction::Lift);
        assert!(route.ends_with(&masked), "{route}");
    })
    .await;
}

#[tokio::test]
async fn the_form_of_a_lift_names_one_of_several_devices() {
    on_gateway(async |setting| {
        let device = |token: &str| carillon_store::users::Device {
            platform: carillon_domain::Platform::Android,
            token: token.to_owned(),
        };
        let put = UserPut {
            devices: Some(vec![
                device("token-of-the-first-device"),
                device("token-of-the-second-device"),
            ]),
            ..UserPut::default()
        };
        let store = &setting.env.store;
        store
            .users()
            .put(&setting.tenant, &"u-7".into(), &put, None)
            .await
            .unwrap();
        let who = store.api_keys().verify(&setting.operator).await.unwrap().unwrap();
        let token = "token-of-the-second-device";
        let put = SuppressionPut::default();
        store
            .suppressions()
            .put(&who, Channel::Push, token, &put, None)
            .await
            .unwrap();
        let operator = Person::with(setting, &setting.operator).await;
        let masked = carillon_domain::contact::mask(Channel::Push, token);
        // One device has the button; its place depends on the order of the devices.
        let shown = operator.see("/users/u-7").await.text();
        let (_, place) = shown.split_once("name=\"place\" value=\"").unwrap();
        let (place, rest) = place.split_once('"').unwrap();
        assert!(!rest.contains("name=\"place\""), "{shown}");
        let lifted = operator
            .press("/users/u-7/lift", &[("place", place), ("masked", &masked)])
            .await;
        assert_eq!(lifted.header("location"), Some("/users/u%2D7?result=lifted"));
        let entry = store
            .suppressions()
            .get(&setting.tenant, Channel::Push, token)
            .await
            .unwrap();
        assert!(entry.is_none());
    })
    .await;
}

#[tokio::test]
async fn admins_revoke_keys_on_their_page() {
    on_gateway(async |setting| {
        let keys = setting.env.store.api_keys();
        let leaked = keys
            .create(&setting.tenant, "leaked <key>", Role::Operator)
            .await
            .unwrap();
        let foreign = keys.verify(&setting.foreign).await.unwrap().unwrap();
        let revoke = |id: uuid::Uuid| format!("/keys/{id}/revoke");
        let path = revoke(leaked.id);
        for key in [&setting.viewer, &setting.operator] {
            let person = Person::with(setting, key).await;
            assert_eq!(person.see("/keys").await.status, 403);
            assert!(!person.see("/").await.text().contains("href=\"/keys\""));
            assert_eq!(person.press(&path, &[]).await.status, 403);
        }
        let admin = Person::with(setting, &setting.admin).await;
        let shown = admin.see("/keys").await.text();
        assert!(
            shown.contains("leaked &#60;key&#62;") && shown.contains("this session"),
            "{shown}"
        );
        assert!(!shown.contains(&leaked.secret));
        assert_eq!(admin.press_forged(&path, &[]).await.status, 403);
        assert_eq!(
            admin.press(&revoke(foreign.key_id), &[]).await.status,
            404,
            "another tenant's key"
        );
        assert!(keys.verify(&leaked.secret).await.unwrap().is_some());

        let revoked = admin.press(&path, &[]).await;
        let location = format!("/keys?revoked={}", leaked.id);
        assert_eq!(revoked.header("location"), Some(location.as_str()));
        assert!(admin.see(&location).await.text().contains("is revoked"));
        assert!(keys.verify(&leaked.secret).await.unwrap().is_none());
        assert_eq!(admin.press(&path, &[]).await.status, 404, "it is revoked already");
        assert_eq!(audited(setting).await, [(AuditAction::Revoke, path)]);

        // The route of the API notes it, too.
        let other = keys
            .create(&setting.tenant, "another", Role::Viewer)
            .await
            .unwrap();
        let route = format!("/v1/keys/{}", other.id);
        assert_eq!(setting.ask(Ask::delete(&route)).await.status, 204);
        assert_eq!(audited(setting).await[0], (AuditAction::Revoke, route));
    })
    .await;
}
