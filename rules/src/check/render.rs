//! A judgement as plain text for a terminal. Every text of it is already free of control characters.

use std::fmt::{self, Write};

use crate::finding::{Confidence, Finding, Judgement, Restart, Severity, Step};

/// One paragraph a finding: what, why, the evidence, what to do; then what cannot be told.
pub fn render(judgement: &Judgement) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_judgement(&mut text, judgement);
    text
}

fn write_judgement(text: &mut String, judgement: &Judgement) -> fmt::Result {
    if judgement.findings.is_empty() && judgement.cannot_tell.is_empty() {
        return writeln!(text, "No finding.");
    }
    for finding in &judgement.findings {
        write_finding(text, finding)?;
        writeln!(text)?;
    }
    for cannot_tell in &judgement.cannot_tell {
        writeln!(text, "UNKNOWN  {}", cannot_tell.reason)?;
        writeln!(text, "  {}", cannot_tell.rule)?;
        writeln!(text)?;
    }
    let (found, unknown) = (judgement.findings.len(), judgement.cannot_tell.len());
    writeln!(text, "{found} {}, {unknown} unknown.", if found == 1 { "finding" } else { "findings" })
}

fn write_finding(text: &mut String, finding: &Finding) -> fmt::Result {
    let severity = match finding.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "WARNING",
        Severity::Info => "INFO",
    };
    let confidence = match finding.confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    };
    writeln!(text, "{severity}  {}", finding.title)?;
    writeln!(text, "  {}, {confidence}", finding.rule)?;
    writeln!(text, "  {}", finding.cause)?;
    writeln!(text, "  Evidence:")?;
    for evidence in &finding.evidence {
        let at = evidence.at.map_or_else(|| "now".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
        writeln!(text, "    {at}  {} [{}]", evidence.text, evidence.source)?;
    }
    let remedy = &finding.remedy;
    let restart = match remedy.restart {
        Restart::None => "no restart",
        Restart::Service => "a service restarts",
        Restart::Server => "the server restarts",
    };
    writeln!(text, "  Do this ({}; {restart}): {}.", remedy.applies_to, remedy.summary)?;
    write_steps(text, &remedy.steps)?;
    writeln!(text, "  Risk: {}", remedy.risk)?;
    if !remedy.undo.is_empty() {
        writeln!(text, "  To undo:")?;
        write_steps(text, &remedy.undo)?;
    }
    writeln!(text, "  Proven when: {}", remedy.proven_when)
}

fn write_steps(text: &mut String, steps: &[Step]) -> fmt::Result {
    for (index, step) in steps.iter().enumerate() {
        writeln!(text, "    {}. {}", index + 1, step.text)?;
        if let Some(command) = &step.command {
            writeln!(text, "         {command}")?;
        }
    }
    Ok(())
}
