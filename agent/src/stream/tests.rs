//! The stream against a table of moments, and against a model of the server with every way of losing and repeating
//! messages.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use proptest::prelude::*;
use proto::fleet::v1;
use proto::fleet::v1::agent_message::Kind as Said;
use proto::fleet::v1::server_message::Kind as Answer;
use proto::wire;
use proto::{Digests, SECTIONS};
use rules::delta;
use rules::facts::{Facts, Section, Service, ServiceState, Socket, SocketState};
use rules::ports::Protocol;
use rules::text::Text;

use super::{Ending, Input, Now, Output, Pacing, Stream};

fn at(milliseconds: u64) -> Now {
    let wall_clock = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
    let elapsed = Duration::from_millis(milliseconds);
    Now { elapsed, wall_clock: wall_clock + elapsed, random: 0.5 }
}

fn facts(ports: &[u16], state: ServiceState) -> Facts {
    let socket = |port: &u16| Socket {
        protocol: Protocol::Udp,
        address: IpAddr::from([0, 0, 0, 0]),
        scope: 0,
        port: *port,
        state: SocketState::Bound,
        pid: Some(1420),
        image: Some(Text::new("dns.exe")),
        process_started_at: None,
        services: Vec::new(),
        specific_port: None,
        bound_at: None,
    };
    let service = |name: &str, state| Service {
        name: Text::new(name),
        display_name: Text::default(),
        state,
        start: None,
        delayed: None,
        trigger_start: None,
        pid: None,
        exit_code: None,
        service_exit_code: None,
        image_path: None,
        account: None,
        depends_on: Vec::new(),
        state_since: None,
        recovery: None,
    };
    Facts {
        sockets: Section::Known(ports.iter().map(socket).collect()),
        services: Section::Known(vec![
            service("IAS", state),
            service("DNS", ServiceState::Running),
            service("Dhcp", ServiceState::Running),
        ]),
        ..Facts::default()
    }
}

fn observed(facts: Facts) -> Input {
    Input::Facts(Box::new(facts))
}

fn said(outputs: Vec<Output>) -> Vec<Said> {
    let spoken = |output| match output {
        Output::Send(message) => message.kind,
        _ => None,
    };
    outputs.into_iter().filter_map(spoken).collect()
}

fn reports(outputs: Vec<Output>) -> Vec<v1::Report> {
    let report = |said| match said {
        Said::Report(report) => Some(report),
        _ => None,
    };
    said(outputs).into_iter().filter_map(report).collect()
}

fn welcome(committed_seq: u64, send_full: &[v1::Section]) -> Input {
    let send_full = send_full.iter().map(|section| *section as i32).collect();
    Input::Message(Answer::Welcome(v1::Welcome { epoch: 3, committed_seq, send_full, pace: None }))
}

fn ack(seq: u64) -> Input {
    Input::Message(Answer::Ack(v1::Ack { seq, outcome: v1::Outcome::Applied as i32 }))
}

/// Connected, and everything sent and acknowledged up to report 1.
fn settled(pacing: Pacing) -> Stream {
    let mut stream = Stream::new([7; 16], pacing);
    assert_eq!(stream.step(at(0), observed(facts(&[1645, 1646], ServiceState::Stopped))), [Output::Connect]);
    let hello = said(stream.step(at(1), Input::Connected));
    assert!(matches!(hello.as_slice(), [Said::Hello(hello)] if hello.digests.len() == 7 && hello.epoch == 0));
    let sent = reports(stream.step(at(2), welcome(0, &SECTIONS)));
    assert_eq!((sent.len(), sent[0].seq, sent[0].sections.len()), (1, 1, 7));
    assert!(stream.step(at(3), ack(1)).is_empty());
    assert!(stream.is_settled());
    stream
}

#[test]
fn says_nothing_when_nothing_changed() {
    let mut stream = settled(Pacing::default());
    assert!(stream.step(at(4), observed(facts(&[1646, 1645], ServiceState::Stopped))).is_empty());
    assert!(stream.is_settled());
}

#[test]
fn sends_what_changed_and_nothing_else() {
    let mut stream = settled(Pacing::default());
    let sent = reports(stream.step(at(4), observed(facts(&[1645, 1646], ServiceState::Running))));
    assert_eq!(sent.len(), 1);
    let [section] = sent[0].sections.as_slice() else { panic!("{sent:?}") };
    assert_eq!(section.section(), v1::Section::Services);
    let Some(v1::section_report::Body::Delta(changes)) = &section.body else { panic!("{section:?}") };
    assert_eq!((changes.services_set.len(), changes.services_removed.len()), (1, 0));
    assert_eq!(section.digest.len(), 16);
}

