//! Texts that several hosts say, each held once.
//!
//! Invariant: what no host holds any more is forgotten when as many bytes came new as are held, so that hosts that say
//! something else with every report cannot fill the memory.

use std::collections::HashSet;

use rules::facts::Texts;
use rules::text::Text;

/// Less is not worth a look.
const FORGET_AFTER: usize = 16 << 20;
/// Beside the characters of a text: its two counts, and its place in the set.
const OVERHEAD: usize = 48;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    texts: HashSet<Text>,
    /// Bytes that are held, as far as is known.
    held: usize,
    /// Bytes that came since the last look.
    fresh: usize,
}

impl Shelf {
    pub(super) fn share(&mut self, of: &mut impl Texts) {
        of.each_text(&mut |text| self.share_text(text));
        if self.fresh > self.held.max(FORGET_AFTER) {
            self.forget();
        }
    }

    fn share_text(&mut self, text: &mut Text) {
        if text.is_empty() {
            return;
        }
        if let Some(known) = self.texts.get(text) {
            *text = known.clone();
            return;
        }
        self.fresh += text.len() + OVERHEAD;
        self.texts.insert(text.clone());
    }

    fn forget(&mut self) {
        self.texts.retain(|text| text.holders() > 1);
        self.texts.shrink_to_fit();
        self.held = self.texts.iter().map(|text| text.len() + OVERHEAD).sum();
        self.fresh = 0;
    }
}

#[cfg(test)]
mod tests {
    use rules::text::Text;

    use super::{FORGET_AFTER, OVERHEAD, Shelf};

    #[test]
    fn equal_texts_become_one() {
        let mut shelf = Shelf::default();
        let mut texts = vec![Text::new("Dnscache"), Text::new("Dnscache")];
        shelf.share(&mut texts);
        assert_eq!(texts.first().map(Text::holders), Some(3), "two and the shelf");
    }

    #[test]
    fn what_nobody_says_any_more_is_forgotten() {
        let mut shelf = Shelf::default();
        let mut kept = vec![Text::new("kept")];
        shelf.share(&mut kept);
        let long = "x".repeat(1_000);
        for number in 0..2 * FORGET_AFTER / (long.len() + OVERHEAD) {
            shelf.share(&mut vec![Text::new(&format!("{number}{long}"))]);
        }
        let bytes: usize = shelf.texts.iter().map(|text| text.len() + OVERHEAD).sum();
        assert!(bytes <= FORGET_AFTER + 2_000, "{bytes}");
        assert!(shelf.texts.contains(&Text::new("kept")));
    }
}
