//! A key or tenant that exceeds its share is answered 429, and no other caller is affected.

use axum::body::{Body, Bytes};
use carillon_gateway::{GatewayConfig, ShareConfig};
use futures::{
    StreamExt as _,
    channel::mpsc::{UnboundedSender, unbounded},
    future::{FutureExt as _, join_all},
};

use crate::support::{Answer, Ask, Setting, on_gateway_with, shipped};

fn with_shares(change: impl Fn(&mut ShareConfig, &mut ShareConfig)) -> GatewayConfig {
    let mut config = GatewayConfig::default();
    let GatewayConfig { key, tenant, .. } = &mut config;
    change(key, tenant);
    config
}

/// A body that sends its first piece, reports when it is read, and continues on a signal.
fn held() -> (
    Body,
    UnboundedSender<Bytes>,
    futures::channel::oneshot::Receiver<()>,
) {
    let (sender, receiver) = unbounded::<Bytes>();
    let (inside, entered) = futures::channel::oneshot::channel();
    let first = futures::stream::once(async move {
        inside.send(()).unwrap();
        Bytes::new()
    });
    let body = first.chain(receiver).map(Ok::<_, std::io::Error>);
    (Body::from_stream(body), sender, entered)
}

#[track_caller]
fn is_over(answer: &Answer, bound: &str) {
    answer.problem(429, "rate-limited");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{answer:?}");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("expected at most ") && detail.contains(bound),
        "{detail}"
    );
}

/// Another tenant's post is processed: the only error is that its catalog does not know the type.
async fn others_are_served(setting: &Setting) {
    let answer = setting
        .ask(Ask::post("/v1/events").json(&shipped("1")).key(&setting.foreign))
        .await;
    answer.problem(422, "unknown-event-type");
    assert_eq!(setting.ask(Ask::get("/healthz").anonymous()).await.status, 200);
}

#[tokio::test]
async fn a_key_or_tenant_beyond_its_share_of_posts_is_answered_429_and_others_are_served() {
    let config = with_shares(|key, tenant| {
        key.posts_in_flight = 2;
        tenant.posts_in_flight = 3;
    });
    on_gateway_with(config, async |setting| {
        let (mut posts, mut senders) = (Vec::new(), Vec::new());
        for key in [&setting.admin, &setting.admin, &setting.operator] {
            let (body, sender, entered) = held();
            let ask = Ask::post("/v1/events").text("application/json", body).key(key);
            let mut post = Box::pin(setting.ask(ask));
            tokio::select! {
                answer = &mut post => panic!("{answer:?}"),
                entered = entered => entered.unwrap(),
            }
            posts.push(post);
            senders.push(sender);
            if posts.len() == 2 {
                is_over(&setting.post(&shipped("b")).await, "gateway.key.posts_in_flight");
            }
        }
        let fourth = Ask::post("/v1/events").json(&shipped("c")).key(&setting.operator);
        is_over(&setting.ask(fourth).await, "gateway.tenant.posts_in_flight");
        assert_eq!(
            setting.get("/v1/events/none").await.status,
            404,
            "other requests have places of their own"
        );
        others_are_served(setting).await;

        for (index, sender) in senders.into_iter().enumerate() {
            let event = shipped(&index.to_string()).to_string();
            sender.unbounded_send(Bytes::from(event)).unwrap();
        }
        for answer in join_all(posts).await {
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        assert_eq!(setting.post(&shipped("d")).await.status, 202);
    })
    .await;
}

#[tokio::test]
async fn bytes_of_bodies_count_while_they_come_in_and_are_given_back() {
    let config = with_shares(|key, _| key.held_bytes = 200_000);
    on_gateway_with(config, async |setting| {
        let (body, sender, entered) = held();
        let mut post = Box::pin(setting.ask(Ask::post("/v1/events").text("application/json", body)));
        tokio::select! {
            answer = &mut post => panic!("{answer:?}"),
            entered = entered => entered.unwrap(),
        }
        sender.unbounded_send(Bytes::from(vec![b' '; 150_000])).unwrap();
        assert!((&mut post).now_or_never().is_none());
        let large = || Ask::post("/v1/events").text("application/json", vec![b' '; 100_000]);
        is_over(&setting.ask(large()).await, "gateway.key.held_bytes");
        assert_eq!(
            setting.post(&shipped("small")).await.status,
            202,
            "small bodies do not count"
        );
        others_are_served(setting).await;

        sender.unbounded_send(Bytes::from(vec![b' '; 100_000])).unwrap();
        is_over(&post.await, "gateway.key.held_bytes");
        setting.ask(large()).await.problem(400, "malformed-json");
    })
    .await;
}

#[tokio::test]
async fn a_body_larger_than_the_whole_share_is_a_413_without_retry_after() {
    on_gateway_with(with_shares(|_, _| {}), async |setting| {
        let huge = Ask::post("/v1/events").text("application/json", vec![b' '; 30_000_000]);
        let answer = setting.ask(huge).await;
        assert!(!answer.headers.contains_key("retry-after"));
        answer.problem(413, "too-large");
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_requests_is_answered_429_to_its_key_alone() {
    let config = with_shares(|key, _| key.requests_per_second = 5);
    on_gateway_with(config, async |setting| {
        let mut asked = 0;
        let refused = loop {
            let answer = setting.get("/v1/events/none").await;
            if answer.status != 404 {
                break answer;
            }
            asked += 1;
            assert!(asked < 1_000, "nothing bounds the rate");
        };
        is_over(&refused, "gateway.key.requests_per_second");
        let own = Ask::get("/v1/events/none").key(&setting.viewer);
        assert_eq!(setting.ask(own).await.status, 404, "another key of the tenant");
        others_are_served(setting).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_sign_ins_is_answered_429_to_its_key_alone() {
    let config = GatewayConfig {
        sign_ins_per_minute: 3,
        ..GatewayConfig::default()
    };
    on_gateway_with(config, async |setting| {
        for expected in [303, 303, 303, 429] {
            let answer = crate::dashboard::enter(setting, &setting.viewer).await;
            assert_eq!(answer.status, expected, "{answer:?}");
        }
        let other = crate::dashboard::enter(setting, &setting.foreign).await;
        assert_eq!(other.status, 303, "{other:?}");
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_invalid_keys_is_refused_and_does_not_delay_valid_keys() {
    on_gateway_with(GatewayConfig::default(), async |setting| {
        let made_up = |number: u128| {
            let key = format!("ck_{number:032x}_{}", "0".repeat(64));
            setting.ask(Ask::get("/v1/events/none").key(&key))
        };
        let flood = join_all((0..2_000).map(made_up));
        let valid = setting.get("/v1/events/none");
        let (flood, valid) = futures::join!(flood, valid);
        assert_eq!(valid.status, 404);
        assert!(flood.iter().all(|answer| answer.status == 401));
    })
    .await;
}
