//! The table from faults to words is whole; what others say becomes the right fault.

use std::collections::HashSet;

use super::reference::ALL;
use super::*;

#[test]
fn every_slug_is_in_the_list_that_metrics_use() {
    let said: HashSet<&str> = ALL.iter().map(|fault| fault.answer().slug).collect();
    let listed: HashSet<&str> = SLUGS.iter().copied().collect();
    assert_eq!(said, listed);
}

#[test]
fn who_is_not_let_in_is_refused_whatever_the_way() {
    for code in [libc::EACCES, libc::EPERM] {
        let error = std::io::Error::from_raw_os_error(code);
        let fault = Fault::from(seawall_net::outward::ConnectFault::Failed(error));
        assert_eq!(fault, Fault::Refused);
    }
    let error = std::io::Error::from_raw_os_error(libc::EHOSTUNREACH);
    let fault = Fault::from(seawall_net::outward::ConnectFault::Failed(error));
    assert_eq!(fault, Fault::Unreachable);
}
