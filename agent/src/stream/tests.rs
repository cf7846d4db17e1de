//! The stream against a table of moments.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::DateTime;
use prost::Message as _;
use proto::SECTIONS;
use proto::fleet::v1;
use proto::fleet::v1::agent_message::Kind as Said;
use proto::fleet::v1::server_message::Kind as Answer;
use rules::facts::{Facts, Section, Service, ServiceState, Socket, SocketState};
use rules::ports::Protocol;
use rules::text::Text;

use super::{Ending, Held, Input, Now, Order, Output, Pacing, Room, Stream, Wish};

fn at(milliseconds: u64) -> Now {
    let wall_clock = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
    let elapsed = Duration::from_millis(milliseconds);
    Now { elapsed, wall_clock: wall_clock + elapsed, random: 0.5, fresh_id: [9; 16] }
}

/// A stream whose spool is a map.
struct Bench {
    stream: Stream,
    kept: BTreeMap<u64, Vec<v1::Report>>,
    total: u64,
}

impl Bench {
    fn new(held: Held) -> Self {
        Self { stream: Stream::new(held, vec![1; 32], Pacing::default()), kept: BTreeMap::new(), total: 1 << 20 }
    }

    fn fresh() -> Self {
        Self::new(Held::nothing([7; 16]))
    }

    fn step(&mut self, now: Now, input: Input) -> Vec<Wish> {
        let used: usize = self.kept.values().flatten().map(v1::Report::encoded_len).sum();
        let room = Room { free: self.total.saturating_sub(used as u64), total: self.total };
        let mut wishes = Vec::new();
        for output in self.stream.step(now, room, input) {
            match output {
                Output::Wish(wish) => wishes.push(wish),
                Output::Order(Order::Keep { seq, parts }) => drop(self.kept.insert(seq, parts)),
                Output::Order(Order::Send { seq, gap }) => {
                    wishes.extend(self.kept[&seq].iter().map(|part| Wish::report(part.clone(), gap)));
                }
                Output::Order(Order::Forget { up_to }) => {
                    self.kept.retain(|seq, _| *seq > up_to);
                    wishes.extend(self.step(now, Input::Tick));
                }
                Output::Order(Order::GiveUp | Order::Begin { .. }) => self.kept.clear(),
                Output::Order(Order::Note { .. }) => {}
            }
        }
        wishes
    }
}

/// UDP ports of one dns.exe.
pub(crate) fn held_by_dns(ports: &[u16]) -> Section<Vec<Socket>> {
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
    Section::Known(ports.iter().map(socket).collect())
}

