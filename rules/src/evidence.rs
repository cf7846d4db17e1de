//! Evidence that several rules give in the same words.

use crate::catalog::Claim;
use crate::finding::Evidence;
use crate::ports::Port;

/// True at the time of the report.
pub(crate) fn now(text: impl Into<String>, source: &str) -> Evidence {
    Evidence { at: None, text: text.into(), source: source.to_owned() }
}

/// That the service needs its port, and who says so.
pub(crate) fn need(claim: &Claim) -> Evidence {
    let Claim { product, port, sources, .. } = claim;
    now(format!("{product} needs {port} ({})", sources.first().map_or("recalled", |source| source)), claim.source())
}

/// In order, each once.
pub(crate) fn distinct(ports: impl IntoIterator<Item = Port>) -> Vec<Port> {
    let mut ports: Vec<Port> = ports.into_iter().collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}
