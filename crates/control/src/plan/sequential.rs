//! The sequential test: whether the candidate does worse than what it is compared with, by a number that may be looked at
//! after every request without paying for it.
//!
//! Two arms see `n_c` and `n_b` requests; `x` bad events fall on the candidate and `y` on the base. If the candidate is no worse
//! than `margin` times the base, each bad event falls on it with a probability of at most
//! `θ0 = margin·n_c / (margin·n_c + n_b)`, whatever the rate of bad events is and however it varies with the hour, since both
//! arms share the time. Against it stands a mixture of all larger probabilities, with a Beta(a, b) prior cut off below `θ0`
//! (Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data", NeurIPS 2022):
//!
//! ```text
//!        ∫θ0..1 θ^x (1−θ)^y θ^(a−1) (1−θ)^(b−1) dθ       1          B(a+x, b+y) · (1 − I_θ0(a+x, b+y))
//! LR  =  ----------------------------------------- · ----------- = ------------------------------------------
//!           ∫θ0..1 θ^(a−1) (1−θ)^(b−1) dθ            θ0^x (1−θ0)^y    B(a, b) · (1 − I_θ0(a, b)) · θ0^x (1−θ0)^y
//! ```
//!
//! with `B` the beta function and `I` the regularised incomplete one. `LR` is a martingale if the probability is `θ0` and a
//! supermartingale if it is smaller, so that by Ville's inequality it exceeds `1/α` ever with a probability of `α` at most.
//! `a = 0.1, b = 1` is nearly flat in `log θ`: a doubling and a total fault are both expected.
//!
//! What that needs and what it does not have: `θ0` is one number over the time of a step. When a step changes the share, the
//! counts of the steps before are still in it; each step is then a test of its own, and a rollout's error is at most the number
//! of its steps (six) times `α`.

/// The prior: nearly flat in the logarithm of the probability.
const PRIOR: (f64, f64) = (0.1, 1.0);

/// The chance of a false alarm of one metric in one step, however often it is looked at.
pub const ALPHA: f64 = 1e-4;

/// What one arm saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bad events.
    pub bad: u64,
    /// Requests.
    pub requests: u64,
}

/// The natural logarithm of `LR` for two arms; 0 if nothing can be said.
pub fn worse(candidate: Seen, base: Seen, margin: f64) -> f64 {
    let (of_candidate, of_base) = (margin * candidate.requests as f64, base.requests as f64);
    evidence(
        candidate.bad,
        base.bad,
        of_candidate / (of_candidate + of_base),
    )
}

/// The natural logarithm of `LR` for a rate: whether bad events are more than `rate` of all, 0 to 1.
pub fn above(seen: Seen, rate: f64) -> f64 {
    evidence(seen.bad, seen.requests.saturating_sub(seen.bad), rate)
}

/// Whether this evidence is enough to reject at [`ALPHA`].
pub fn rejects(evidence: f64) -> bool {
    evidence > -ALPHA.ln()
}

/// `ln LR` of `x` events against `y`, where they should be at most `rate` of all. Never below 0: what speaks for the candidate is
/// not kept against later harm.
fn evidence(x: u64, y: u64, rate: f64) -> f64 {
    let (x, y) = (x as f64, y as f64);
    // No more than expected: LR is at most 1. It also keeps the incomplete beta function out of its far tails.
    if !(rate > 0.0 && rate < 1.0) || x <= rate * (x + y) {
        return 0.0;
    }
    let (a, b) = PRIOR;
    let mixture = ln_beta(a + x, b + y) + ln_above(rate, a + x, b + y);
    let prior = ln_beta(a, b) + ln_above(rate, a, b);
    let null = x * rate.ln() + y * (-rate).ln_1p();
    let evidence = mixture - prior - null;
    if evidence.is_finite() {
        evidence.max(0.0)
    } else {
        0.0
    }
}

/// `ln Γ(x)` for `x > 0`: Stirling's series from 10 on (DLMF 5.11.1), below it by `Γ(x+1) = x·Γ(x)`. Absolute error below 1e-12 for
/// small `x`, relative below 1e-15 for large.
fn ln_gamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let square = x * x;
    let series = (1.0 / 12.0
        - (1.0 / 360.0
            - (1.0 / 1_260.0 - (1.0 / 1_680.0 - 1.0 / (1_188.0 * square)) / square) / square)
            / square)
        / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// `ln(1 − I_x(a, b))`: the logarithm of the mass of Beta(a, b) above `x`.
fn ln_above(x: f64, a: f64, b: f64) -> f64 {
    // 1 − I_x(a, b) = I_(1−x)(b, a); of the two the one whose continued fraction converges fast.
    if 1.0 - x < (b + 1.0) / (a + b + 2.0) {
        ln_fraction(1.0 - x, b, a)
    } else {
        (-ln_fraction(x, a, b).exp()).ln_1p()
    }
}

