//! The stream and its spool on a real folder, against a model of the server: messages are lost and repeated, the program
//! is killed, files are torn, flipped and deleted, the disk is full.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use proptest::prelude::*;
use prost::Message as _;
use proto::Digests;
use proto::fleet::v1;
use proto::fleet::v1::agent_message::Kind as Said;
use proto::fleet::v1::server_message::Kind as Answer;
use proto::wire;
use rules::delta;
use rules::facts::Facts;

use super::Reporter;
use crate::spool::disk::faults::ROOM;
use crate::spool::{Limits, Spool};
use crate::stream::tests::held_by_dns;
use crate::stream::{Ending, Input, Now, Pacing, Stream, Wish};

const LIMITS: Limits = Limits { disk: 24 * 1024, memory: 12 * 1024 };

fn facts(ports: &[u16]) -> Facts {
    Facts { sockets: held_by_dns(ports), ..Facts::default() }
}

/// The server, as the protocol describes it.
#[derive(Default)]
struct Server {
    facts: Facts,
    digests: Digests,
    stream_id: Vec<u8>,
    committed: u64,
    /// Numbers that were applied or told as lost, of the present stream, in order.
    settled: u64,
    /// What came under each number of each stream.
    seen: BTreeMap<(Vec<u8>, u64), Vec<u8>>,
    assembly: wire::Assembly,
}

impl Server {
    /// `None`: the stream is refused.
    fn hear(&mut self, said: Said) -> Option<Vec<Answer>> {
        match said {
            Said::Hello(hello) => Some(vec![self.greet(hello)]),
            Said::Report(part) => self.read(part),
            Said::Heartbeat(beat) if beat.seq == self.committed => {
                let digests = wire::digests_from_wire(beat.digests).unwrap();
                let drifted = digests.into_iter().filter(|(section, digest)| self.digests.get(section) != Some(digest));
                let sections: Vec<_> = drifted.map(|(section, _)| section as i32).collect();
                Some(if sections.is_empty() { Vec::new() } else { vec![Answer::SendFull(v1::SendFull { sections })] })
            }
            Said::Heartbeat(_) | Said::ConnectionList(_) => Some(Vec::new()),
        }
    }

    fn greet(&mut self, hello: v1::Hello) -> Answer {
        self.assembly = wire::Assembly::default();
        if hello.stream_id != self.stream_id {
            self.stream_id = hello.stream_id;
            (self.committed, self.settled) = (0, 0);
        }
        let leads_on = hello.pending_from <= self.committed + 1 && hello.pending_to > self.committed;
        let digests = wire::digests_from_wire(hello.digests).unwrap();
        let is_wanted = |(section, digest): &(&v1::Section, &Vec<u8>)| match self.digests.get(section) {
            Some(held) => held.is_empty() || (!leads_on && held != *digest),
            None => !leads_on,
        };
        let send_full = digests.iter().filter(is_wanted).map(|(section, _)| *section as i32).collect();
        Answer::Welcome(v1::Welcome { epoch: hello.epoch + 1, committed_seq: self.committed, send_full, pace: None })
    }

    fn read(&mut self, part: v1::Report) -> Option<Vec<Answer>> {
        let seq = part.seq;
        let content = v1::Report { gap: None, ..part.clone() }.encode_to_vec();
        if part.parts == 1 {
            let before = self.seen.insert((self.stream_id.clone(), seq), content.clone());
            assert!(before.is_none_or(|before| before == content), "number {seq} was used twice");
        }
        let ack = Answer::Ack(v1::Ack { seq, outcome: v1::Outcome::Applied as i32 });
        if seq <= self.committed {
            return Some(vec![ack]);
        }
        let is_due = seq == self.committed + 1
            || part.gap.is_some_and(|gap| gap.from_seq <= self.committed + 1 && gap.to_seq + 1 == seq);
        if !is_due {
            return None;
        }
        let Some(parts) = self.assembly.add(part).unwrap() else { return Some(Vec::new()) };
        let report = wire::from_report_parts(parts).unwrap().report;
        if let Some(gap) = report.gap {
            assert_eq!(gap.from_seq, self.settled + 1, "a gap begins where the last report ended");
            self.settled = gap.to_seq;
        }
        assert_eq!(seq, self.settled + 1, "each number once, in order");
        (self.settled, self.committed) = (seq, seq);
        let sections: Vec<i32> = report.digests.keys().map(|section| *section as i32).collect();
        if delta::apply(&mut self.facts, report.delta).is_err() {
            self.digests.extend(report.digests.into_keys().map(|section| (section, Vec::new())));
            return Some(vec![ack, Answer::SendFull(v1::SendFull { sections })]);
        }
        self.digests.extend(report.digests);
        Some(vec![ack])
    }
}

