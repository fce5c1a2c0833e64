//! What a look costs: `cargo test --release -p seawall-cache -- --ignored --nocapture cost`.

use std::time::Instant;

use super::tests::{key, request, store};
use super::*;
use crate::key::{Parts, Shape};
use crate::policy::{Plan, advice, consider};

#[test]
#[ignore = "long: a measurement, printed"]
fn cost() {
    const TIMES: u32 = 1_000_000;
    let cache = Cache::new(Size {
        bytes: 256 << 20,
        zone_share: 100,
    });
    let requests: Vec<RequestHead> = (0..1_000)
        .map(|number| request(&format!("/assets/some/file-{number}.css?v=17"), &[]))
        .collect();
    for asked in &requests {
        store(&cache, &key(asked), asked, &[("x", "y")], &[0; 1_024]);
    }
    let shape = Shape::default();
    let each = |name: &str, run: &dyn Fn(&RequestHead)| {
        let began = Instant::now();
        for nth in 0..TIMES {
            run(&requests[nth as usize % 1_000]);
        }
        println!(
            "{name:<24} {:>7.0} ns",
            began.elapsed().as_nanos() as f64 / f64::from(TIMES)
        );
    };
    let of = |asked: &RequestHead| {
        let parts = Parts {
            zone: 1,
            https: true,
            request: asked,
            shape: &shape,
        };
        Arc::new(Key::of(&parts).unwrap())
    };
    each("key", &|asked| {
        std::hint::black_box(of(asked));
    });
    each("key and find", &|asked| {
        std::hint::black_box(cache.find(&of(asked), asked));
    });
    each("key, find, decide", &|asked| {
        let Found::Entry(entry) = cache.find(&of(asked), asked) else {
            panic!("it is stored");
        };
        let advised = advice(asked, &Plan::STANDARD);
        let used = consider(&entry.life, &advised, super::tests::NOW, None);
        std::hint::black_box(used);
    });
    let mut head = seawall_model::ResponseHead::default();
    let began = Instant::now();
    for nth in 0..TIMES {
        let asked = &requests[nth as usize % 1_000];
        if let Found::Entry(entry) = cache.find(&of(asked), asked) {
            entry.head.fill(&mut head);
        }
        std::hint::black_box(&head);
    }
    println!(
        "all, and the head filled {:>7.0} ns",
        began.elapsed().as_nanos() as f64 / f64::from(TIMES)
    );
}
