//! Rendering an e-mail in three parts: by the engine with its languages, escaping and limits; by HTTP batches to a
//! templates role; and by handlebars alone on the same templates, with helpers that look nothing up.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use carillon_domain::{Channel, DeliveryId, TenantId};
use carillon_render::{InProcess, RenderContext, RenderRequest, Renderer, TemplateSet, load_folder};
use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext as BareContext};
use serde_json::{json, value::RawValue};
use uuid::Uuid;

use super::{Effort, e2e::per_second};
use crate::{
    backend::{Backend, repository},
    measure::Report,
};

const BATCH: usize = 200;
const TYPE: &str = "OrderShipped";

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(_: &Backend, effort: Effort) -> anyhow::Result<Report> {
    let templates = load_folder(&repository().join("examples/shop"))?;
    let bare = bare(&templates)?;
    let engine = InProcess::new(Arc::new(templates));
    let mut report = Report::new("render", "this process, one thread");
    let count = effort.amount(100_000, 1_000);
    let mut rates = Vec::new();
    for pair in 0..=effort.pairs {
        let started = Instant::now();
        for from in (0..count).step_by(BATCH) {
            let batch = (from..from + BATCH)
                .map(request)
                .collect::<anyhow::Result<Vec<_>>>()?;
            for rendered in engine.render(batch).await {
                std::hint::black_box(rendered?);
            }
        }
        let ours = per_second(count, started.elapsed().as_secs_f64());
        let started = Instant::now();
        for n in 0..count {
            let context = Context::wraps(bare_context(&request(n)?)?)?;
            for part in ["subject", "text", "html"] {
                std::hint::black_box(bare.render_with_context(part, &context)?);
            }
        }
        if pair > 0 {
            rates.push((ours, per_second(count, started.elapsed().as_secs_f64())));
        }
    }
    report.add_pairs("e-mails rendered", "bare handlebars", &rates, Some(0.8));
    Ok(report)
}

fn request(n: usize) -> anyhow::Result<RenderRequest> {
    let data =
        json!({"order_id": n.to_string(), "carrier": "DHL", "tracking_url": "https://dhl.example/t/1"});
    Ok(RenderRequest {
        tenant: TenantId::default(),
        event_type: TYPE.into(),
        channel: Channel::Email,
        locale: Some("fr-CA".into()),
        timezone: Some("America/Montreal".into()),
        context: RenderContext {
            event_id: format!("e-{n}").as_str().into(),
            source: "/shop".into(),
            time: "2026-11-24T10:00:00Z".parse()?,
            data: Arc::from(RawValue::from_string(data.to_string())?),
            delivery_id: Some(DeliveryId(Uuid::nil())),
            user_id: Some("u-42".into()),
            unsubscribe_url: None,
        },
    })
}

/// The data for the templates, in the engine's layout.
fn bare_context(request: &RenderRequest) -> anyhow::Result<serde_json::Value> {
    let mut context: serde_json::Map<_, _> = serde_json::from_str(request.context.data.get())?;
    let event = json!({"id": request.context.event_id, "type": TYPE, "time": request.context.time,
        "source": request.context.source});
    context.insert("event".to_owned(), event);
    context.insert("locale".to_owned(), json!(request.locale));
    Ok(context.into())
}

/// Handlebars with the three parts of the e-mail.
fn bare(set: &TemplateSet) -> anyhow::Result<Handlebars<'static>> {
    let mut bare = Handlebars::new();
    let parts: &BTreeMap<String, String> = set
        .templates
        .iter()
        .find(|template| template.event_type == TYPE && template.channel == Channel::Email)
        .map(|template| &template.parts)
        .ok_or_else(|| anyhow::anyhow!("the shop has no such template"))?;
    for (part, text) in parts {
        let kind = if part == "html" { "html" } else { "text" };
        // Each kind of part has its own partials, so their names are made unique.
        bare.register_template_string(part, renamed(text, kind))?;
    }
    for partial in &set.partials {
        for (kind, text) in &partial.parts {
            bare.register_partial(&format!("{}-{kind}", partial.name), renamed(text, kind))?;
        }
    }
    for (name, text) in [("t", "Votre colis est en route"), ("date", "24 novembre 2026")] {
        bare.register_helper(
            name,
            Box::new(
                move |_: &Helper<'_>,
                      _: &Handlebars<'_>,
                      _: &Context,
                      _: &mut BareContext<'_, '_>,
                      out: &mut dyn Output|
                      -> HelperResult {
                    out.write(text)?;
                    Ok(())
                },
            ),
        );
    }
    for name in ["url", "encode"] {
        bare.register_helper(
            name,
            Box::new(
                |helper: &Helper<'_>,
                 _: &Handlebars<'_>,
                 _: &Context,
                 _: &mut BareContext<'_, '_>,
                 out: &mut dyn Output|
                 -> HelperResult {
                    if let Some(text) = helper.param(0).and_then(|param| param.value().as_str()) {
                        out.write(text)?;
                    }
                    Ok(())
                },
            ),
        );
    }
    Ok(bare)
}

fn renamed(text: &str, kind: &str) -> String {
    ["layout", "greeting", "row", "button"]
        .iter()
        .fold(text.to_owned(), |text, name| {
            text.replace(&format!("> {name}"), &format!("> {name}-{kind}"))
                .replace(&format!("/{name}}}}}"), &format!("/{name}-{kind}}}}}"))
        })
}
