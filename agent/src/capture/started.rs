//! `net start`: a sentence that ends with a colon, and below it the display names of started services. They are no key
//! names, and none is made of them. No I/O.

use rules::text::Text;

use super::page::{Page, What};

/// Takes the lists of a page.
pub(super) fn display_names(page: &mut Page) -> Vec<Text> {
    let mut names = Vec::new();
    let free: Vec<usize> = page.free().map(|(index, _)| index).collect();
    let mut at = 0;
    while at < free.len() {
        let heading = &page.lines[free[at]];
        let indent = heading.indent();
        at += 1;
        if !heading.text.trim_end().ends_with([':', '：']) {
            continue;
        }
        // A heading belongs to what comes right behind it.
        let inner = match free.get(at) {
            Some(first) if *first <= free[at - 1] + 2 => page.lines[*first].indent(),
            _ => continue,
        };
        let is_name = |index: &usize| {
            let line = &page.lines[*index];
            line.indent() == inner && !line.text.contains(" : ") && !line.text.contains('\t')
        };
        let run: Vec<usize> = free[at..].iter().copied().take_while(is_name).collect();
        let is_unbroken = run.last().zip(run.first()).is_some_and(|(last, first)| last - first < run.len() * 2);
        if inner <= indent || inner > 8 || run.len() < 2 || !is_unbroken {
            continue;
        }
        let heading = free[at - 1];
        for index in &run {
            names.push(Text::new(page.lines[*index].text.trim()));
            page.take(*index, What::StartedServices);
        }
        page.take(heading, What::StartedServices);
        at += run.len();
        // "The command completed successfully."
        if let Some(end) = free.get(at)
            && page.lines[*end].indent() <= indent
            && !page.lines[*end].text.contains([':', '\\'])
            && *end <= free[at - 1] + 2
        {
            page.take(*end, What::StartedServices);
            at += 1;
        }
    }
    names
}
