//! Which reports were made and not acknowledged: unbroken runs of numbers. Between two runs something was lost.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// First and last of each, in order.
    runs: VecDeque<(u64, u64)>,
}

impl Pending {
    pub(super) fn new(runs: VecDeque<(u64, u64)>) -> Self {
        Self { runs }
    }

    pub(super) fn push(&mut self, seq: u64) {
        match self.runs.back_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => self.runs.push_back((seq, seq)),
        }
    }

    /// Drops the reports up to and including `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        while self.runs.pop_front_if(|(_, last)| *last <= seq).is_some() {}
        if let Some((first, _)) = self.runs.front_mut() {
            *first = (*first).max(seq + 1);
        }
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// It turned out to be lost.
    pub(super) fn remove(&mut self, seq: u64) {
        let Some(at) = self.runs.iter().position(|(first, last)| (*first..=*last).contains(&seq)) else { return };
        let (first, last) = self.runs[at];
        self.runs.remove(at);
        if seq < last {
            self.runs.insert(at, (seq + 1, last));
        }
        if first < seq {
            self.runs.insert(at, (first, seq - 1));
        }
    }

    /// The lowest and the highest number. `None`: empty.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        Some((self.runs.front()?.0, self.runs.back()?.1))
    }

    /// The lowest number above `seq`.
    pub(super) fn after(&self, seq: u64) -> Option<u64> {
        self.runs.iter().find(|(_, last)| *last > seq).map(|(first, _)| (*first).max(seq + 1))
    }

    pub(super) fn count(&self) -> u64 {
        self.count_up_to(u64::MAX)
    }

    /// How many have a number up to and including `seq`.
    pub(super) fn count_up_to(&self, seq: u64) -> u64 {
        self.runs.iter().map(|(first, last)| ((*last).min(seq) + 1).saturating_sub(*first)).sum()
    }

    pub(super) fn has_hole(&self) -> bool {
        self.runs.len() > 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;

    #[test]
    fn counts_what_is_there_and_finds_what_comes_next() {
        let mut pending = Pending::new([(3, 5), (8, 9)].into());
        pending.push(10);
        assert_eq!((pending.span(), pending.count(), pending.has_hole()), (Some((3, 10)), 6, true));
        assert_eq!(
            (pending.after(0), pending.after(5), pending.after(8), pending.after(10)),
            (Some(3), Some(8), Some(9), None)
        );
        assert_eq!((pending.count_up_to(2), pending.count_up_to(7), pending.count_up_to(8)), (0, 3, 4));
        pending.remove(4);
        pending.remove(4);
        assert_eq!((pending.after(3), pending.count()), (Some(5), 5));
        pending.acknowledge(8);
        assert_eq!((pending.span(), pending.has_hole()), (Some((9, 10)), false));
        pending.acknowledge(20);
        assert!(pending.is_empty() && pending.count() == 0);
        pending.push(30);
        assert_eq!(pending.span(), Some((30, 30)));
    }
}