fn facts(ports: &[u16], state: ServiceState) -> Facts {
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
        sockets: held_by_dns(ports),
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

fn said(outputs: Vec<Wish>) -> Vec<Said> {
    let spoken = |output| match output {
        Wish::Send(message) => message.kind,
        _ => None,
    };
    outputs.into_iter().filter_map(spoken).collect()
}

fn reports(outputs: Vec<Wish>) -> Vec<v1::Report> {
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
fn settled() -> Bench {
    let mut stream = Bench::fresh();
    assert_eq!(stream.step(at(0), observed(facts(&[1645, 1646], ServiceState::Stopped))), [Wish::Connect]);
    let hello = said(stream.step(at(1), Input::Connected));
    assert!(
        matches!(hello.as_slice(), [Said::Hello(hello)] if hello.digests.len() == SECTIONS.len() && hello.epoch == 0)
    );
    let sent = reports(stream.step(at(2), welcome(0, &SECTIONS)));
    assert_eq!((sent.len(), sent[0].seq, sent[0].sections.len()), (1, 1, SECTIONS.len()));
    assert!(stream.step(at(3), ack(1)).is_empty());
    assert!(stream.stream.is_settled());
    stream
}

#[test]
fn says_nothing_when_nothing_changed() {
    let mut stream = settled();
    assert!(stream.step(at(4), observed(facts(&[1646, 1645], ServiceState::Stopped))).is_empty());
    assert!(stream.stream.is_settled());
}

#[test]
fn sends_what_changed_and_nothing_else() {
    let mut stream = settled();
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
    let mut stream = Bench::fresh();
    stream.step(at(0), observed(facts(&[1645], ServiceState::Stopped)));
    stream.step(at(1), Input::Connected);
    assert!(stream.step(at(2), welcome(0, &[])).is_empty());
    assert!(stream.stream.is_settled());
}

#[test]
fn what_changes_before_the_first_welcome_is_told_against_what_the_hello_said() {
    let mut stream = Bench::fresh();
    stream.step(at(0), observed(facts(&[1645, 1646, 1812], ServiceState::Stopped)));
    stream.step(at(1), Input::Connected);
    assert!(stream.step(at(2), observed(facts(&[1645, 1646, 1813], ServiceState::Stopped))).is_empty());
    let sent = reports(stream.step(at(3), welcome(0, &[])));
    assert_eq!(sent.len(), 1);
    assert!(matches!(sent[0].sections[0].body, Some(v1::section_report::Body::Delta(_))));
}

#[test]
fn a_heartbeat_breaks_a_silence_and_only_a_silence() {
    let mut stream = settled();
    assert_eq!(stream.stream.wakes_at(Duration::from_millis(3)), Some(Duration::from_millis(60_002)));
    assert!(stream.step(at(60_001), Input::Tick).is_empty());
    let said = said(stream.step(at(60_002), Input::Tick));
    assert!(matches!(said.as_slice(), [Said::Heartbeat(beat)] if beat.seq == 1 && beat.digests.is_empty()));
    let said = self::said(stream.step(at(900_002), Input::Tick));
    assert!(
        matches!(said.as_slice(), [Said::Heartbeat(beat)] if beat.seq == 1 && beat.digests.len() == SECTIONS.len())
    );
    stream.step(at(970_000), observed(facts(&[1], ServiceState::Stopped)));
    assert_eq!(stream.stream.wakes_at(at(970_000).elapsed), Some(at(1_030_000).elapsed));
}

#[test]
fn a_host_that_always_has_something_to_report_says_what_its_clock_shows() {
    let mut stream = settled();
    let mut beats = Vec::new();
    for (seq, minute) in (2..).zip(1..40_u64) {
        let time = at(minute * 60_000);
        let state = if minute % 2 == 0 { ServiceState::Stopped } else { ServiceState::Running };
        let said = said(stream.step(time, observed(facts(&[1645, 1646], state))));
        assert!(matches!(&said[0], Said::Report(report) if report.seq == seq));
        if let Some(Said::Heartbeat(beat)) = said.get(1) {
            assert_eq!((beat.seq, beat.digests.len()), (seq, SECTIONS.len()));
            beats.push(minute);
        }
        stream.step(time, ack(seq));
    }
    assert_eq!(beats, [16, 31]);
}

#[test]
fn reports_made_while_away_are_sent_again_from_what_is_committed() {
    let mut stream = settled();
    stream.step(at(10), observed(facts(&[1645], ServiceState::Stopped)));
    stream.step(at(11), Input::Disconnected(Ending::Lost));
    stream.step(at(12), observed(facts(&[], ServiceState::Stopped)));
    stream.step(at(13), observed(facts(&[], ServiceState::Running)));
    assert_eq!(stream.step(at(2000), Input::Tick), [Wish::Connect]);
    let hello = said(stream.step(at(2001), Input::Connected));
    assert!(
        matches!(&hello[0], Said::Hello(hello) if (hello.pending_from, hello.pending_to, hello.epoch) == (2, 4, 3))
    );
    // Report 2 was committed; only its acknowledgement was lost.
    let sent = reports(stream.step(at(2002), welcome(2, &[])));
    assert_eq!(sent.iter().map(|report| report.seq).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_spool_that_overflowed_becomes_whole_sections_and_a_gap() {
    let mut stream = settled();
    stream.total = 500;
    stream.step(at(10), Input::Disconnected(Ending::Lost));
    for port in 0..20 {
        stream.step(at(11), observed(facts(&[port], ServiceState::Stopped)));
    }
    stream.step(at(2000), Input::Tick);
    let hello = said(stream.step(at(2001), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.pending_from > 2 && hello.pending_to == 21));
    let sent = reports(stream.step(at(2002), welcome(1, &[])));
    let gap = sent[0].gap.unwrap();
    assert_eq!((gap.from_seq, gap.to_seq + 1), (2, sent[0].seq));
    assert_eq!(sent[0].sections.len(), SECTIONS.len(), "whole sections stand for what was given up");
    assert!(sent[1..].iter().all(|report| report.gap.is_none()));
    assert_eq!(sent.last().unwrap().seq, 21);
}

#[test]
fn a_full_spool_holds_reports_back_while_connected() {
    let mut stream = settled();
    assert_eq!(reports(stream.step(at(10), observed(facts(&[1], ServiceState::Stopped)))).len(), 1);
    stream.total = stream.kept[&2][0].encoded_len() as u64 + 10;
    assert!(stream.step(at(11), observed(facts(&[2], ServiceState::Stopped))).is_empty());
    assert!(stream.step(at(12), observed(facts(&[3], ServiceState::Stopped))).is_empty());
    let sent = reports(stream.step(at(13), ack(2)));
    assert_eq!((sent.len(), sent[0].seq, sent[0].gap), (1, 3, None));
}

#[test]
fn whole_sections_wait_as_long_as_the_server_says() {
    let mut stream = settled();
    let pace = v1::Pace { send_after_ms: 500, collect_interval_ms: 9000, ..v1::Pace::default() };
    let outputs = stream.step(at(100), Input::Message(Answer::Pace(pace)));
    assert_eq!(outputs, [Wish::CollectEvery(Duration::from_secs(9))]);
    let wish = v1::SendFull { sections: vec![v1::Section::Sockets as i32, 99] };
    assert!(stream.step(at(101), Input::Message(Answer::SendFull(wish))).is_empty());
    assert_eq!(stream.stream.wakes_at(Duration::from_millis(101)), Some(Duration::from_millis(600)));
    let sent = reports(stream.step(at(600), Input::Tick));
    assert_eq!(sent.len(), 1);
    assert!(matches!(sent[0].sections[0].body, Some(v1::section_report::Body::Full(_))));
}

#[test]
fn a_server_that_does_not_greet_is_left() {
    let mut stream = Bench::fresh();
    stream.step(at(0), observed(Facts::default()));
    stream.step(at(1), Input::Connected);
    assert_eq!(stream.step(at(30_001), Input::Tick), [Wish::Disconnect]);
    assert_eq!(stream.stream.wakes_at(Duration::from_secs(31)), Some(Duration::from_millis(30_501)));
}

#[test]
fn a_revoked_agent_says_nothing_more() {
    let mut stream = settled();
    let outputs = stream.step(at(10), Input::Message(Answer::Revoked(v1::Revoked {})));
    assert_eq!(outputs, [Wish::Disconnect, Wish::Stop]);
    assert!(stream.step(at(11), observed(facts(&[9], ServiceState::Running))).is_empty());
    assert!(stream.step(at(12), Input::Disconnected(Ending::Lost)).is_empty());
    assert_eq!(stream.stream.wakes_at(Duration::from_secs(1)), None);
}

#[test]
fn an_agent_that_was_revoked_while_away_stops() {
    let mut stream = settled();
    stream.step(at(10), Input::Disconnected(Ending::Lost));
    assert_eq!(stream.step(at(2000), Input::Tick), [Wish::Connect]);
    stream.step(at(2001), Input::Connected);
    assert_eq!(stream.step(at(2002), Input::Disconnected(Ending::Revoked)), [Wish::Stop]);
    assert_eq!(stream.stream.wakes_at(Duration::from_secs(3)), None);
}

#[test]
fn a_recorded_host_speaks_by_its_own_clock() {
    let read_at = DateTime::from_timestamp_millis(1_218_000_000_000).unwrap();
    let mut stream = Bench::fresh();
    stream.step(at(0), observed(Facts { collected_at: Some(read_at), ..Facts::default() }));
    let hello = said(stream.step(at(1500), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.wall_clock_ms == 1_218_000_001_500));
}

#[test]
fn a_fresh_agent_records_once_the_server_is_known_to_be_away() {
    let mut stream = Bench::fresh();
    stream.step(at(0), observed(facts(&[1645], ServiceState::Stopped)));
    assert!(stream.kept.is_empty(), "the server may hold all of it");
    stream.step(at(1), Input::Disconnected(Ending::Lost));
    stream.step(at(2), observed(facts(&[1645], ServiceState::Running)));
    assert_eq!(stream.kept.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(stream.kept[&1][0].sections.len(), SECTIONS.len());
    assert_eq!(stream.kept[&2][0].sections.len(), 1);
}

fn after_a_restart(reports: &[(u64, u64)], next_seq: u64, digests: proto::Digests) -> Bench {
    Bench::new(Held { stream_id: [7; 16], epoch: 5, next_seq, digests, reports: reports.iter().copied().collect() })
}

fn digests_of(facts: &Facts) -> proto::Digests {
    proto::digests(&proto::wire::canonical(facts))
}

#[test]
fn a_restart_without_a_change_sends_nothing() {
    let before = facts(&[1645], ServiceState::Stopped);
    let mut stream = after_a_restart(&[], 9, digests_of(&before));
    stream.step(at(0), observed(before));
    assert!(stream.kept.is_empty());
    let hello = said(stream.step(at(1), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.epoch == 5 && hello.stream_id == [7; 16]));
    assert!(stream.step(at(2), welcome(8, &[])).is_empty());
    assert!(stream.stream.is_settled());
}

#[test]
fn what_changed_across_a_restart_is_recorded_at_once_and_whole() {
    let mut stream = after_a_restart(&[(7, 8)], 9, digests_of(&facts(&[1645], ServiceState::Stopped)));
    stream.step(at(0), observed(facts(&[1645], ServiceState::Running)));
    let [section] = stream.kept[&9][0].sections.as_slice() else { panic!("{:?}", stream.kept) };
    assert_eq!(section.section(), v1::Section::Services);
    assert!(matches!(section.body, Some(v1::section_report::Body::Full(_))));
    stream.kept.extend([(7, Vec::new()), (8, Vec::new())]);
    stream.step(at(1), Input::Connected);
    assert_eq!(reports(stream.step(at(2), welcome(8, &[]))).len(), 1);
}

#[test]
fn what_was_damaged_is_told_and_made_up_for() {
    let now = facts(&[1645], ServiceState::Running);
    let mut stream = after_a_restart(&[(3, 4), (6, 6)], 9, proto::Digests::new());
    stream.kept.extend([3, 4, 6].map(|seq| (seq, vec![v1::Report { seq, parts: 1, ..v1::Report::default() }])));
    stream.step(at(0), observed(now));
    stream.step(at(1), Input::Connected);
    let sent = reports(stream.step(at(2), welcome(2, &[])));
    let gap = |from_seq, to_seq| Some(v1::Gap { from_seq, to_seq });
    let told: Vec<_> = sent.iter().map(|report| (report.seq, report.gap)).collect();
    assert_eq!(told[..4], [(3, None), (4, None), (6, gap(5, 5)), (9, gap(7, 8))]);
    let whole: usize = sent[3..].iter().map(|report| report.sections.len()).sum();
    assert!(whole >= SECTIONS.len(), "{whole} sections");
}

#[test]
fn a_state_that_is_older_than_what_the_server_has_begins_another_stream() {
    let mut stream = after_a_restart(&[(3, 4)], 5, digests_of(&facts(&[1], ServiceState::Stopped)));
    stream.step(at(0), observed(facts(&[2], ServiceState::Stopped)));
    stream.step(at(1), Input::Connected);
    assert_eq!(stream.step(at(2), welcome(5, &[])), [Wish::Disconnect, Wish::Connect]);
    let hello = said(stream.step(at(3), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.stream_id == [9; 16] && hello.epoch == 0));
    let sent = reports(stream.step(at(4), welcome(0, &SECTIONS)));
    assert_eq!((sent[0].seq, sent[0].gap), (4, Some(v1::Gap { from_seq: 1, to_seq: 3 })));
}

#[test]
fn no_more_is_under_way_than_the_window_holds() {
    let mut stream = settled();
    stream.step(at(10), Input::Disconnected(Ending::Lost));
    for port in 0..100 {
        stream.step(at(11), observed(facts(&[port], ServiceState::Stopped)));
    }
    stream.step(at(2000), Input::Tick);
    stream.step(at(2001), Input::Connected);
    assert_eq!(reports(stream.step(at(2002), welcome(1, &[]))).len(), 32);
    let sent = reports(stream.step(at(2003), ack(11)));
    assert_eq!(sent.iter().map(|report| report.seq).collect::<Vec<_>>(), (34..44).collect::<Vec<_>>());
}

#[test]
fn a_restored_snapshot_begins_another_stream_when_the_server_says_so() {
    let mut stream = after_a_restart(&[(3, 4)], 5, digests_of(&facts(&[1], ServiceState::Stopped)));
    stream.step(at(0), observed(facts(&[1], ServiceState::Stopped)));
    stream.step(at(1), Input::Connected);
    stream.step(at(2), Input::Disconnected(Ending::Restored));
    assert_eq!(stream.step(at(5000), Input::Tick), [Wish::Connect]);
    let hello = said(stream.step(at(5001), Input::Connected));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.stream_id == [9; 16] && hello.epoch == 0));
    assert!(matches!(&hello[0], Said::Hello(hello) if hello.pending_to == 0 && hello.fingerprint == [1; 32]));
    let sent = reports(stream.step(at(5002), welcome(0, &[])));
    assert_eq!((sent.len(), sent[0].seq, sent[0].gap), (1, 3, Some(v1::Gap { from_seq: 1, to_seq: 2 })));
}