#[derive(Clone, Debug)]
enum Move {
    Observe(Vec<u16>),
    ServerReads,
    ServerReadsTwice,
    AgentReads,
    Cut,
    Wait(u64),
    Forget,
    Crash,
    TornWrite(usize),
    TornRotation,
    BitFlip { file: usize, bit: usize },
    FlipMarks(usize),
    LoseFile(usize),
    DiskHasRoomFor(usize),
    DiskIsFine,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        12 => prop::collection::vec(1_u16..40, 0..30).prop_map(Move::Observe),
        14 => Just(Move::ServerReads),
        1 => Just(Move::ServerReadsTwice),
        14 => Just(Move::AgentReads),
        2 => Just(Move::Cut),
        8 => (1_u64..5000).prop_map(Move::Wait),
        1 => Just(Move::Forget),
        2 => Just(Move::Crash),
        1 => (0_usize..200).prop_map(Move::TornWrite),
        1 => Just(Move::TornRotation),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(file, bit)| Move::BitFlip { file, bit }),
        1 => (0_usize..1024).prop_map(Move::FlipMarks),
        1 => any::<usize>().prop_map(Move::LoseFile),
        1 => (0_usize..4000).prop_map(Move::DiskHasRoomFor),
        1 => Just(Move::DiskIsFine),
    ];
    prop::collection::vec(one, 0..200)
}

/// In memory where the system has such a folder: what is tested is order, not the disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

struct World {
    folder: tempfile::TempDir,
    reporter: Reporter,
    server: Server,
    clock_ms: u64,
    starts: u8,
    is_open: bool,
    to_server: VecDeque<Said>,
    to_agent: VecDeque<Answer>,
}

impl World {
    fn new() -> Self {
        ROOM.set(None);
        let folder = folder();
        let reporter = start(folder.path(), 0);
        let server = Server::default();
        let (to_server, to_agent) = Default::default();
        Self { folder, reporter, server, clock_ms: 0, starts: 1, is_open: false, to_server, to_agent }
    }

    fn step(&mut self, input: Input) {
        let wall_clock = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
        let elapsed = Duration::from_millis(self.clock_ms);
        let mut fresh_id = [self.starts; 16];
        fresh_id[..8].copy_from_slice(&self.clock_ms.to_le_bytes());
        let now = Now { elapsed, wall_clock: wall_clock + elapsed, random: 0.5, fresh_id };
        for wish in self.reporter.step(now, input) {
            match wish {
                Wish::Connect => {
                    self.is_open = true;
                    self.step(Input::Connected);
                }
                Wish::Send(message) if self.is_open => self.to_server.extend(message.kind),
                Wish::Disconnect => self.close(),
                Wish::Send(_) | Wish::CollectEvery(_) => {}
                Wish::Renew | Wish::Stop | Wish::ListConnections(_) => panic!("nobody asked for it"),
            }
        }
        let used: u64 = self.files().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(used <= LIMITS.disk, "{used} bytes");
    }

    fn close(&mut self) {
        self.is_open = false;
        self.to_server.clear();
        self.to_agent.clear();
    }

    fn cut(&mut self) {
        if self.is_open {
            self.close();
            self.step(Input::Disconnected(Ending::Lost));
        }
    }

