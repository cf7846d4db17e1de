//! The exact test of failures in strata: does the group with the update fail more often than the one without, where both
//! are drawn from strata of their own? With one stratum it is Fisher's exact test, one-sided.
//!
//! Given how many of a stratum fail in all, the number among the exposed is hypergeometric if the update does nothing; the
//! strata are independent, so their sum is the convolution. No approximation, whatever the counts.
//!
//! Source: N. E. Breslow and N. E. Day, Statistical Methods in Cancer Research I (IARC 1980), sections 4.2 to 4.4.

/// Comparable hosts, with and without the update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stratum {
    pub(super) exposed: u32,
    pub(super) exposed_failed: u32,
    pub(super) compared: u32,
    pub(super) compared_failed: u32,
}

impl Stratum {
    /// Only where there are both can anything be compared.
    pub(super) fn compares(self) -> bool {
        self.exposed > 0 && self.compared > 0
    }

    fn failed(self) -> u32 {
        self.exposed_failed + self.compared_failed
    }

    /// The probabilities of each possible number of failures among the exposed, from the lowest possible number on, if
    /// the odds of failure are `exp(log_odds_ratio)` times those of the compared.
    fn distribution(self, log_odds_ratio: f64) -> (u32, Vec<f64>) {
        let lowest = self.failed().saturating_sub(self.compared);
        let highest = self.failed().min(self.exposed);
        let mut logs = vec![0.0];
        let mut log = 0.0;
        for count in lowest..highest {
            // Weight of `count + 1` by that of `count`; the smallest possible number of failures of the compared is 0.
            let up = f64::from(self.exposed - count) * f64::from(self.failed() - count);
            let down = f64::from(count + 1) * f64::from(self.compared + count + 1 - self.failed());
            log += (up / down).ln() + log_odds_ratio;
            logs.push(log);
        }
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logs.iter().map(|log| (log - top).exp()).collect();
        let sum: f64 = weights.iter().sum();
        (lowest, weights.into_iter().map(|weight| weight / sum).collect())
    }
}

/// The probability of so many failures among the exposed, or more, if the odds ratio is `exp(log_odds_ratio)`.
pub(super) fn probability_of_so_many(strata: &[Stratum], log_odds_ratio: f64) -> f64 {
    let mut lowest = 0;
    let mut sums = vec![1.0];
    for stratum in strata.iter().filter(|stratum| stratum.compares() && stratum.failed() > 0) {
        let (from, probabilities) = stratum.distribution(log_odds_ratio);
        lowest += from;
        let mut next = vec![0.0; sums.len() + probabilities.len() - 1];
        for (left, sum) in sums.iter().enumerate() {
            for (right, probability) in probabilities.iter().enumerate() {
                next[left + right] += sum * probability;
            }
        }
        sums = next;
    }
    let seen: u32 = strata.iter().filter(|stratum| stratum.compares()).map(|stratum| stratum.exposed_failed).sum();
    let skipped = usize::try_from(seen.saturating_sub(lowest)).unwrap_or(usize::MAX);
    // The smallest first, so that they count.
    sums.iter().skip(skipped).rev().sum::<f64>().min(1.0)
}

/// The lower end of the exact one-sided 95 % interval of the common odds ratio. 0: it may be anything.
pub(super) fn odds_ratio_at_least(strata: &[Stratum]) -> f64 {
    const LEVEL: f64 = 0.05;
    let (mut low, mut high) = (-12.0, 24.0);
    if probability_of_so_many(strata, low) > LEVEL {
        return 0.0;
    }
    // The probability grows with the odds ratio.
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if probability_of_so_many(strata, middle) > LEVEL {
            high = middle;
        } else {
            low = middle;
        }
    }
    low.exp()
}

/// By how much the share that fails is higher among the exposed, over the strata, weighted as by Mantel and Haenszel.
pub(super) fn risk_difference(strata: &[Stratum]) -> f64 {
    let (mut difference, mut weights) = (0.0, 0.0);
    for stratum in strata.iter().filter(|stratum| stratum.compares()) {
        let (exposed, compared) = (f64::from(stratum.exposed), f64::from(stratum.compared));
        let weight = exposed * compared / (exposed + compared);
        let risks = f64::from(stratum.exposed_failed) / exposed - f64::from(stratum.compared_failed) / compared;
        difference += weight * risks;
        weights += weight;
    }
    if weights > 0.0 { difference / weights } else { 0.0 }
}

/// The smallest p that the numbers of hosts and failures allow: all failures that can be are among the exposed.
pub(super) fn smallest_probability(strata: &[Stratum]) -> f64 {
    strata
        .iter()
        .filter(|stratum| stratum.compares())
        .map(|stratum| stratum.distribution(0.0).1.pop().unwrap_or(1.0))
        .product()
}

/// A test by its p and by the smallest p that it could have had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tested {
    pub(super) p: f64,
    pub(super) smallest: f64,
}