/// `ln I_x(a, b)` for `x` below the mean: the continued fraction DLMF 8.17.22 by Lentz's method. It takes some
/// `√max(a, b)` rounds.
fn ln_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const ROUNDS: u32 = 20_000;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for round in 1..=ROUNDS {
        let m = f64::from(round);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            step *= d * c;
        }
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    a * x.ln() + b * (-x).ln_1p() - a.ln() - ln_beta(a, b) + fraction.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral by the rule of rectangles in `log θ`, with nothing of the above but the prior.
    fn by_hand(x: u64, y: u64, rate: f64) -> f64 {
        let steps = 400_000;
        let (mut mixture, mut prior) = (0.0, 0.0);
        for step in 0..steps {
            let at = rate.ln() * (1.0 - (f64::from(step) + 0.5) / f64::from(steps));
            let (theta, rest) = (at.exp(), -at.exp_m1());
            let weight = theta.powf(PRIOR.0);
            let ratio = x as f64 * (theta / rate).ln() + y as f64 * (rest / (1.0 - rate)).ln();
            mixture += weight * ratio.exp();
            prior += weight;
        }
        (mixture / prior).ln()
    }

    #[test]
    fn it_is_the_integral_that_the_formula_says() {
        for (x, y, rate) in [
            (1, 0, 0.05),
            (5, 0, 0.05),
            (5, 3, 0.2),
            (12, 40, 0.1),
            (3, 900, 0.001),
            (150, 100, 0.5),
            (30, 1, 0.9),
            (400, 3_000, 0.09),
        ] {
            let (ours, theirs) = (evidence(x, y, rate), by_hand(x, y, rate).max(0.0));
            assert!(
                (ours - theirs).abs() < 1e-4 * theirs.max(1.0),
                "{x} {y} {rate}: {ours} and {theirs}"
            );
        }
    }

    #[test]
    fn known_values() {
        // Γ(1/2) = √π; Γ(11) = 10!
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-12);
        assert!((ln_gamma(11.0) - 3_628_800_f64.ln()).abs() < 1e-12);
        // I_x(1, 1) = x; I_(1/2)(a, a) = 1/2; 1 − I_x(1, b) = (1 − x)^b
        assert!((ln_above(0.3, 1.0, 1.0) - 0.7_f64.ln()).abs() < 1e-12);
        assert!((ln_above(0.5, 7.5, 7.5) - 0.5_f64.ln()).abs() < 1e-12);
        assert!((ln_above(0.2, 1.0, 400.0) - 400.0 * 0.8_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_of_nothing_and_numbers_stay_numbers() {
        let none = Seen::default();
        let all = Seen {
            bad: u64::MAX,
            requests: u64::MAX,
        };
        for (candidate, base) in [(none, none), (all, none), (none, all), (all, all)] {
            for margin in [0.0, 1.0, 1.5, f64::NAN, f64::INFINITY] {
                let evidence = worse(candidate, base, margin);
                assert!(evidence.is_finite() && evidence >= 0.0);
            }
        }
        let many = |bad| Seen {
            bad,
            requests: 1_000_000_000,
        };
        assert!(rejects(worse(many(10_100_000), many(10_000_000), 1.0)));
        assert!(!rejects(worse(many(10_001_000), many(10_000_000), 1.0)));
        assert!(!rejects(worse(many(9_000_000), many(10_000_000), 1.0)));
    }

    #[test]
    fn a_total_fault_costs_few_requests_and_a_doubling_some_hundred() {
        let base = Seen {
            bad: 10,
            requests: 19_000,
        };
        let bad = |bad, requests| rejects(worse(Seen { bad, requests }, base, 1.0));
        let total = (1..1_000).find(|n| bad(*n, *n)).expect("found");
        assert!(total <= 5, "{total} requests of a total fault");
        assert!(!bad(1, 1_000), "one error in a thousand tells nothing");
    }

    /// Ville's inequality, tried: looked at after every event, over many runs without a difference.
    #[test]
    fn looking_at_every_event_does_not_pay_for_false_alarms() {
        let mut state = 7_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        // At a bound of 1/20 rather than 1e-4, so that there is something to count.
        let (rate, bound, runs) = (0.05, 20_f64.ln(), 2_000);
        let mut alarms = 0;
        for _ in 0..runs {
            let (mut x, mut y) = (0, 0);
            for _ in 0..300 {
                if random() < rate {
                    x += 1;
                } else {
                    y += 1;
                }
                if evidence(x, y, rate) > bound {
                    alarms += 1;
                    break;
                }
            }
        }
        println!("measured: sequential test, alarms of 2,000 runs at alpha 0.05 = {alarms} runs");
        assert!(alarms <= runs / 20, "{alarms} of {runs}");
        assert!(alarms > 0, "a test that never rejects is none");
    }
}