#[test]
fn a_server_that_is_current_gets_nothing() {
    let mut stream = Stream::new([7; 16], Pacing::default());
    stream.step(at(0), observed(facts(&[1645], ServiceState::Stopped)));
    stream.step(at(1), Input::Connected);
    assert!(stream.step(at(2), welcome(0, &[])).is_empty());
    assert!(stream.is_settled());
}

#[test]
fn what_changes_before_the_first_welcome_is_told_against_what_the_hello_said() {
    let mut stream = Stream::new([7; 16], Pacing::default());
    stream.step(at(0), observed(facts(&[1645, 1646, 1812], ServiceState::Stopped)));
    stream.step(at(1), Input::Connected);
    assert!(stream.step(at(2), observed(facts(&[1645, 1646, 1813], ServiceState::Stopped))).is_empty());
    let sent = reports(stream.step(at(3), welcome(0, &[])));
    assert_eq!(sent.len(), 1);
    assert!(matches!(sent[0].sections[0].body, Some(v1::section_report::Body::Delta(_))));
}

#[test]
fn a_heartbeat_breaks_a_silence_and_only_a_silence() {
    let mut stream = settled(Pacing::default());
    assert_eq!(stream.wakes_at(Duration::from_millis(3)), Some(Duration::from_millis(60_002)));
    assert!(stream.step(at(60_001), Input::Tick).is_empty());
    let said = said(stream.step(at(60_002), Input::Tick));
    assert!(matches!(said.as_slice(), [Said::Heartbeat(beat)] if beat.seq == 1 && beat.digests.len() == 7));
    stream.step(at(70_000), observed(facts(&[1], ServiceState::Stopped)));
    assert_eq!(stream.wakes_at(at(70_000).elapsed), Some(at(130_000).elapsed));
}

