//! The shop's templates, as its customers receive them.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{fs, path::PathBuf, sync::Arc};

use carillon_domain::{Channel, TenantId};
use carillon_render::{
    Content, Engine, RenderContext, RenderError, RenderRequest,
    limits::{Encoding, segments},
    load_folder,
};
use serde_json::{Value, json, value::RawValue};

fn shop() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop")
}

fn engine() -> Engine {
    Engine::compile(&load_folder(&shop()).unwrap())
}

fn request(event: &Value, channel: Channel, locale: &str) -> RenderRequest {
    RenderRequest {
        tenant: TenantId::default(),
        event_type: event["type"].as_str().unwrap().into(),
        channel,
        locale: Some(locale.into()),
        timezone: Some("Europe/Berlin".into()),
        context: RenderContext {
            event_id: event["id"].as_str().unwrap().into(),
            source: event["source"].as_str().unwrap().into(),
            time: event["time"].as_str().unwrap().parse().unwrap(),
            data: Arc::from(RawValue::from_string(event["data"].to_string()).unwrap()),
            delivery_id: None,
            user_id: None,
            unsubscribe_url: None,
        },
    }
}

fn sample(event_type: &str) -> Value {
    let file = shop().join("events").join(format!("{event_type}.json"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn shipped(locale: &str, channel: Channel) -> Content {
    let rendered = engine()
        .render(&request(&sample("OrderShipped"), channel, locale))
        .unwrap();
    assert_eq!(&*rendered.template.id, format!("OrderShipped/{channel}"));
    rendered.content
}

fn email(locale: &str) -> (String, String, String) {
    match shipped(locale, Channel::Email) {
        Content::Email {
            subject,
            text,
            html: Some(html),
        } => (subject, text, html),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shop_can_be_published_without_a_warning() {
    let validation = Engine::validate(&load_folder(&shop()).unwrap());
    let shown = |issues: &[carillon_render::TemplateIssue]| {
        issues.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(shown(&validation.errors), [""; 0]);
    assert_eq!(shown(&validation.warnings), [""; 0]);
}

#[test]
fn an_order_message_is_rendered_in_english() {
    let (subject, text, html) = email("en-GB");
    assert_eq!(subject, "Your order 1001 is on its way");
    assert!(text.contains("handed your order 1001 over to DHL"), "{text}");
    assert!(
        text.contains("Track your parcel: https://track.example/p/JD0146?lang=auto&src=mail"),
        "{text}"
    );
    assert!(text.contains("Expected on: Friday, 27 November 2026"), "{text}");
    assert!(html.contains(r#"<html lang="en">"#));
    assert!(html.contains(r#"href="https://track.example/p/JD0146?lang=auto&amp;src=mail""#));
    let sms = Content::Sms {
        text: "Lumen & Oak: your order 1001 is on its way with DHL. Track it: \
               https://track.example/p/JD0146?lang=auto&src=mail"
            .to_owned(),
    };
    assert_eq!(shipped("en", Channel::Sms), sms);
}

#[test]
fn an_order_message_is_rendered_in_french_for_a_canadian() {
    let (subject, text, html) = email("fr-CA");
    assert_eq!(subject, "Votre commande 1001 est en route");
    assert!(text.contains("Bonjour Ada,"), "{text}");
    assert!(text.contains("a été expédiée et confiée à DHL"), "{text}");
    assert!(
        text.contains("Livraison prévue\u{a0}: vendredi 27 novembre 2026"),
        "{text}"
    );
    assert!(html.contains("Suivre mon colis"));
    assert!(html.contains(r#"<html lang="fr">"#));
    let Content::Push {
        title, body, data, ..
    } = shipped("fr-CA", Channel::Push)
    else {
        panic!("no push")
    };
    assert_eq!(title, "Votre colis est en route");
    assert_eq!(body, "La commande 1001 a été confiée à DHL.");
    assert_eq!(data["url"], "https://track.example/p/JD0146?lang=auto&src=mail");
}

#[test]
fn an_order_message_is_rendered_in_german() {
    let (subject, text, html) = email("de-AT");
    assert_eq!(subject, "Deine Bestellung 1001 ist unterwegs");
    assert!(text.contains("Versandt am: 24. November 2026"), "{text}");
    assert!(html.contains("Paket verfolgen"));
    let Content::Push { title, .. } = shipped("de", Channel::Push) else {
        panic!("no push")
    };
    assert_eq!(title, "Dein Paket ist unterwegs");
}

#[test]
fn a_text_message_about_an_order_is_one_segment_in_every_language() {
    for locale in ["en", "fr", "de"] {
        let mut event = sample("OrderShipped");
        event["data"]["tracking_url"] = json!("https://track.example/p/JD0146");
        let Content::Sms { text } = engine()
            .render(&request(&event, Channel::Sms, locale))
            .unwrap()
            .content
        else {
            panic!("no text message")
        };
        let cost = segments(&text);
        assert_eq!((cost.encoding, cost.count), (Encoding::Gsm7, 1), "{text}");
    }
}

#[test]
fn the_tracking_link_is_optional_and_the_carrier_is_not() {
    let mut event = sample("OrderShipped");
    event["data"] = json!({"order_id": 7, "carrier": "DHL"});
    let engine = engine();
    for channel in [Channel::Push, Channel::Email, Channel::Sms] {
        let rendered = engine.render(&request(&event, channel, "en")).unwrap();
        let json = serde_json::to_string(&rendered.content).unwrap();
        assert!(json.contains('7') && !json.contains("rack your parcel"), "{json}");
    }
    event["data"] = json!({"order_id": 7});
    assert_eq!(
        engine.render(&request(&event, Channel::Sms, "fr")).unwrap_err(),
        RenderError::MissingVariable {
            template: "OrderShipped/sms".into(),
            place: "text line 1".into(),
            variable: "carrier".into(),
            why: "which the event does not carry".into(),
            pointer: "/data/carrier".into(),
        }
    );
}

#[test]
fn every_template_renders_its_sample_event_in_every_locale() {
    let set = load_folder(&shop()).unwrap();
    let engine = Engine::compile(&set);
    let mut rendered = 0;
    for def in &set.templates {
        let event = sample(&def.event_type);
        for locale in ["en", "fr", "de"] {
            let answer = engine.render(&request(&event, def.channel, locale)).unwrap();
            assert_eq!(&*answer.template.locale, locale);
            let json = serde_json::to_string(&answer.content).unwrap();
            assert!(!json.contains("{$") && !json.contains("{{"), "{json}");
            rendered += 1;
        }
    }
    assert_eq!(rendered, set.templates.len() * 3);
    assert!(set.templates.len() >= 12);
}

#[test]
fn money_and_dates_follow_the_reader() {
    let engine = engine();
    let event = sample("OrderPlaced");
    let text = |locale| match engine
        .render(&request(&event, Channel::Email, locale))
        .unwrap()
        .content
    {
        Content::Email { text, .. } => text,
        other => panic!("{other:?}"),
    };
    assert!(text("en").contains("Total: €1,248.90"), "{}", text("en"));
    assert!(
        text("fr").contains("Total\u{a0}: 1\u{202f}248,90\u{a0}€"),
        "{}",
        text("fr")
    );
    assert!(text("de").contains("Summe: 1.248,90\u{a0}€"), "{}", text("de"));
    assert!(text("de").contains("vom 23. November 2026"), "{}", text("de"));
    // The texts are those of the language, the forms those of the region.
    assert!(text("en-GB").contains("23 November 2026"), "{}", text("en-GB"));
    assert!(text("en-US").contains("November 23, 2026"), "{}", text("en-US"));
    assert!(
        text("de-CH").contains("Summe: EUR\u{a0}1'248.90")
            || text("de-CH").contains("Summe: €\u{a0}1'248.90"),
        "{}",
        text("de-CH")
    );
    // A reader in Brazil gets English texts, so their numbers are English.
    assert!(text("pt-BR").contains("Total: €1,248.90"), "{}", text("pt-BR"));
}
