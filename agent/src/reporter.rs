//! The stream with its spool: does what the stream orders of the disk, and hands on what it wishes of the network.
//!
//! Invariant: a report leaves here only after the spool has it.

use proto::fleet::v1;

use crate::spool::Spool;
use crate::stream::{Input, Now, Order, Output, Stream, Wish};

#[derive(Debug)]
pub(crate) struct Reporter {
    stream: Stream,
    spool: Spool,
}

impl Reporter {
    pub(crate) fn new(stream: Stream, spool: Spool) -> Self {
        Self { stream, spool }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(crate) fn step(&mut self, now: Now, input: Input) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut inputs = vec![input];
        // What was just made is sent from here, not read again.
        let mut fresh: Option<(u64, Vec<v1::Report>)> = None;
        while let Some(input) = inputs.pop() {
            for output in self.stream.step(now, self.spool.room(), input) {
                match output {
                    Output::Wish(wish) => wishes.push(wish),
                    Output::Order(Order::Keep { seq, parts }) => {
                        self.spool.keep(seq, &parts);
                        fresh = Some((seq, parts));
                    }
                    Output::Order(Order::Send { seq, gap }) => {
                        let made = fresh.take_if(|(made, _)| *made == seq).map(|(_, parts)| parts);
                        match made.or_else(|| self.spool.read(seq)) {
                            Some(parts) => wishes.extend(parts.into_iter().map(|part| Wish::report(part, gap))),
                            None => inputs.push(Input::Damaged(seq)),
                        }
                    }
                    Output::Order(Order::Forget { up_to }) => {
                        self.spool.forget(up_to);
                        // There is room now, perhaps for a report that was held back.
                        inputs.push(Input::Tick);
                    }
                    Output::Order(Order::GiveUp) => self.spool.give_up(),
                    Output::Order(Order::Begin { stream_id, highest }) => self.spool.begin(stream_id, highest),
                    Output::Order(Order::Note { epoch, digests }) => self.spool.note(epoch, &digests),
                }
            }
        }
        wishes
    }
}

#[cfg(test)]
mod tests;
