//! The one door of the rules: facts, catalog and history in, judgement out.
//!
//! Invariant: the judgement depends on what the facts say, never on the order in which they say it.

use crate::catalog::Catalog;
use crate::facts::Facts;
use crate::finding::Judgement;
use crate::history::History;
use crate::view::View;
use crate::{at_risk, bad_update, block_mode, blocked, by_design, degraded, exhaustion, failed, suspect};

/// Everything that the rules say of one host. Findings are sorted by rule and subject.
pub fn judge(facts: &Facts, catalog: &Catalog, history: &History) -> Judgement {
    let view = View::new(facts, catalog, history);
    let mut judgement = Judgement::default();
    blocked::judge(&view, &mut judgement);
    degraded::judge(&view, &mut judgement);
    at_risk::judge(&view, &mut judgement);
    by_design::judge(&view, &mut judgement);
    exhaustion::judge(&view, &mut judgement);
    block_mode::judge(&view, &mut judgement);
    bad_update::judge(&view, &mut judgement);
    suspect::rule::judge(&view, &mut judgement);
    failed::judge(&view, &mut judgement);
    judgement.findings.sort_by(|a, b| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)));
    judgement.cannot_tell.sort_by(|a, b| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)));
    judgement.forecasts.sort_by(|a, b| (&a.service, &a.taker).cmp(&(&b.service, &b.taker)));
    judgement
}