    /// The program is killed and started again.
    fn crash(&mut self) {
        self.close();
        self.starts += 1;
        self.reporter = start(self.folder.path(), self.starts);
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some())
            .collect();
        files.sort();
        files
    }

    fn server_reads(&mut self, times: usize) {
        let Some(said) = self.to_server.pop_front() else { return };
        // A report that arrives twice, as after a connection that broke behind it.
        let times = if matches!(&said, Said::Report(report) if report.parts == 1) { times } else { 1 };
        for _ in 0..times {
            match self.server.hear(said.clone()) {
                Some(answers) => self.to_agent.extend(answers),
                None => return self.cut(),
            }
        }
    }

    fn play(&mut self, one: Move) {
        match one {
            Move::Observe(mut ports) => {
                ports.sort_unstable();
                ports.dedup();
                self.step(Input::Facts(Box::new(facts(&ports))));
            }
            Move::ServerReads => self.server_reads(1),
            Move::ServerReadsTwice => self.server_reads(2),
            Move::AgentReads => {
                if let Some(answer) = self.to_agent.pop_front() {
                    self.step(Input::Message(answer));
                }
            }
            Move::Cut => self.cut(),
            Move::Wait(milliseconds) => {
                self.clock_ms += milliseconds;
                self.step(Input::Tick);
            }
            // The stored section is damaged by hand: the next Hello finds it.
            Move::Forget => {
                self.server.digests.remove(&v1::Section::Sockets);
                self.cut();
            }
            Move::Crash => self.crash(),
            Move::TornWrite(length) => {
                if let Some(newest) = self.files().last() {
                    let mut bytes = fs::read(newest).unwrap();
                    let begun = bytes[..length.min(bytes.len().saturating_sub(1))].to_vec();
                    bytes.extend(begun.iter().take(35));
                    fs::write(newest, bytes).unwrap();
                }
                self.crash();
            }
            Move::TornRotation => {
                fs::write(self.folder.path().join("0000009999999999.reports"), b"PRT1").unwrap();
                self.crash();
            }
            Move::BitFlip { file, bit } => {
                let files = self.files();
                if !files.is_empty() {
                    flip(&files[file % files.len()], bit);
                }
            }
            Move::FlipMarks(bit) => flip(&self.folder.path().join("marks"), bit),
            Move::LoseFile(file) => {
                let files = self.files();
                if !files.is_empty() {
                    fs::remove_file(&files[file % files.len()]).unwrap();
                }
            }
            Move::DiskHasRoomFor(bytes) => ROOM.set(Some(bytes)),
            Move::DiskIsFine => ROOM.set(None),
        }
    }

    /// Everything works again, and there is time.
    fn heal(&mut self, truth: &Facts) {
        ROOM.set(None);
        self.step(Input::Facts(Box::new(truth.clone())));
        for _ in 0..60 {
            self.play(Move::Wait(61_000));
            for _ in 0..50 {
                self.play(Move::ServerReads);
                self.play(Move::AgentReads);
            }
        }
    }
}

fn start(folder: &Path, starts: u8) -> Reporter {
    let (spool, held) = Spool::open(folder, LIMITS, [starts | 0x80; 16]);
    Reporter::new(Stream::new(held, Vec::new(), Pacing::default()), spool)
}

fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    if !bytes.is_empty() {
        let at = bit % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        fs::write(path, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_server_comes_to_hold_the_truth_whatever_happens_to_messages_program_and_disk(moves in moves()) {
        let mut world = World::new();
        for one in moves {
            world.play(one);
        }
        let truth = facts(&[5, 6, 7]);
        world.heal(&truth);
        let truth = wire::canonical(&truth);
        prop_assert!(world.reporter.stream().is_settled());
        prop_assert_eq!(&world.server.digests, &proto::digests(&truth));
        prop_assert_eq!(proto::digests(&wire::canonical(&world.server.facts)), proto::digests(&truth));
    }
}

#[test]
fn what_happened_while_the_server_was_away_arrives_after_a_restart_report_by_report() {
    let mut world = World::new();
    world.step(Input::Facts(Box::new(facts(&[53]))));
    world.cut();
    for port in 1..=20 {
        world.step(Input::Facts(Box::new(facts(&[53, port]))));
    }
    world.crash();
    let truth = facts(&[53, 20]);
    world.heal(&truth);
    assert_eq!((world.server.committed, world.server.seen.len()), (21, 21));
    assert_eq!(world.server.digests, proto::digests(&wire::canonical(&truth)));
}

#[test]
fn a_damaged_record_costs_itself_and_nothing_before_or_after_it() {
    let mut world = World::new();
    world.step(Input::Facts(Box::new(facts(&[53]))));
    world.cut();
    for port in 1..=20 {
        world.step(Input::Facts(Box::new(facts(&[53, port]))));
    }
    let file = world.files().pop().unwrap();
    let middle = fs::read(&file).unwrap().len() * 8 / 2;
    flip(&file, middle);
    world.crash();
    world.heal(&facts(&[53, 20]));
    let arrived: Vec<u64> = world.server.seen.keys().map(|(_, seq)| *seq).filter(|seq| *seq <= 21).collect();
    assert_eq!(arrived.len(), 20, "{arrived:?}");
    assert!(arrived.first() == Some(&1) && arrived.last() == Some(&21), "{arrived:?}");
}
