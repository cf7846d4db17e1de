//! Reports that were made and not acknowledged, in order, without holes.

use std::collections::VecDeque;

use prost::Message as _;
use proto::fleet::v1;

#[derive(Debug, Default)]
pub(super) struct Queue {
    reports: VecDeque<Pending>,
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    seq: u64,
    parts: Vec<v1::Report>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, seq: u64, parts: Vec<v1::Report>) {
        let bytes = parts.iter().map(v1::Report::encoded_len).sum();
        self.bytes += bytes;
        self.reports.push_back(Pending { seq, parts, bytes });
    }

    /// Drops the reports up to and including `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        while let Some(report) = self.reports.pop_front_if(|report| report.seq <= seq) {
            self.bytes -= report.bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The lowest and the highest number. `None`: empty.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        Some((self.reports.front()?.seq, self.reports.back()?.seq))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// As they travel.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &v1::Report> {
        self.reports.iter().flat_map(|report| &report.parts)
    }
}
