//! The table from faults to words is whole.

use super::*;

#[test]
fn every_slug_is_in_the_list_that_metrics_use() {
    let all = [
        Fault::Rejected {
            status: 400,
            reason: "",
        },
        Fault::NeedsTls,
        Fault::UnknownHost,
        Fault::MisdirectedTls,
        Fault::NoConnect,
        Fault::NoTrace,
        Fault::BodyTooLarge,
        Fault::SlowHead,
        Fault::SlowBody,
        Fault::BrokenBody(""),
        Fault::ClientGone,
        Fault::NoWebSocket,
        Fault::NoEndpoint,
        Fault::Loop,
        Fault::Internal,
        Fault::Overloaded,
        Fault::Stopping,
        Fault::Dns,
        Fault::Prohibited,
        Fault::Refused,
        Fault::Unreachable,
        Fault::ConnectTimeout,
        Fault::OriginTls,
        Fault::OriginCertificate,
        Fault::ClosedEarly,
        Fault::Incomplete,
        Fault::OriginProtocol,
        Fault::OriginTimeout,
        Fault::OriginStalled,
        Fault::SlowReader,
        Fault::OriginStuck,
        Fault::UpgradeFailed,
    ];
    assert_eq!(all.len(), SLUGS.len());
    for fault in all {
        assert!(SLUGS.contains(&fault.answer().slug), "{fault:?}");
    }
}
