//! Captures as files: `captures/<case>/` holds the files of one host as they came, byte for byte, and
//! `captures/<case>.json` what is read from them. With `UPDATE_CASES=1` the expected files are written anew; each is read
//! by a person before it is committed.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use portreeve_agent::capture::{self, Capture, CaptureFile, TooMuch};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use rules::catalog::Catalog;
use rules::facts::{ServiceState, SocketState};
use rules::history::History;

#[test]
fn every_capture_is_read_as_expected() {
    let cases = cases();
    assert!(cases.len() >= 20, "only {} captures were found", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{} captures differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(case: &Path) -> Result<(), String> {
    let read = serde_json::to_string_pretty(&capture::read(&files(case)).unwrap()).unwrap() + "\n";
    let file = case.with_extension("json");
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, &read).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if expected == read { Ok(()) } else { Err(format!("{}: read as\n{read}", case.display())) }
}

fn files(case: &Path) -> Vec<CaptureFile> {
    let mut paths: Vec<PathBuf> = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| CaptureFile {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        bytes: fs::read(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

/// The port: IAS is stopped, and dns.exe holds one of its ports at random.
#[test]
fn a_capture_tells_of_the_lost_port() {
    let found = findings("english-2003-ias-blocked");
    let (confidence, title) = &found["port-conflict/blocked"];
    assert_eq!(title, "IAS did not start: udp/1645 is held by dns.exe");
    assert_eq!(confidence, "certain");
    // The same server, where nobody asked for exit codes: it can still be told, and less surely.
    let without_codes = |file: &mut CaptureFile| {
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        let lines = text.split_inclusive('\n').filter(|line| !line.contains("_EXIT_CODE"));
        file.bytes = lines.collect::<String>().into_bytes();
    };
    let mut files = files(&case("english-2003-ias-blocked"));
    files.iter_mut().filter(|file| file.name == "sc.txt").for_each(without_codes);
    let (confidence, _) = &judged(&files)["port-conflict/blocked"];
    assert_eq!(confidence, "likely");
}

/// The patch: KB948609 on Server 2008 with Exchange 2007 SP1.
#[test]
fn a_capture_tells_of_the_harmful_update() {
    let found = findings("english-2008-exchange-update");
    let (confidence, title) = &found["bad-update/dotnet20sp2-exchange2007-autodiscover"];
    assert_eq!(title, "KB948609 breaks Autodiscover on this Exchange 2007 SP1 server");
    assert_eq!(confidence, "certain");
}

#[test]
fn refuses_what_is_too_much() {
    let file = CaptureFile { name: "a.txt".to_owned(), bytes: Vec::new() };
    let many = vec![file.clone(); capture::MOST_FILES + 1];
    assert_eq!(capture::read(&many), Err(TooMuch::Files(capture::MOST_FILES + 1)));
    let large = CaptureFile { bytes: vec![b' '; capture::MOST_BYTES + 1], ..file };
    assert_eq!(capture::read(&[large]), Err(TooMuch::Bytes(capture::MOST_BYTES + 1)));
}

/// Rule to confidence and title.
fn findings(name: &str) -> BTreeMap<String, (String, String)> {
    judged(&files(&case(name)))
}

fn judged(files: &[CaptureFile]) -> BTreeMap<String, (String, String)> {
    let judged = rules::judge(&capture::read(files).unwrap().facts, &Catalog::builtin(), &History::default());
    let judged = serde_json::to_value(judged).unwrap();
    let text = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = judged["findings"].as_array().unwrap().iter();
    findings.map(|f| (text(f, "rule"), (text(f, "confidence"), text(f, "title")))).collect()
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name)
}

/// What a capture says without regard to how much is said beside it.
#[derive(Debug, PartialEq)]
struct Said {
    sockets: BTreeSet<(String, Option<u32>)>,
    /// State; exit code, the service's own, PID.
    services: BTreeMap<String, (ServiceState, [Option<u32>; 3])>,
    updates: BTreeSet<String>,
}

impl Said {
    fn of(capture: &Capture) -> Self {
        let facts = &capture.facts;
        let sockets = facts.sockets.known().into_iter().flatten();
        // Accepted connections are left out beside their listener, which may be the line that went.
        let sockets = sockets.filter(|socket| socket.state != SocketState::Connected);
        Self {
            sockets: sockets.map(|s| (format!("{} {} {}", s.local_port(), s.address, s.scope), s.pid)).collect(),
            services: (facts.services.known().into_iter().flatten())
                .map(|s| (s.name.to_lowercase(), (s.state, [s.exit_code, s.service_exit_code, s.pid])))
                .collect(),
            updates: facts.updates.known().into_iter().flatten().map(|update| format!("{:?}", update.kb)).collect(),
        }
    }

    /// Everything said here is also said there; what is missing here may be there.
    fn is_part_of(&self, whole: &Self) -> bool {
        let may_be = |part: Option<u32>, whole: Option<u32>| part.is_none() || part == whole;
        let has_socket = |(socket, pid): &(String, Option<u32>)| {
            whole.sockets.iter().any(|(other, whole)| socket == other && may_be(*pid, *whole))
        };
        self.sockets.iter().all(has_socket)
            && self.updates.is_subset(&whole.updates)
            && self.services.iter().all(|(name, (state, numbers))| {
                whole.services.get(name).is_some_and(|(other, others)| {
                    state == other && numbers.iter().zip(others).all(|(part, whole)| may_be(*part, *whole))
                })
            })
    }
}

/// By path, so that a failure names the file instead of printing it.
fn any_file() -> impl Strategy<Value = PathBuf> {
    let paths: Vec<PathBuf> =
        cases().iter().flat_map(|case| files(case).into_iter().map(|file| case.join(file.name))).collect();
    proptest::sample::select(paths)
}

fn read_one(bytes: &[u8]) -> Capture {
    capture::read(&[CaptureFile { name: "one".to_owned(), bytes: bytes.to_vec() }]).unwrap()
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A file that was cut says a part of what the whole one says, and nothing else.
    #[test]
    fn a_cut_file_says_nothing_new(file in any_file(), at in any::<Index>()) {
        let bytes = fs::read(file).unwrap();
        let whole = Said::of(&read_one(&bytes));
        let cut = at.index(bytes.len() + 1);
        let part = Said::of(&read_one(&bytes[..cut]));
        prop_assert!(part.is_part_of(&whole), "cut at {cut}: {part:#?}");
    }

    /// Lines that went take only what they said with them.
    #[test]
    fn a_missing_line_changes_no_other(file in any_file(), at in any::<Index>()) {
        let bytes = fs::read(file).unwrap();
        // In UTF-16 a line ends within a character.
        prop_assume!(!bytes.contains(&0));
        let whole = Said::of(&read_one(&bytes));
        let mut kept = lines(&bytes);
        prop_assume!(!kept.is_empty());
        let gone = at.index(kept.len());
        kept.remove(gone);
        let less = Said::of(&read_one(&kept.concat()));
        prop_assert!(less.is_part_of(&whole), "line {} went: {less:#?}", gone + 1);
    }

    #[test]
    fn a_line_that_comes_twice_says_the_same(file in any_file(), at in any::<Index>()) {
        let bytes = fs::read(file).unwrap();
        prop_assume!(!bytes.contains(&0));
        let whole = Said::of(&read_one(&bytes));
        let mut kept = lines(&bytes);
        prop_assume!(!kept.is_empty());
        let twice = at.index(kept.len());
        kept.insert(twice, kept[twice]);
        prop_assert!(Said::of(&read_one(&kept.concat())).is_part_of(&whole), "line {}", twice + 1);
    }

    /// The lines of sockets stand anywhere between those of processes and of services.
    #[test]
    fn interleaved_files_say_what_they_say_alone(
        places in subsequence((0..120).collect::<Vec<usize>>(), 57),
        other in prop_oneof![Just("tasklist.txt"), Just("sc.txt"), Just("sc-qc.txt")],
    ) {
        let files = files(&case("english-2003-ias-blocked"));
        let of = |name: &str| files.iter().find(|file| file.name == name).unwrap().bytes.clone();
        let (sockets, other) = (of("netstat.txt"), of(other));
        let mut mixed: Vec<u8> = Vec::new();
        let (mut first, mut second) = (lines(&sockets).into_iter(), lines(&other).into_iter());
        for place in 0..120 {
            mixed.extend(if places.contains(&place) { first.next() } else { second.next() }.unwrap_or_default());
        }
        first.chain(second).for_each(|line| mixed.extend(line));
        let apart = capture::read(&[
            CaptureFile { name: "a".to_owned(), bytes: sockets.clone() },
            CaptureFile { name: "b".to_owned(), bytes: other.clone() },
        ]);
        let (mixed, apart) = (Said::of(&read_one(&mixed)), Said::of(&apart.unwrap()));
        prop_assert_eq!(&mixed.sockets, &apart.sockets);
        prop_assert_eq!(mixed, apart);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        read_one(&bytes);
    }

    /// Words and signs that mean something, in any order.
    #[test]
    fn any_words_are_read(words in proptest::collection::vec(proptest::sample::select(WORDS.to_vec()), 0..200)) {
        read_one(words.concat().as_bytes());
    }
}

const WORDS: &[&str] = &[
    "\n",
    "\n",
    "\r\n",
    " ",
    "  ",
    "\t",
    ":",
    " : ",
    "=",
    ",",
    "\"",
    "[",
    "]",
    "(",
    ")",
    "<",
    "<br>",
    "&lt;",
    ">",
    "> ",
    "TCP",
    "UDP",
    "0.0.0.0:135",
    "[::]:0",
    "*:*",
    "[fe80::1%9]:1",
    "LISTENING",
    "720",
    "4294967296",
    "-1",
    "0x42a",
    "====",
    "========================= ======== ====",
    "svchost.exe",
    "[svchost.exe]",
    "RpcSs,",
    "SERVICE_NAME: ",
    "4  RUNNING",
    "1066  (0x42a)",
    "0x0",
    "2   AUTO_START",
    "[SC] ",
    "HotFixID",
    "Node",
    "HotFixID=",
    "KB948609",
    "File 1",
    "InstalledOn",
    "HKEY_LOCAL_MACHINE\\",
    "SYSTEM\\",
    " REG_DWORD ",
    "REG_",
    "REG_MULTI_SZ",
    "\\0",
    "5.2.3790 Service Pack 2 Build 3790",
    "[01]: ",
    "\\\\DC1",
    "C:\\>",
    "hostname",
    "portreeve>",
    "netsh int ipv4 show dynamicport tcp",
    "-----",
    "---- ----",
    "tcp",
    "Microsoft Windows [Version 5.2.3790]",
    "LocalDateTime=",
    "20260302090000.123000+060",
    "é",
    "域",
    "\u{feff}",
    "\u{a0}",
    "\0",
];
