//! Providers' receipts in the read model.

use carillon_domain::{Channel, DeliveryStatus, StatusRecord, UserId};

use crate::{
    statuses::{at, delivery_id, event_id, receipt, routed, said},
    support::{Setting, on_tracker},
};
use DeliveryStatus::{Bounced, Clicked, Complained, Delivered, Opened, Sending, Sent, Uncertain};

fn sent(event: u32, attempt: u32) -> StatusRecord {
    said(event, Channel::Sms, (0, attempt), &[(1, Sending), (2, Sent)])
}

async fn status(setting: &Setting, event: u32) -> (u32, DeliveryStatus) {
    let delivery = setting.delivery(delivery_id(event, Channel::Sms)).await;
    (delivery.attempt, delivery.status)
}

async fn steps(setting: &Setting, event: u32) -> Vec<(u32, DeliveryStatus)> {
    let timeline = setting.timeline(delivery_id(event, Channel::Sms)).await;
    timeline.iter().map(|step| (step.attempt, step.status)).collect()
}

#[tokio::test]
async fn a_receipt_is_a_step_of_its_attempt_and_the_state_of_the_delivery() {
    on_tracker(async |setting| {
        setting
            .track(&[
                routed(1),
                sent(1, 1),
                receipt(1, (0, 1), "SM1/undelivered", (30, Bounced)),
            ])
            .await;
        let delivery = setting.delivery(delivery_id(1, Channel::Sms)).await;
        assert_eq!((delivery.status, delivery.updated_at), (Bounced, at(30)));
        assert_eq!(delivery.error_code.as_deref(), Some("30005"));
        assert_eq!(
            delivery.detail.as_deref(),
            Some("the number takes no text messages")
        );
        assert_eq!(delivery.provider.as_deref(), Some("texts"));
        assert_eq!(delivery.provider_message_id.as_deref(), Some("SM1"));
        // The columns that a receipt does not name are the decision's.
        assert_eq!(delivery.user_id.as_ref().map(UserId::as_str), Some("u-42"));
        assert_eq!(delivery.event_type, "OrderShipped");
        let timeline = setting.timeline(delivery.id).await;
        let last = timeline.last().unwrap();
        assert_eq!((last.at, last.status, last.attempt), (at(30), Bounced, 1));
        assert_eq!(
            (last.provider.as_deref(), last.code.as_deref()),
            (Some("texts"), Some("30005"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_repeated_receipt_changes_nothing_even_at_another_time_and_in_another_batch() {
    on_tracker(async |setting| {
        let delivered = |seconds| receipt(1, (0, 1), "SM1/delivered", (seconds, Delivered));
        setting
            .track(&[routed(1), sent(1, 1), delivered(30), delivered(31)])
            .await;
        let once = setting.contents(&[event_id(1)]).await;
        assert_eq!(
            steps(setting, 1)
                .await
                .iter()
                .filter(|step| step.1 == Delivered)
                .count(),
            1
        );
        setting.track(&[delivered(32), delivered(30)]).await;
        assert_eq!(setting.contents(&[event_id(1)]).await, once);
        // Another event of the provider is another step.
        setting
            .track(&[
                receipt(1, (0, 1), "open-1", (40, Opened)),
                receipt(1, (0, 1), "open-2", (50, Opened)),
            ])
            .await;
        assert_eq!(
            steps(setting, 1)
                .await
                .iter()
                .filter(|step| step.1 == Opened)
                .count(),
            2
        );
    })
    .await;
}

#[tokio::test]
async fn a_late_receipt_never_takes_a_later_state_back() {
    on_tracker(async |setting| {
        let of = |id: &str, seconds, status| receipt(1, (0, 1), id, (seconds, status));
        setting.track(&[routed(1), of("c", 50, Clicked)]).await;
        assert_eq!(
            status(setting, 1).await,
            (1, Clicked),
            "before the worker's own report"
        );
        setting
            .track(&[
                sent(1, 1),
                of("d", 60, Delivered),
                of("s", 61, Sent),
                of("o", 62, Opened),
            ])
            .await;
        assert_eq!(status(setting, 1).await, (1, Clicked));
        setting
            .track(&[of("m", 70, Complained), of("b", 71, Bounced)])
            .await;
        assert_eq!(status(setting, 1).await, (1, Complained));
        let expected = [
            (0, DeliveryStatus::Queued),
            (1, Sending),
            (1, Sent),
            (1, Clicked),
            (1, Delivered),
            (1, Sent),
            (1, Opened),
            (1, Complained),
            (1, Bounced),
        ];
        assert_eq!(steps(setting, 1).await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_of_a_former_attempt_is_in_the_timeline_and_leaves_the_state_of_the_last_one() {
    on_tracker(async |setting| {
        let doubtful = said(1, Channel::Sms, (0, 1), &[(1, Sending), (2, Uncertain)]);
        setting
            .track(&[routed(1), doubtful, receipt(1, (0, 1), "a", (3, Delivered))])
            .await;
        // The message of the doubtful attempt has arrived: the delivery has ended.
        assert_eq!(status(setting, 1).await, (1, Delivered));
        assert_eq!(
            (setting.counts().await.ended, setting.counts().await.pending),
            (1, 1)
        );
        setting
            .track(&[said(1, Channel::Sms, (0, 2), &[(4, Sending)])])
            .await;
        assert_eq!(setting.counts().await.ended, 0, "another attempt reopens it");
        setting
            .track(&[
                said(1, Channel::Sms, (0, 2), &[(5, Sent)]),
                receipt(1, (0, 1), "b", (6, Opened)),
            ])
            .await;
        assert_eq!(status(setting, 1).await, (2, Sent));
        assert!(steps(setting, 1).await.contains(&(1, Opened)));
        assert_eq!(
            (setting.counts().await.ended, setting.counts().await.pending),
            (1, 1)
        );
    })
    .await;
}

#[tokio::test]
async fn a_receipt_without_its_delivery_is_left_out() {
    on_tracker(async |setting| {
        let empty = setting.contents(&[]).await;
        setting.track(&[receipt(9, (0, 1), "a", (3, Delivered))]).await;
        assert_eq!(setting.contents(&[]).await, empty);
        assert!(steps(setting, 9).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_receipt_of_another_tenant_does_not_reach_a_delivery() {
    on_tracker(async |setting| {
        setting.track(&[routed(1), sent(1, 1)]).await;
        let StatusRecord::Receipt(mut foreign) = receipt(1, (0, 1), "a", (30, Bounced)) else {
            unreachable!()
        };
        foreign.tenant = "other".to_owned().into();
        setting.track(&[StatusRecord::Receipt(foreign)]).await;
        assert_eq!(status(setting, 1).await, (1, Sent));
    })
    .await;
}
