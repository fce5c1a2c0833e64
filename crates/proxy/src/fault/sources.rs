//! Faults by what other rooms say went wrong.

use seawall_net::h1::Reject;
use seawall_net::incoming::BodyFault;
use seawall_net::outward::ConnectFault;
use seawall_net::tls::TlsFault;
use seawall_net::upstream::OriginFault;

use super::Fault;

impl From<Reject> for Fault {
    fn from(reject: Reject) -> Self {
        Self::Rejected {
            status: reject.status,
            reason: reject.reason,
        }
    }
}

impl From<ConnectFault> for Fault {
    fn from(fault: ConnectFault) -> Self {
        match fault {
            ConnectFault::Forbidden { .. } => Self::Prohibited,
            ConnectFault::Refused => Self::Refused,
            ConnectFault::Slow => Self::ConnectTimeout,
            ConnectFault::Failed(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                Self::ClosedEarly
            }
            ConnectFault::Failed(error) if is_ours(&error) => Self::Overloaded,
            // A socket that is not for our user, or a firewall here: there is a way, and we are not let in.
            ConnectFault::Failed(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::Refused
            }
            ConnectFault::Failed(_) => Self::Unreachable,
        }
    }
}

/// Whether a connection could not be made for want of something on our side, which says nothing about the origin.
fn is_ours(error: &std::io::Error) -> bool {
    let wanting = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| wanting.contains(&code))
}

impl From<TlsFault> for Fault {
    fn from(fault: TlsFault) -> Self {
        match fault {
            TlsFault::Slow => Self::ConnectTimeout,
            fault if fault.is_certificate() => Self::OriginCertificate,
            _ => Self::OriginTls,
        }
    }
}

impl From<OriginFault> for Fault {
    fn from(fault: OriginFault) -> Self {
        match fault {
            fault if fault.is_unprocessed() => Self::Unprocessed,
            OriginFault::ClosedEarly => Self::ClosedEarly,
            OriginFault::Closed | OriginFault::Socket(_) | OriginFault::Reset(_) => {
                Self::Incomplete
            }
            OriginFault::Malformed(_) => Self::OriginProtocol,
            OriginFault::Slow => Self::OriginTimeout,
            OriginFault::Stuck => Self::OriginStuck,
        }
    }
}

/// A fault in a client's body.
pub fn of_body(fault: &BodyFault) -> Fault {
    match fault {
        BodyFault::Framing(reason) => Fault::BrokenBody(reason),
        BodyFault::Slow => Fault::SlowBody,
        BodyFault::Closed | BodyFault::Socket(_) | BodyFault::Reset(_) => Fault::ClientGone,
    }
}
