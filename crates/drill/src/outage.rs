//! The outages, for who watches a drill beside them: what is known of each, and from whom. Minutes are those between the times that are
//! told there; what is not told is left out.

/// From whom something is known.
const OWN_REPORT: &str = "its operator's own report";
const OTHERS: &str =
    "what others wrote about it, and memory: the minutes are not from its operator's report";

/// An outage.
#[derive(Debug)]
pub struct Outage {
    /// Its number in our catalogue.
    pub id: &'static str,
    /// The day (UTC) on which it began.
    pub date: &'static str,
    /// Whose, and what.
    pub title: &'static str,
    /// How long it lasted, in minutes.
    pub minutes: u32,
    /// What happened, in a sentence or two.
    pub what: &'static str,
    /// From whom that is known.
    pub source: &'static str,
    /// Minutes since it began, and what happened then.
    pub timeline: &'static [(u32, &'static str)],
}

/// Cloudflare, WAF rule.
pub static O1: Outage = Outage {
    id: "O1",
    date: "2019-07-02",
    title: "Cloudflare: one WAF rule took all CPUs",
    minutes: 27,
    what: "A new rule of the WAF, which only watched, was pushed everywhere within seconds. Its pattern backtracked without an end; the bound on CPU had been taken out by mistake.",
    source: OTHERS,
    timeline: &[
        (0, "the rule is everywhere, CPUs are at 100 %"),
        (3, "first alarm"),
        (18, "the WAF is named"),
        (25, "the WAF is switched off worldwide"),
        (27, "traffic is normal"),
    ],
};

/// Cloudflare, bot feature file.
pub static O10: Outage = Outage {
    id: "O10",
    date: "2025-11-18",
    title: "Cloudflare: a generated file doubled",
    minutes: 190,
    what: "A query returned every row twice; the file that bot scores are made of doubled, went over a limit of 200, and what read it panicked. It was made anew every five minutes, good or bad.",
    source: OWN_REPORT,
    timeline: &[
        (0, "the first failures"),
        (8, "5xx for all that needs a bot score"),
        (11, "first alarm"),
        (105, "some products go round it"),
        (137, "the file is found to be the cause"),
        (184, "a good file"),
        (190, "most is well"),
    ],
};

/// Cloudflare, kill switch.
pub static O11: Outage = Outage {
    id: "O11",
    date: "2025-12-05",
    title: "Cloudflare: an emergency switch went everywhere",
    minutes: 25,
    what: "A rule was switched off by a path that nobody had run on such a rule: what it left out was looked at all the same, and every such request was answered 500. The switch was global and at once.",
    source: OWN_REPORT,
    timeline: &[
        (0, "28 % of HTTP is answered 500"),
        (3, "first alarm"),
        (24, "the switch is taken back"),
        (25, "traffic is normal"),
    ],
};

/// Fastly.
pub static O14: Outage = Outage {
    id: "O14",
    date: "2021-06-08",
    title: "Fastly: one customer's good configuration",
    minutes: 49,
    what: "A customer's valid change met a bug that had been shipped four weeks before. 85 % of the network answered errors.",
    source: OWN_REPORT,
    timeline: &[
        (0, "85 % of the network answers errors"),
        (1, "first alarm"),
        (40, "the customer's configuration is found"),
        (49, "95 % is well"),
    ],
};

/// Cloudflare, a data centre.
pub static O5: Outage = Outage {
    id: "O5",
    date: "2023-11-02",
    title: "Cloudflare: the control plane's data centre was dark",
    minutes: 2_442,
    what: "A data centre lost its power. Dashboard, API and analytics were gone, because services that were to run in three places needed something that ran in one. Sites were served.",
    source: OWN_REPORT,
    timeline: &[
        (0, "dashboard and API fail"),
        (374, "the second site takes over"),
        (2_442, "all is well"),
    ],
};

