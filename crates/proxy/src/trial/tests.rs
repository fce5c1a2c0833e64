//! Who is on trial, and how what came of a request counts.

use seawall_telemetry::Source;

use super::ended::how;
use super::*;
use crate::fault::Fault;

fn trial(share: u16, salt: u64) -> Trial {
    Trial {
        share,
        salt,
        arms: Arc::default(),
        zone: None,
    }
}

fn clients() -> impl Iterator<Item = IpAddr> {
    (0..20_000u32).map(|n| IpAddr::from((0x0a00_0000 + n * 7).to_be_bytes()))
}

#[test]
fn a_share_of_clients_is_on_trial_and_stays_so_as_it_grows() {
    for salt in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
        let (few, half) = (trial(500, salt), trial(5_000, salt));
        let on_few = clients().filter(|client| few.has(*client)).count();
        let on_half = clients().filter(|client| half.has(*client)).count();
        assert!((800..1_200).contains(&on_few), "{on_few} of 20,000 at 5 %");
        assert!((9_600..10_400).contains(&on_half), "{on_half} at 50 %");
        assert!(clients().all(|client| !few.has(client) || half.has(client)));
        assert!(clients().all(|client| trial(ALL, salt).has(client)));
        assert!(!clients().any(|client| trial(0, salt).has(client)));
    }
}

#[test]
fn another_change_is_tried_on_other_clients() {
    let (one, other) = (trial(500, 1), trial(500, 2));
    let both = clients().filter(|client| one.has(*client) && other.has(*client));
    assert!(both.count() < 120, "about 50 by chance");
}

#[test]
fn an_ipv6_client_is_its_network() {
    let half = trial(5_000, 3);
    for network in 0..64u16 {
        let side = |host: u16| {
            half.has(
                [0x2001, 0xdb8, 0, network, host, 0, 0, 1]
                    .map(u16::from)
                    .into(),
            )
        };
        assert!((0..64).all(|host| side(host) == side(0)), "{network}");
    }
}

#[test]
fn classes_of_durations_are_in_order_and_narrow() {
    for class in 0..CLASSES - 1 {
        let (begins, next) = (class_begins_at(class), class_begins_at(class + 1));
        assert_eq!(class_of(begins), class);
        assert_eq!(class_of(next - 1), class);
        assert!(
            class < 8 || (next - begins) * 4 <= begins,
            "{class}: a quarter at most"
        );
    }
    assert_eq!(class_of(u64::MAX), CLASSES - 1);
    assert!(class_begins_at(CLASSES - 1) > 240_000_000);
}

#[test]
fn each_way_to_end_is_counted_as_what_it_is() {
    let arm = Arm::default();
    let ended = [
        How::Well,
        How::EdgeError,
        How::OriginError,
        How::BrokeOff,
        How::Refused,
        How::ByClient,
    ];
    for how in ended {
        arm.count(&Ended {
            how,
            judged_otherwise: true,
            network: Some(mixed(IpAddr::from([192, 0, 2, 1]), 0)),
            turned_away: how == How::Refused,
            behind: match how {
                How::Well => Behind::Answer,
                How::OriginError => Behind::Error,
                _ => Behind::Nothing,
            },
            own_us: 5,
        });
    }
    let counts = arm.counts();
    let Counts {
        requests,
        edge_errors,
        origin_errors,
        resets,
        refused,
        networks,
        refused_networks,
        answered_networks,
        failed_networks,
        judged_otherwise,
        durations,
        judging,
    } = counts;
    assert_eq!(
        (requests, edge_errors, origin_errors, resets, refused),
        (5, 1, 1, 1, 1)
    );
    assert_eq!((networks, refused_networks), (1, 1));
    assert_eq!((answered_networks, failed_networks), (1, 1));
    assert_eq!(judged_otherwise, 5);
    assert_eq!(durations, [0, 0, 0, 0, 0, 5]);
    assert_eq!(judging, [0u64; 0]);
}

#[test]
fn a_stage_that_fails_is_an_error_of_ours_and_one_that_refuses_is_none() {
    let edge = |verdict, status| how(verdict, status, Source::Edge, None);
    assert_eq!(edge("rules/fault", 503), How::EdgeError);
    assert_eq!(edge("rules/spent", 403), How::EdgeError);
    assert_eq!(edge("lists/killed", 503), How::Refused);
    assert_eq!(edge("rules/block", 403), How::Refused);
    assert_eq!(edge("rules/block", 503), How::Refused);
    assert_eq!(edge("", 502), How::EdgeError);
    assert_eq!(how("", 502, Source::Origin, None), How::OriginError);
    let gone = Some(Fault::ClientGone);
    assert_eq!(how("rules/fault", 503, Source::Edge, gone), How::ByClient);
}
