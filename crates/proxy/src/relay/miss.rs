//! Exchanges with an origin that came to nothing, before the client saw any of it.

use seawall_net::upstream::OriginFault;

use crate::fault::Fault;

/// An exchange with an origin that failed before the client saw anything.
pub struct Failed {
    /// Why.
    pub fault: Fault,
    /// Body bytes taken from the client.
    pub bytes_in: u64,
}

/// One attempt that failed before the client saw anything.
pub(super) struct Miss {
    pub(super) fault: Fault,
    /// A byte of the request may have reached the origin.
    pub(super) sent: bool,
    /// Body bytes taken from the client.
    pub(super) spent: u64,
    /// The connection had served before and said nothing: most likely it was closed while it was idle.
    pub(super) stale: bool,
}

impl Miss {
    pub(super) fn before_sending(fault: Fault) -> Self {
        Self {
            fault,
            sent: false,
            spent: 0,
            stale: false,
        }
    }

    pub(super) fn while_sending(fault: OriginFault, used: bool) -> Self {
        Self {
            stale: used,
            sent: true,
            ..Self::before_sending(fault.into())
        }
    }

    pub(super) fn after_sending(fault: Fault, used: bool, spent: u64) -> Self {
        let refused = fault == Fault::Unprocessed;
        Self {
            stale: refused || (used && fault == Fault::ClosedEarly),
            fault,
            sent: !refused,
            spent,
        }
    }
}
