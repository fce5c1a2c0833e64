//! A zone's rules for its cache: what they make of a request, as a plan that the cache takes without knowing of rules.
//!
//! Each rule that fits sets what it names, in the order of the file. A condition that cannot be worked out with the fuel there is
//! makes the request pass the cache by: whoever sent it pays with a slower answer, and nothing is stored under a key that a rule
//! did not get to see. Not here: the language of conditions, and what a plan means.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use seawall_cache::key::{Query, Shape};
use seawall_cache::policy::{EdgeTtl, Plan};
use seawall_guard::wrong_condition;
use seawall_model::document::{CacheKey, CacheRule, EdgeTtlMode, Eligibility, KeyQuery};
use seawall_model::{Fuel, RequestView, Wrong};
use seawall_rules::{Bounds, Expression, Lists, Patterns};

/// What all rules of a zone may cost one request, in units of fuel: a tenth of a millisecond.
const FUEL: u64 = 100_000;

/// What is found by scheme, host, path and query.
static USUAL: LazyLock<Shape> = LazyLock::new(Shape::default);
/// No query has another form.
static NO_QUERIES: LazyLock<Arc<[Query]>> = LazyLock::new(Arc::default);

/// The rules of a zone, compiled.
#[derive(Debug, Default)]
pub struct CacheRules(Option<Box<Rules>>);

#[derive(Debug)]
struct Rules {
    rules: Box<[Rule]>,
    queries: Arc<[Query]>,
}

#[derive(Debug)]
struct Rule {
    when: Expression,
    sets: Sets,
}

/// What a rule names.
#[derive(Debug)]
struct Sets {
    eligible: Option<bool>,
    edge_ttl: Option<EdgeTtl>,
    browser_ttl: Option<u32>,
    serve_stale: Option<u32>,
    stores_cookies: Option<bool>,
    shape: Option<Shape>,
}

/// What is to be done with a request.
#[derive(Debug)]
pub struct Planned<'z> {
    /// What the cache may do.
    pub plan: Plan,
    /// What it finds responses by.
    pub shape: &'z Shape,
    /// What of a query counts, by any rule of the zone.
    pub queries: &'z Arc<[Query]>,
    /// Why the cache is passed by, in a word.
    pub bypass: Option<&'static str>,
    /// What finding that out has cost.
    pub fuel: u64,
}

impl Planned<'_> {
    /// The cache has nothing to do with it.
    pub fn bypass() -> Self {
        Self {
            plan: Plan::BYPASS,
            shape: &USUAL,
            queries: &NO_QUERIES,
            bypass: None,
            fuel: 0,
        }
    }
}

impl CacheRules {
    /// Compiles rules; what is wrong with one is told with its place.
    pub fn compile(
        rules: &[CacheRule],
        lists: &Lists,
        bounds: &Bounds,
        patterns: &mut Patterns,
        mut problem: impl FnMut(usize, Wrong),
    ) -> Self {
        let mut compiled = Vec::with_capacity(rules.len());
        for (nth, rule) in rules.iter().enumerate() {
            match Expression::parse_sharing(&rule.when, lists, bounds, patterns) {
                Ok(when) => compiled.push(Rule {
                    when,
                    sets: Sets::from(rule),
                }),
                Err(error) => problem(nth, wrong_condition(&error, &rule.when)),
            }
        }
        let shapes = compiled.iter().filter_map(|rule| rule.sets.shape.as_ref());
        let mut queries: Vec<Query> = Vec::new();
        for query in shapes.map(|shape| &shape.query) {
            if *query != Query::All && !queries.contains(query) {
                queries.push(query.clone());
            }
        }
        Self((!compiled.is_empty()).then(|| {
            Box::new(Rules {
                rules: compiled.into(),
                queries: queries.into(),
            })
        }))
    }

    /// What of a query counts, by any of the rules.
    pub fn queries(&self) -> &Arc<[Query]> {
        self.0.as_ref().map_or(&NO_QUERIES, |rules| &rules.queries)
    }

    /// What they make of a request, where `plan` is what its zone has without them.
    pub fn plan(&self, plan: &Plan, view: &RequestView<'_>) -> Planned<'_> {
        let mut planned = Planned {
            plan: *plan,
            shape: &USUAL,
            queries: self.queries(),
            bypass: (!plan.eligible).then_some("development-mode"),
            fuel: 0,
        };
        let Some(rules) = self.0.as_ref().filter(|_| plan.eligible) else {
            return planned;
        };
        let mut fuel = Fuel::new(FUEL);
        for rule in &rules.rules {
            match rule.when.matches(view, &mut fuel) {
                Ok(true) => rule.sets.apply(&mut planned),
                Ok(false) => {}
                Err(_) => {
                    planned.plan = Plan::BYPASS;
                    planned.bypass = Some("rules-spent");
                    break;
                }
            }
        }
        planned.fuel = fuel.used();
        planned
    }
}

impl Sets {
    fn apply<'z>(&'z self, planned: &mut Planned<'z>) {
        let plan = &mut planned.plan;
        if let Some(eligible) = self.eligible {
            plan.eligible = eligible;
            planned.bypass = (!eligible).then_some("rule");
        }
        if let Some(ttl) = self.edge_ttl {
            plan.edge_ttl = ttl;
            // Whoever says how long has no need of a guess.
            plan.heuristics = false;
        }
        if self.browser_ttl.is_some() {
            plan.browser_ttl = self.browser_ttl;
        }
        if let Some(stale) = self.serve_stale {
            plan.serve_stale = Some(stale);
            plan.stands_in = stale;
        }
        if let Some(stores) = self.stores_cookies {
            plan.stores_cookies = stores;
        }
        if let Some(shape) = &self.shape {
            planned.shape = shape;
        }
    }
}

impl From<&CacheRule> for Sets {
    fn from(rule: &CacheRule) -> Self {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let overrides = rule.edge_ttl_mode == Some(EdgeTtlMode::OverrideOrigin);
        Self {
            eligible: rule.cache.map(|cache| cache == Eligibility::Eligible),
            edge_ttl: rule.edge_ttl.map(seconds).map(|ttl| match overrides {
                true => EdgeTtl::Override(ttl),
                false => EdgeTtl::Default(ttl),
            }),
            browser_ttl: rule.browser_ttl.map(seconds),
            serve_stale: rule.serve_stale.map(seconds),
            stores_cookies: rule.store_set_cookie,
            shape: rule.key.as_ref().map(shape),
        }
    }
}

fn shape(key: &CacheKey) -> Shape {
    let names = |names: &[String]| names.iter().map(|name| name.as_bytes().into()).collect();
    Shape {
        query: match &key.query {
            KeyQuery::All => Query::All,
            KeyQuery::Ignored => Query::Ignored,
            KeyQuery::Include(parameters) => Query::Only(names(parameters)),
            KeyQuery::Exclude(parameters) => Query::Except(names(parameters)),
        },
        fields: names(&key.headers),
        cookies: names(&key.cookies),
        device: key.device_type,
    }
}
