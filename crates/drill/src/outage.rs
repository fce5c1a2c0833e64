//! The outages: what is known of them from their operators' own reports, for who watches a drill beside them. Figures are of those
//! reports; docs/outages says where they were read.

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
    timeline: &[
        (0, "5xx for all that needs a bot score"),
        (3, "first alarm"),
        (97, "some products go round it"),
        (129, "the file is found to be the cause"),
        (176, "a good file"),
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
    timeline: &[
        (0, "85 % of the network answers errors"),
        (1, "first alarm"),
        (40, "the customer's configuration is found"),
        (49, "95 % is well"),
    ],
};
