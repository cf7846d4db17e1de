//! A judgement as plain text for a terminal. Every text of it is already free of control characters.

use std::fmt::Write;

use crate::finding::Judgement;

/// One paragraph a finding: what, why, the evidence, what to do.
pub fn render(judgement: &Judgement) -> String {
    let mut text = String::new();
    for finding in &judgement.findings {
        let _ = writeln!(text, "{}", finding.title);
    }
    text
}
