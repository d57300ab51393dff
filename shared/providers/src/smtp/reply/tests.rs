use super::*;

fn said(stage: Stage, reply: &str) -> String {
    let (code, line) = reply.split_once(' ').unwrap_or((reply, ""));
    let outcome = Reply::new(code.parse().unwrap(), line).outcome(stage);
    let scope = outcome.refusal().unwrap().scope;
    format!("{} {scope:?}", outcome.name()).to_lowercase()
}

#[test]
fn a_reply_to_the_recipient_is_about_the_address_its_domain_or_us() {
    for (reply, expected) in [
        ("550 5.1.1 no such user", "address_dead address"),
        ("550 5.1.1: no such user", "address_dead address"),
        ("550 #5.1.0 Address rejected", "address_dead address"),
        ("550 [5.1.1] unknown", "address_dead address"),
        ("550 (5.1.1) unknown", "address_dead address"),
        ("550 <5.1.1> unknown", "address_dead address"),
        ("550 5.1.1, unknown", "address_dead address"),
        ("550 # 5.1.0 rejected", "address_dead address"),
        ("551 5.1.6 moved", "address_dead address"),
        ("550 5.1.2 no such domain", "address_dead address"),
        ("553 5.1.3 not an address", "address_dead address"),
        ("501 5.1.3 not an address", "address_dead address"),
        ("550 5.1.10 null MX", "address_dead address"),
        ("556 the domain takes no mail", "address_dead address"),
        ("550 5.2.1 disabled", "address_dead address"),
        (
            "550 5.4.1 Recipient address rejected: Access denied",
            "address_dead address",
        ),
        ("552 5.2.2 full", "retry address"),
        ("552 exceeded storage allocation", "retry address"),
        ("552 5.3.4 too big", "terminal message"),
        ("550 5.2.3 too big for the mailbox", "terminal message"),
        ("550 no such user", "terminal address"),
        ("551 not here", "terminal address"),
        ("553 no", "terminal address"),
        ("554 no", "terminal address"),
        ("550 5.0.0 no", "terminal address"),
        ("501 5.5.4 invalid address", "terminal address"),
        ("554 5.7.1 Relay access denied", "terminal address"),
        ("550 5.7.1 Relaying denied", "terminal address"),
        ("550 5.7.26 not authenticated", "terminal address"),
        ("550 5.7.515 not allowed", "config domain"),
        ("550 5.7.606 banned", "config domain"),
        ("550 5.7.60 may not send as this sender", "config account"),
        ("550 5.1.8 bad sender's domain", "config account"),
        ("553 5.1.7 bad sender", "config account"),
        ("504 5.5.2 Helo command rejected", "config account"),
        ("503 5.5.1 bad sequence", "config account"),
        ("503", "config account"),
        ("502 5.5.1 unknown", "config account"),
        ("555 5.5.4 unknown parameter", "config account"),
        ("530 5.7.0 authenticate first", "config account"),
        ("535 5.7.8 bad credentials", "config account"),
        ("450 4.7.1 greylisted", "throttle domain"),
        ("451 4.7.1 greylisted", "throttle domain"),
        ("452 4.7.28 too fast", "throttle domain"),
        ("450 greylisted", "throttle domain"),
        ("451 greylisted", "throttle domain"),
        ("451 4.4.3 name server", "throttle domain"),
        ("450 4.1.2 domain not found for now", "retry address"),
        ("450 4.2.1 busy", "retry address"),
        ("452 4.2.2 full", "retry address"),
        ("450 4.1.8 sender's domain not found", "throttle account"),
        ("452 4.3.1 no space", "throttle account"),
        ("452 4.5.3 too many", "throttle account"),
        ("421 4.7.0 try later", "throttle account"),
        (
            "454 Throttling failure: Maximum sending rate exceeded.",
            "throttle account",
        ),
        ("454 4.7.1 relay access denied", "throttle account"),
        ("458 not now", "retry account"),
    ] {
        assert_eq!(said(Stage::Recipient, reply), expected, "{reply}");
    }
}

#[test]
fn a_reply_to_the_content_is_about_the_message_the_address_its_domain_or_us() {
    for (reply, expected) in [
        ("554 5.6.0 bad content", "terminal message"),
        ("554 transaction failed", "terminal message"),
        ("550 refused", "terminal message"),
        ("552 too big", "terminal message"),
        ("552 5.2.2 full", "retry address"),
        ("550 5.1.1 no such user", "address_dead address"),
        ("554 5.7.1 spam", "terminal address"),
        ("550 5.7.515 not allowed", "config domain"),
        ("503 5.5.1 bad sequence", "config account"),
        ("451 4.7.1 greylisted", "throttle domain"),
        ("451 4.3.0 try again", "throttle account"),
        ("452 4.3.1 no space", "throttle account"),
        ("452 no space", "throttle account"),
        ("451 local error", "throttle account"),
        ("421 closing", "throttle account"),
        (
            "454 Throttling failure: Daily message quota exceeded.",
            "throttle account",
        ),
    ] {
        assert_eq!(said(Stage::Content, reply), expected, "{reply}");
    }
}

#[test]
fn a_reply_before_the_recipient_is_about_us_or_the_messages_size() {
    for stage in [Stage::Connect, Stage::Envelope] {
        for (reply, expected) in [
            ("421 4.3.2 closing", "throttle account"),
            ("450 4.7.1 not now", "throttle account"),
            ("454 4.7.0 temporary failure", "throttle account"),
            ("535 5.7.8 bad credentials", "config account"),
            ("503 5.5.1 bad sequence", "config account"),
            ("504 5.5.2 Helo command rejected", "config account"),
            ("550 5.1.1 no such sender", "config account"),
            ("554 5.7.1 no", "config account"),
            ("550 5.7.515 not allowed", "config account"),
        ] {
            assert_eq!(said(stage, reply), expected, "{reply}");
        }
    }
    assert_eq!(said(Stage::Envelope, "552 too big"), "terminal message");
    assert_eq!(said(Stage::Envelope, "554 5.3.4 too big"), "terminal message");
}

#[test]
fn only_a_text_in_the_form_of_an_enhanced_code_is_one() {
    assert_eq!(enhanced("5.1.1 x"), Some((5, 1, 1)));
    assert_eq!(enhanced("#5.1.0: x"), Some((5, 1, 0)));
    for no in [
        "10.0.0.1 refused",
        "[10.0.0.1] refused",
        "3.1.1",
        "2.1.5 fine",
        "5.1",
        "5.1.+1",
        "5.1.1111",
        "5..1",
        "#",
        "",
    ] {
        assert_eq!(enhanced(no), None, "{no}");
    }
}