/// Values q of Benjamini and Hochberg, in the order of `tests`: of all that are reported at q ≤ `level`, that share is
/// wrong on average. Tests that could not succeed whatever happened are not paid for (Tarone; Gilbert): their q is 1.
///
/// Sources: Y. Benjamini and Y. Hochberg, Journal of the Royal Statistical Society B 57 (1995) 289–300; P. B. Gilbert,
/// Applied Statistics 54 (2005) 143–158.
pub(super) fn discovery_rates(tests: &[Tested], level: f64) -> Vec<f64> {
    let mut smallest: Vec<f64> = tests.iter().map(|test| test.smallest).collect();
    smallest.sort_by(f64::total_cmp);
    // The least number of which no more than itself could pass its share of the level.
    let counts = 1..=u32::try_from(tests.len()).unwrap_or(u32::MAX);
    let mut able = counts.map(f64::from);
    let paid = able.find(|count| {
        let passing = smallest.partition_point(|smallest| *smallest <= level / count);
        u32::try_from(passing).is_ok_and(|passing| f64::from(passing) <= *count)
    });
    let Some(paid) = paid else { return Vec::new() };
    let mut order: Vec<usize> = (0..tests.len()).filter(|&place| tests[place].smallest <= level / paid).collect();
    order.sort_by(|&a, &b| tests[a].p.total_cmp(&tests[b].p));
    let counted = u32::try_from(order.len()).unwrap_or(u32::MAX);
    let mut rates = vec![1.0; tests.len()];
    let mut least = 1.0_f64;
    for (&place, rank) in order.iter().rev().zip((1..=counted).rev()) {
        least = least.min(tests[place].p * f64::from(counted) / f64::from(rank));
        rates[place] = least;
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::{
        Stratum, Tested, discovery_rates, odds_ratio_at_least, probability_of_so_many, risk_difference,
        smallest_probability,
    };

    fn stratum(exposed_failed: u32, exposed: u32, compared_failed: u32, compared: u32) -> Stratum {
        Stratum { exposed, exposed_failed, compared, compared_failed }
    }

    fn is_near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= 1e-9 * expected.abs().max(1e-6), "{value} is not {expected}");
    }

    #[test]
    fn one_stratum_is_the_exact_test_of_fisher() {
        // The lady tasting tea: 3 of 4 right, and all of them; 17/70 and 1/70.
        is_near(probability_of_so_many(&[stratum(3, 4, 1, 4)], 0.0), 17.0 / 70.0);
        is_near(probability_of_so_many(&[stratum(4, 4, 0, 4)], 0.0), 1.0 / 70.0);
        // C(10,5)·C(5,0)/C(15,5): all five failures among the ten exposed.
        is_near(probability_of_so_many(&[stratum(5, 10, 0, 5)], 0.0), 252.0 / 3003.0);
    }

    #[test]
    fn strata_multiply_and_those_without_a_comparison_say_nothing() {
        let one = stratum(4, 4, 0, 4);
        is_near(probability_of_so_many(&[one, one], 0.0), 1.0 / 4900.0);
        is_near(probability_of_so_many(&[one, stratum(50, 50, 0, 0), stratum(0, 0, 3, 9)], 0.0), 1.0 / 70.0);
        is_near(probability_of_so_many(&[], 0.0), 1.0);
    }

    /// Simpson's paradox: more failures with the update in all, none in either stratum.
    #[test]
    fn strata_that_fail_at_different_rates_do_not_make_an_effect() {
        let strata = [stratum(40, 80, 10, 20), stratum(1, 20, 4, 80)];
        assert!(probability_of_so_many(&strata, 0.0) > 0.4);
        assert!(probability_of_so_many(&[stratum(41, 100, 14, 100)], 0.0) < 1e-4);
        assert!(risk_difference(&strata).abs() < 0.01);
    }

    #[test]
    fn large_counts_stay_within_bounds() {
        let p = probability_of_so_many(&[stratum(900, 3000, 100, 3000)], 0.0);
        assert!(p > 0.0 && p < 1e-100, "{p}");
        let odds = odds_ratio_at_least(&[stratum(900, 3000, 100, 3000)]);
        assert!((10.0..13.0).contains(&odds), "{odds}");
    }

    #[test]
    fn the_odds_ratio_has_an_exact_lower_end() {
        // At that odds ratio, so many failures or more have a probability of 5 %.
        let strata = [stratum(14, 120, 1, 400)];
        let at_least = odds_ratio_at_least(&strata);
        assert!((probability_of_so_many(&strata, at_least.ln()) - 0.05).abs() < 1e-6);
        assert!(at_least > 8.0 && at_least < 14.0 * 399.0 / 106.0, "{at_least}");
        is_near(odds_ratio_at_least(&[stratum(0, 5, 3, 5)]), 0.0);
        is_near(risk_difference(&strata), 14.0 / 120.0 - 1.0 / 400.0);
    }

    #[test]
    fn discovery_rates_grow_with_the_number_of_tests_that_could_succeed() {
        let test = |p, smallest| Tested { p, smallest };
        is_near(discovery_rates(&[test(0.01, 0.001)], 0.05)[0], 0.01);
        let rates = discovery_rates(&[test(0.02, 1e-5), test(0.001, 1e-5), test(0.9, 1e-5)], 0.05);
        is_near(rates[1], 0.001 * 3.0);
        is_near(rates[0], 0.02 * 3.0 / 2.0);
        is_near(rates[2], 0.9);
        // Three failures in all cannot show anything, so they do not weigh on what can.
        let rates = discovery_rates(&[test(0.01, 1e-5), test(0.2, 0.2), test(0.3, 0.3)], 0.05);
        is_near(rates[0], 0.01);
        is_near(rates[1], 1.0);
        assert!(discovery_rates(&[], 0.05).is_empty());
        is_near(smallest_probability(&[stratum(1, 4, 3, 4), stratum(0, 4, 1, 4)]), 1.0 / 140.0);
    }
}
