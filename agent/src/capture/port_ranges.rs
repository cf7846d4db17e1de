//! `netsh interface ipv4 show dynamicport` and `… show excludedportrange`: tables below a line of dashes, which say TCP or
//! UDP in their title and leave it to the command above whether IPv4 or IPv6 is meant. No I/O.

use rules::facts::{DynamicRange, Exclusion};
use rules::ports::{Family, Protocol};

use super::page::{Page, What};
use super::prompt::Prompts;
use crate::collect::netsh;

/// What a page tells of port ranges. Which excluded ranges were listed is kept, as a list may be empty.
#[derive(Debug, Default)]
pub(super) struct PortRanges {
    pub(super) dynamic: Vec<DynamicRange>,
    pub(super) excluded: Vec<(Protocol, Family, Vec<Exclusion>)>,
}

impl PortRanges {
    pub(super) fn extend(&mut self, more: Self) {
        self.dynamic.extend(more.dynamic);
        self.excluded.extend(more.excluded);
    }
}

const NO_FAMILY: &str = "no command above says whether these ports are of IPv4 or IPv6";

pub(super) fn take(page: &mut Page, prompts: &Prompts) -> PortRanges {
    let mut ranges = PortRanges::default();
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        let groups = rules_of(page.lines[index].text.trim());
        let Some((title, protocol)) = (1..=2).contains(&groups).then(|| title(page, index)).flatten() else { continue };
        let below = table(page, index);
        let family = prompts.above(index).and_then(family_of);
        let text = below.iter().map(|at| page.lines[*at].text.as_str()).collect::<Vec<_>>().join("\n");
        let Some(family) = family else {
            for at in [title, index].into_iter().chain(below) {
                page.refuse(at, NO_FAMILY);
            }
            continue;
        };
        if groups == 1 {
            let Ok(range) = netsh::dynamic_range(&text) else { continue };
            ranges.dynamic.push(DynamicRange { protocol, family, range });
        } else {
            let Ok(found) = netsh::excluded_ranges(&format!("---\n{text}")) else { continue };
            let exclusions = found.into_iter().map(|(range, administered)| Exclusion {
                protocol,
                family: Some(family),
                range,
                administered,
            });
            ranges.excluded.push((protocol, family, exclusions.collect()));
            page.take_headings(index, 1);
        }
        for at in [title, index].into_iter().chain(below) {
            page.take(at, What::PortRanges);
        }
    }
    ranges
}

/// Groups of dashes, if the line has nothing else.
fn rules_of(text: &str) -> usize {
    let is_rule = |word: &str| word.len() >= 4 && word.bytes().all(|byte| byte == b'-');
    if text.split_whitespace().all(is_rule) { text.split_whitespace().count() } else { 0 }
}

/// The line above that names the protocol.
fn title(page: &Page, index: usize) -> Option<(usize, Protocol)> {
    let above = (index.saturating_sub(4)..index).rev().filter(|at| page.lines[*at].is_free());
    above.take(2).find_map(|at| {
        let words = page.lines[at].text.split(|c: char| !c.is_ascii_alphanumeric());
        words.into_iter().find_map(super::netstat::protocol).map(|protocol| (at, protocol))
    })
}

/// The rows below, with the blank line that some languages have between, and the note behind the table.
fn table(page: &Page, index: usize) -> Vec<usize> {
    let mut rows = Vec::new();
    for at in index + 1..page.lines.len() {
        let line = &page.lines[at];
        if line.is_blank() {
            continue;
        }
        let text = line.text.trim();
        let is_row = text.starts_with(|c: char| c.is_ascii_digit())
            || text.starts_with('*')
            || (text.contains([':', '：']) && text.ends_with(|c: char| c.is_ascii_digit()));
        if !line.is_free() || !is_row {
            break;
        }
        rows.push(at);
    }
    rows
}

fn family_of(command: &str) -> Option<Family> {
    if !command.contains("dynamicport") && !command.contains("excludedportrange") {
        return None;
    }
    match (command.contains("ipv4"), command.contains("ipv6")) {
        (true, false) => Some(Family::Ipv4),
        (false, true) => Some(Family::Ipv6),
        _ => None,
    }
}