#[test]
fn reports_made_while_away_are_sent_again_from_what_is_committed() {
    let mut stream = settled(Pacing::default());
    stream.step(at(10), observed(facts(&[1645], ServiceState::Stopped)));
    stream.step(at(11), Input::Disconnected(Ending::Lost));
    stream.step(at(12), observed(facts(&[], ServiceState::Stopped)));
    stream.step(at(13), observed(facts(&[], ServiceState::Running)));
    assert_eq!(stream.step(at(2000), Input::Tick), [Output::Connect]);
    let hello = said(stream.step(at(2001), Input::Connected));
    assert!(
        matches!(&hello[0], Said::Hello(hello) if (hello.pending_from, hello.pending_to, hello.epoch) == (2, 4, 3))
    );
    // Report 2 was committed; only its acknowledgement was lost.
    let sent = reports(stream.step(at(2002), welcome(2, &[])));
    assert_eq!(sent.iter().map(|report| report.seq).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_queue_that_overflowed_becomes_whole_sections_and_a_gap() {
    let mut stream = settled(Pacing { queue_bytes: 100, ..Pacing::default() });
    stream.step(at(10), Input::Disconnected(Ending::Lost));
    for port in 0..10 {
        stream.step(at(11), observed(facts(&[port], ServiceState::Stopped)));
    }
    stream.step(at(2000), Input::Tick);
    let hello = said(stream.step(at(2001), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.pending_to == 0));
    let sent = reports(stream.step(at(2002), welcome(1, &[v1::Section::Sockets])));
    assert_eq!(sent.len(), 1);
    let gap = sent[0].gap.unwrap();
    assert_eq!((gap.from_seq, gap.to_seq + 1), (2, sent[0].seq));
    assert!(matches!(sent[0].sections[0].body, Some(v1::section_report::Body::Full(_))));
}

#[test]
fn a_full_queue_holds_reports_back_while_connected() {
    let mut stream = settled(Pacing { queue_bytes: 1, ..Pacing::default() });
    assert_eq!(reports(stream.step(at(10), observed(facts(&[1], ServiceState::Stopped)))).len(), 1);
    assert!(stream.step(at(11), observed(facts(&[2], ServiceState::Stopped))).is_empty());
    assert!(stream.step(at(12), observed(facts(&[3], ServiceState::Stopped))).is_empty());
    let sent = reports(stream.step(at(13), ack(2)));
    assert_eq!((sent.len(), sent[0].seq, sent[0].gap), (1, 3, None));
}

#[test]
fn whole_sections_wait_as_long_as_the_server_says() {
    let mut stream = settled(Pacing::default());
    let pace = v1::Pace { send_after_ms: 500, collect_interval_ms: 9000, ..v1::Pace::default() };
    let outputs = stream.step(at(100), Input::Message(Answer::Pace(pace)));
    assert_eq!(outputs, [Output::CollectEvery(Duration::from_secs(9))]);
    let wish = v1::SendFull { sections: vec![v1::Section::Sockets as i32, 99] };
    assert!(stream.step(at(101), Input::Message(Answer::SendFull(wish))).is_empty());
    assert_eq!(stream.wakes_at(Duration::from_millis(101)), Some(Duration::from_millis(600)));
    let sent = reports(stream.step(at(600), Input::Tick));
    assert_eq!(sent.len(), 1);
    assert!(matches!(sent[0].sections[0].body, Some(v1::section_report::Body::Full(_))));
}

#[test]
fn a_server_that_does_not_greet_is_left() {
    let mut stream = Stream::new([7; 16], Pacing::default());
    stream.step(at(0), observed(Facts::default()));
    stream.step(at(1), Input::Connected);
    assert_eq!(stream.step(at(30_001), Input::Tick), [Output::Disconnect]);
    assert_eq!(stream.wakes_at(Duration::from_secs(31)), Some(Duration::from_millis(30_501)));
}

#[test]
fn a_revoked_agent_says_nothing_more() {
    let mut stream = settled(Pacing::default());
    let outputs = stream.step(at(10), Input::Message(Answer::Revoked(v1::Revoked {})));
    assert_eq!(outputs, [Output::Disconnect, Output::Stop]);
    assert!(stream.step(at(11), observed(facts(&[9], ServiceState::Running))).is_empty());
    assert!(stream.step(at(12), Input::Disconnected(Ending::Lost)).is_empty());
    assert_eq!(stream.wakes_at(Duration::from_secs(1)), None);
}

#[test]
fn an_agent_that_was_revoked_while_away_stops() {
    let mut stream = settled(Pacing::default());
    stream.step(at(10), Input::Disconnected(Ending::Lost));
    assert_eq!(stream.step(at(2000), Input::Tick), [Output::Connect]);
    stream.step(at(2001), Input::Connected);
    assert_eq!(stream.step(at(2002), Input::Disconnected(Ending::Revoked)), [Output::Stop]);
    assert_eq!(stream.wakes_at(Duration::from_secs(3)), None);
}

#[test]
fn a_recorded_host_speaks_by_its_own_clock() {
    let read_at = DateTime::from_timestamp_millis(1_218_000_000_000).unwrap();
    let mut stream = Stream::new([7; 16], Pacing::default());
    stream.step(at(0), observed(Facts { collected_at: Some(read_at), ..Facts::default() }));
    let hello = said(stream.step(at(1500), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.wall_clock_ms == 1_218_000_001_500));
}

/// The server, as the protocol describes it.
#[derive(Default)]
struct Server {
    facts: Facts,
    digests: Digests,
    committed: u64,
    applied: Vec<u64>,
    gaps: Vec<(u64, u64)>,
    assembly: wire::Assembly,
}

impl Server {
    /// `None`: the stream is refused.
    fn hear(&mut self, said: Said) -> Option<Vec<Answer>> {
        match said {
            Said::Hello(hello) => {
                self.assembly = wire::Assembly::default();
                let leads_on = hello.pending_from <= self.committed + 1 && hello.pending_to > self.committed;
                let digests = wire::digests_from_wire(hello.digests).unwrap();
                let differs = |(section, digest): &(&v1::Section, &Vec<u8>)| self.digests.get(section) != Some(*digest);
                let send_full = digests.iter().filter(differs).map(|(section, _)| *section as i32);
                let send_full = if leads_on { Vec::new() } else { send_full.collect() };
                let welcome = v1::Welcome { epoch: 1, committed_seq: self.committed, send_full, pace: None };
                Some(vec![Answer::Welcome(welcome)])
            }
            Said::Report(part) => {
                let seq = part.seq;
                if seq <= self.committed {
                    return Some(vec![Answer::Ack(v1::Ack { seq, outcome: v1::Outcome::Applied as i32 })]);
                }
                let is_due = seq == self.committed + 1
                    || part.gap.is_some_and(|gap| gap.from_seq <= self.committed + 1 && gap.to_seq + 1 == seq);
                if !is_due {
                    return None;
                }
                let Some(parts) = self.assembly.add(part).unwrap() else { return Some(Vec::new()) };
                let report = wire::from_report_parts(parts).unwrap().report;
                delta::apply(&mut self.facts, report.delta).expect("a report fits what came before it");
                self.digests.extend(report.digests);
                self.gaps.extend(report.gap.map(|gap| (gap.from_seq, gap.to_seq)));
                self.committed = seq;
                self.applied.push(seq);
                Some(vec![Answer::Ack(v1::Ack { seq, outcome: v1::Outcome::Applied as i32 })])
            }
            Said::Heartbeat(_) | Said::ConnectionList(_) => Some(Vec::new()),
        }
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
    AskForSockets,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => prop::collection::vec(1_u16..12, 0..8).prop_map(Move::Observe),
        5 => Just(Move::ServerReads),
        1 => Just(Move::ServerReadsTwice),
        5 => Just(Move::AgentReads),
        1 => Just(Move::Cut),
        3 => (1_u64..5000).prop_map(Move::Wait),
        1 => Just(Move::Forget),
        1 => Just(Move::AskForSockets),
    ];
    prop::collection::vec(one, 0..120)
}

/// An agent, a server, and what is under way between them.
struct World {
    stream: Stream,
    server: Server,
    clock_ms: u64,
    is_open: bool,
    to_server: VecDeque<Said>,
    to_agent: VecDeque<Answer>,
}

impl World {
    fn step(&mut self, input: Input) {
        let outputs = self.stream.step(at(self.clock_ms), input);
        for output in outputs {
            match output {
                Output::Connect => {
                    assert!(!self.is_open, "one connection at a time");
                    self.is_open = true;
                    self.step(Input::Connected);
                }
                Output::Send(message) => {
                    assert!(self.is_open, "nothing is sent without a connection");
                    self.to_server.push_back(message.kind.unwrap());
                }
                Output::Disconnect => self.close(),
                Output::CollectEvery(_) => {}
                Output::Renew | Output::Stop | Output::ListConnections(_) => panic!("nobody asked for it"),
            }
        }
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

    fn agent_reads(&mut self) {
        if let Some(answer) = self.to_agent.pop_front() {
            self.step(Input::Message(answer));
        }
    }

    fn play(&mut self, one: Move) {
        match one {
            Move::Observe(mut ports) => {
                ports.sort_unstable();
                ports.dedup();
                self.step(observed(facts(&ports, ServiceState::Running)));
            }
            Move::ServerReads => self.server_reads(1),
            Move::ServerReadsTwice => self.server_reads(2),
            Move::AgentReads => self.agent_reads(),
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
            Move::AskForSockets => {
                if self.is_open && self.server.committed > 0 {
                    let sections = vec![v1::Section::Sockets as i32];
                    self.to_agent.push_back(Answer::SendFull(v1::SendFull { sections }));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_server_comes_to_hold_the_truth_and_applies_each_report_once(moves in moves(), queue_bytes in 50_usize..2000) {
        let mut world = World {
            stream: Stream::new([1; 16], Pacing { queue_bytes, ..Pacing::default() }),
            server: Server::default(),
            clock_ms: 0,
            is_open: false,
            to_server: VecDeque::new(),
            to_agent: VecDeque::new(),
        };
        for one in moves {
            world.play(one);
        }
        let truth = facts(&[5, 6, 7], ServiceState::Stopped);
        world.step(observed(truth.clone()));
        for _ in 0..200 {
            world.play(Move::Wait(1000));
            world.play(Move::ServerReads);
            world.play(Move::AgentReads);
        }
        prop_assert!(world.stream.is_settled());
        let truth = wire::canonical(&truth);
        prop_assert_eq!(&world.server.digests, &proto::digests(&truth));
        prop_assert_eq!(proto::digests(&wire::canonical(&world.server.facts)), proto::digests(&truth));
        let mut next = 1;
        let mut gaps = world.server.gaps.iter().copied().peekable();
        for seq in world.server.applied {
            if let Some((from, to)) = gaps.next_if(|(_, to)| to + 1 == seq) {
                prop_assert_eq!(from, next, "a gap begins where the last report ended");
                next = to + 1;
            }
            prop_assert_eq!(seq, next, "each number once, in order");
            next += 1;
        }
    }
}
