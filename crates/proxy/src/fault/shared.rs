//! Faults that are those of all who wait for the same answer.

use super::Fault;

/// Of the way to an origin, whatever was asked.
const OF_THE_WAY: [Fault; 9] = [
    Fault::Overloaded,
    Fault::Full,
    Fault::Dns,
    Fault::Prohibited,
    Fault::Refused,
    Fault::Unreachable,
    Fault::ConnectTimeout,
    Fault::OriginTls,
    Fault::OriginCertificate,
];

/// Of an origin that was asked. What was asked may be why.
const OF_THE_ORIGIN: [Fault; 5] = [
    Fault::ClosedEarly,
    Fault::Unprocessed,
    Fault::OriginProtocol,
    Fault::OriginTimeout,
    Fault::OriginStuck,
];

impl Fault {
    /// Whether whoever asks for the same just now would meet it.
    pub fn is_anybodys(self) -> bool {
        OF_THE_WAY.contains(&self)
    }

    /// Whether others who ask for the same may meet it: it is not of this client, nor of what it may do.
    pub fn may_be_of_all(self) -> bool {
        self.is_anybodys() || OF_THE_ORIGIN.contains(&self)
    }

    /// Whether it is about this client alone.
    pub fn is_of_one(self) -> bool {
        matches!(self, Self::ClientGone | Self::TurnedAway | Self::Withdrawn)
    }

    /// What it is where the origin was asked because what is stored must be validated (RFC 9111 §5.2.2.2): the same, unless the origin
    /// has said nothing.
    pub fn without_validation(self) -> Self {
        let is_silent = match self {
            // We have no room, or it has none: that is a 503. What it says is no HTTP: it does say something.
            Self::Overloaded | Self::Full | Self::OriginProtocol => false,
            other => other.may_be_of_all(),
        };
        match is_silent {
            true => Self::NotValidated(self.answer().proxy_status),
            false => self,
        }
    }

    /// That of all who wait whose word ([`super::Answer::slug`]) this is.
    pub fn of_all(word: &str) -> Option<Self> {
        let all = OF_THE_WAY.iter().chain(&OF_THE_ORIGIN);
        all.copied().find(|fault| fault.answer().slug == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_word() {
        for fault in OF_THE_WAY.iter().chain(&OF_THE_ORIGIN) {
            let found = Fault::of_all(fault.answer().slug).unwrap();
            assert_eq!(found.answer().slug, fault.answer().slug);
            assert_eq!(found.answer().status, fault.answer().status);
            assert!(found.may_be_of_all() && !found.is_of_one());
        }
        assert_eq!(Fault::of_all(Fault::ClientGone.answer().slug), None);
    }

    #[test]
    fn an_origin_that_says_nothing_is_a_504_where_it_had_to_be_asked() {
        for fault in [Fault::Refused, Fault::ClosedEarly, Fault::OriginTimeout] {
            let told = fault.without_validation().answer();
            assert_eq!((told.status, told.slug), (504, "not_validated"));
            assert_eq!(told.proxy_status, fault.answer().proxy_status);
        }
        for fault in [
            Fault::Full,
            Fault::Overloaded,
            Fault::OriginProtocol,
            Fault::Incomplete,
            Fault::ClientGone,
            Fault::TurnedAway,
        ] {
            assert_eq!(fault.without_validation(), fault);
        }
    }
}