/// Cloudflare, key-value store; and Google, on the same day.
pub static O6: Outage = Outage {
    id: "O6",
    date: "2025-06-12",
    title: "Google and Cloudflare: a policy with blank fields, and a store that was gone",
    minutes: 148,
    what: "A policy with blank fields was copied everywhere within seconds and crashed what read it. A store behind Cloudflare's key-value store failed with it; 90 % of requests to that failed, and all logins that needed it.",
    source: OWN_REPORT,
    timeline: &[
        (0, "requests to the store fail"),
        (14, "the incidents are joined into one"),
        (148, "the store answers again"),
    ],
};

/// Cloudflare, credentials of R2.
pub static O7: Outage = Outage {
    id: "O7",
    date: "2025-03-21",
    title: "Cloudflare: a key was deleted that was still in use",
    minutes: 67,
    what: "A new key went to the wrong environment; the old one was deleted. All writes and a third of all reads of the object store failed. Nobody could see which key was in use.",
    source: OWN_REPORT,
    timeline: &[(0, "writes fail"), (67, "the new key is where it belongs")],
};

/// Cloudflare, dashboard.
pub static O9: Outage = Outage {
    id: "O9",
    date: "2025-09-12",
    title: "Cloudflare: the dashboard flooded its own API",
    minutes: 75,
    what: "A page of the dashboard called an API in a loop, while that API was being deployed. The API that it called decides who may call any other.",
    source: OWN_REPORT,
    timeline: &[
        (0, "dashboard and APIs fail"),
        (61, "a mend makes it worse"),
        (75, "all is well"),
    ],
};

/// Cloudflare, route leak and own addresses.
pub static O12: Outage = Outage {
    id: "O12",
    date: "2026-02-20",
    title: "Cloudflare: an empty filter meant everything",
    minutes: 315,
    what: "A task that cleans up asked for objects with an empty filter, was given all of them, and withdrew a quarter of the customers' own networks before it was stopped.",
    source: OWN_REPORT,
    timeline: &[
        (0, "networks are withdrawn"),
        (58, "the task is stopped"),
        (91, "customers can help themselves"),
        (315, "all are back"),
    ],
};

/// AWS, DynamoDB.
pub static O16: Outage = Outage {
    id: "O16",
    date: "2025-10-19",
    title: "AWS: a late applier put an old plan over a new one",
    minutes: 872,
    what: "Of two programs that apply plans of DNS one was slow; it put an old plan in place of a new one, and the other deleted what was old. The record of a region's database was empty.",
    source: OWN_REPORT,
    timeline: &[
        (0, "the record is empty"),
        (157, "the record is back"),
        (872, "what hung on it is well"),
    ],
};

/// Azure Front Door.
pub static O17: Outage = Outage {
    id: "O17",
    date: "2025-10-29",
    title: "Azure Front Door: it crashed after the gate",
    minutes: 480,
    what: "A configuration passed all checks and crashed what had taken it some time later, everywhere. The last good one had been overwritten by then.",
    source: OTHERS,
    timeline: &[
        (0, "edges crash"),
        (
            480,
            "the next day: the last good configuration is back, by waves",
        ),
    ],
};

/// One of our own.
pub static OWN: Outage = Outage {
    id: "upgrade",
    date: "2019-07-02",
    title: "A bad software deploy",
    minutes: 27,
    what: "What the outage of 2019-07-02 was first taken for: a new program that cannot serve, brought to every machine at once.",
    source: OTHERS,
    timeline: &[(0, "every machine runs the new program")],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_in_order_and_ends_with_the_outage() {
        for outage in [&O1, &O5, &O6, &O7, &O9, &O10, &O11, &O12, &O14, &O16, &O17] {
            let minutes: Vec<u32> = outage.timeline.iter().map(|(minute, _)| *minute).collect();
            assert!(minutes.is_sorted(), "{}", outage.id);
            assert_eq!(minutes.first(), Some(&0), "{}", outage.id);
            assert_eq!(minutes.last(), Some(&outage.minutes), "{}", outage.id);
        }
    }
}
