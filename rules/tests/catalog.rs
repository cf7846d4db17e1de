//! The built-in catalog, and what its reader refuses.

use rules::catalog::{Catalog, Grounding, ReservationMethod, StartKind};
use rules::facts::OsGeneration;
use rules::ports::{Port, Protocol};

#[test]
fn the_built_in_catalog_is_sound_and_covers_both_incidents() {
    let catalog = Catalog::builtin();
    let (services, takers, updates) = catalog.counts();
    assert!(services >= 90 && takers >= 4 && updates >= 20, "{services} {takers} {updates}");
    let ports = |service: &str, os| -> Vec<String> {
        catalog.claims_of(service, os).map(|claim| claim.port.to_string()).collect()
    };
    assert_eq!(ports("ias", None), ["udp/1645", "udp/1646", "udp/1812", "udp/1813"]);
    assert_eq!(ports("BLACKBERRY ROUTER", Some(OsGeneration::Server2003)), ["tcp/3101"]);
    assert_eq!(ports("PolicyAgent", Some(OsGeneration::Server2003)), ["udp/500", "udp/4500"]);
    assert!(ports("IKEEXT", Some(OsGeneration::Server2003)).is_empty());
    assert!(!ports("WireGuardTunnel$office", None).is_empty());
    for (kb, id) in [
        ("kb948609", "dotnet20sp2-exchange2007-autodiscover"),
        ("951847", "dotnet20sp2-exchange2007-autodiscover"),
        ("KB951746", "ms08-037-dns-socket-pool"),
    ] {
        assert!(catalog.entries_for_kb(kb).any(|entry| entry.id == id), "{kb}");
    }
    let port: Port = "tcp/445".parse().unwrap();
    assert!(catalog.claims_on(port).all(|claim| claim.kernel));
}

/// Everything that is known of bad updates, services and takers is in, each service by its own name.
#[test]
fn the_catalog_is_whole() {
    let catalog = Catalog::builtin();
    let (services, takers, updates) = catalog.counts();
    assert_eq!((takers, updates), (24, 163));
    assert!(services >= 277, "{services}");
    let by_name = |name: &str| catalog.services().iter().find(|entry| entry.services.iter().any(|of| of == name));
    // Without a fixed port, and told so.
    for name in ["CertSvc", "NtFrs", "Spooler", "MSSQL$*"] {
        let entry = by_name(name).unwrap();
        assert!(entry.dynamic && entry.ports.is_empty(), "{name}");
    }
    let wds = by_name("WDSServer").unwrap();
    assert_eq!(wds.ranges[0].range.to_string(), "64001-65000");
    assert_eq!(by_name("MSExchangePOP3").unwrap().start, Some(StartKind::Manual));
    assert!(by_name("WireGuardTunnel$*").unwrap().configurable.is_some());
    for entry in catalog.bad_updates() {
        assert!(entry.grounding == Grounding::Recalled || !entry.sources.is_empty(), "{}", entry.id);
        assert!(!entry.harm.ends_with('.') && !entry.possible_harm.ends_with('.'), "{}", entry.id);
        assert!(!entry.remedy.summary.ends_with('.'), "{}", entry.id);
    }
    // Where a taker gets its ports, and how a port is kept from it.
    let pool = catalog.takers().iter().find(|taker| taker.id == "dns-socket-pool").unwrap();
    let on_2003 = pool.draws.iter().filter(|draw| draw.os.holds(OsGeneration::Server2003)).count();
    assert_eq!(on_2003, 2);
    let methods: Vec<_> = pool
        .reservations
        .iter()
        .filter(|reservation| reservation.os.holds(OsGeneration::Server2008R2))
        .map(|reservation| reservation.method)
        .collect();
    assert!(
        methods.contains(&ReservationMethod::DnsPoolExclusion) && !methods.contains(&ReservationMethod::ReservedPorts)
    );
}

/// Only what draws ports by chance may be called the taker of a port: `svchost.exe` runs everything.
#[test]
fn a_taker_is_known_by_its_process() {
    let catalog = Catalog::builtin();
    let taker = |process: &str, protocol| catalog.taker_of(process, protocol).map(|taker| taker.id.as_str());
    assert_eq!(taker("DNS.EXE", Protocol::Udp), Some("dns-socket-pool"));
    assert_eq!(taker("dns.exe", Protocol::Tcp), None);
    assert_eq!(taker("lsass.exe", Protocol::Tcp), Some("lsass-dynamic-rpc"));
    assert_eq!(taker("ntfrs.exe", Protocol::Tcp), Some("ntfrs-dynamic-rpc"));
    for process in ["svchost.exe", "System", "java.exe"] {
        assert_eq!((taker(process, Protocol::Tcp), taker(process, Protocol::Udp)), (None, None), "{process}");
    }
}

/// An exact name hides the patterns that match it too.
#[test]
fn a_service_is_found_by_name_and_by_pattern() {
    let catalog = Catalog::builtin();
    let ids = |name: &str| -> Vec<&str> {
        let mut ids: Vec<_> = catalog.claims_of(name, None).map(|claim| claim.id.as_str()).collect();
        ids.dedup();
        ids
    };
    assert_eq!(ids("adam_instance1"), ["adam"]);
    assert_eq!(ids("ADAM_MSExchange"), ["adam-msexchange"]);
    assert_eq!(ids("MSOLAP$TAB"), ["mssqlserverolapservice"]);
    assert_eq!(ids("OracleOraDB19Home1TNSListener"), ["oracle-tnslistener"]);
    assert!(ids("nothing of the kind").is_empty());
}

const CLAIM: &str = "[[claim]]\nid = \"x\"\nservices = [\"X\"]\nproduct = \"X\"\nports = [\"udp/1\"]\ngrounding = \"recalled\"\nsources = []\n";
const TAKER: &str = "id = \"x\"\nname = \"x\"\nservices = [\"X\"]\nprotocols = [\"udp\"]\nmechanism = \"socket-pool\"\nsummary = \"x\"\ngrounding = \"recalled\"\nsources = []\ndraws = [{ from = \"dynamic-range\", os = { from = \"server-2008\" } }]\n";
const UPDATE: &str = "id = \"x\"\nkb = \"KB948609\"\ntitle = \"x\"\nharm = \"x\"\npossible_harm = \"x\"\nsummary = \"x\"\ncategory = \"x\"\nreleased = \"2019-01-08\"\nseverity = \"info\"\nstatus = \"fixed\"\nsymptoms = []\nfixed_by = [\"KB4480971\"]\nfixed_in = \"2019-02\"\nremovable = true\ngrounding = \"recalled\"\nsources = []\n[conditions]\nall = [\n  { os = [\"server-2016\"] },\n  { role = \"iis\" },\n]\n[[packages]]\nos = \"server-2016\"\nkb = \"KB4480961\"\nbuild = \"10.0.14393.2724\"\nfixed_build = \"10.0.14393.2791\"\n[remedy]\naction = \"update\"\nsummary = \"x\"\nrisk = \"x\"\nrestart = \"server\"\n";

#[test]
fn a_fault_names_file_and_line() {
    let check = |name: &str, text: &str, line: usize, part: &str| {
        let faults = Catalog::parse(&[(name, text)]).unwrap_err();
        let found = faults.iter().any(|fault| fault.file == name && fault.line == line && fault.message.contains(part));
        assert!(found, "no fault at line {line} says `{part}`: {faults:?}");
    };
    let claim = |from: &str, to: &str, line, part: &str| check("claims/x.toml", &CLAIM.replace(from, to), line, part);
    assert!(Catalog::parse(&[("claims/x.toml", CLAIM)]).is_ok());
    claim("product", "prodct", 4, "prodct");
    claim("udp/1", "udp/x", 5, "is not a port");
    claim("[\"udp/1\"]", "[\"udp/1\", \"udp/1\"]", 5, "named twice");
    claim("ports = [\"udp/1\"]\n", "", 1, "names a port or a range");
    claim("recalled", "verified", 7, "sources");
    claim("recalled", "guessed", 6, "guessed");
    claim("[\"X\"]", "[]", 3, "at least one service");
    claim("[\"X\"]", "[\"*X\"]", 3, "no name of a service");
    claim("id = \"x\"", "id = \"X y\"", 2, "must be of a-z");
    claim(
        "ports = [\"udp/1\"]",
        "ports = [\"udp/1\"]\nos = { from = \"server-2019\", to = \"server-2016\" }",
        6,
        "newer than",
    );
    claim("ports = [\"udp/1\"]", "ports = [\"udp/1\"]\nos = { from = \"server-2017\" }", 6, "server-2017");
    claim("ports = [\"udp/1\"]", "optional = [{ ports = [], when = \"x\" }]", 5, "optional ports name");
    claim("ports = [\"udp/1\"]", "ports = [\"udp/1\"]\nurls = [\"http://+:80/\"]", 6, "kernel");
    claim(
        "ports = [\"udp/1\"]",
        "ranges = [{ protocol = \"udp\", range = \"9-1\", when = \"x\" }]",
        5,
        "is not a port",
    );
    check("claims/x.toml", &format!("{CLAIM}\n{CLAIM}"), 9, "taken already");
    check("claims/x.toml", "[[claim]\n", 1, "");

    let taker = |from: &str, to: &str, line, part: &str| check("takers/x.toml", &TAKER.replace(from, to), line, part);
    assert!(Catalog::parse(&[("takers/x.toml", TAKER)]).is_ok());
    taker("socket-pool", "magic", 5, "magic");
    taker("[\"udp\"]", "[]", 4, "at least one protocol");
    taker("[\"X\"]", "[]", 3, "at least one service");
    taker("[{ from = \"dynamic-range\", os = { from = \"server-2008\" } }]", "[]", 9, "says where from");
    taker("dynamic-range", "up-to-max-user-port", 9, "up to Server 2003 only");

    let update =
        |from: &str, to: &str, line, part: &str| check("bad-updates/x.toml", &UPDATE.replace(from, to), line, part);
    assert!(Catalog::parse(&[("bad-updates/x.toml", UPDATE)]).is_ok());
    update("KB948609", "948609", 2, "is no KB");
    update("KB4480971", "4480971", 12, "is no KB");
    update("KB4480971", "KB948609", 12, "cannot both do the harm and end it");
    update("2019-01-08", "2019-13-08", 8, "is no date");
    update("2019-02\"", "2019-2\"", 13, "is no month");
    update("\"server-2016\"] }", "\"server-2017\"] }", 19, "server-2017");
    update("role = \"iis\"", "role = \"web\"", 20, "no fact tells the role");
    update("role = \"iis\"", "product = { id = \"lync\", label = \"Lync\" }", 20, "no fact tells the product");
    update("role = \"iis\"", "product = { id = \"iis\", label = \"IIS\", from = \"ten\" }", 20, "is no version");
    update("role = \"iis\"", "update = \"948610\"", 20, "is no KB");
    update("role = \"iis\"", "rolle = \"iis\"", 20, "rolle");
    update("role = \"iis\"", "unobserved = \" \"", 17, "said in words");
    update("10.0.14393.2724", "14393.2724", 25, "is no build");
    update("10.0.14393.2791", "10.0.14393.2723", 26, "not above");
    update("action = \"update\"", "action = \"registry\"", 28, "names its values");
    update("action = \"update\"", "action = \"vendor\"", 28, "has steps");
    update("action = \"update\"", "action = \"uninstal\"", 28, "uninstal");
    update("removable = true", "removable = 1", 14, "invalid type");
    let uninstall = UPDATE.replace("action = \"update\"", "action = \"uninstall\"");
    check(
        "bad-updates/x.toml",
        &uninstall.replace("removable = true", "removable = false"),
        14,
        "cannot be uninstalled",
    );
    check("bad-updates/x.toml", &uninstall.replace("kb = \"KB948609\"\n", ""), 27, "nothing to uninstall");
    let registry = "[[remedy.registry]]\nkey = 'HKLM\\X'\nname = \"a&b\"\nkind = \"dword\"\ndata = \"1\"\n";
    check("bad-updates/x.toml", &format!("{UPDATE}{registry}"), 34, "a command can carry");
    let faults = Catalog::parse(&[("other/x.toml", CLAIM)]).unwrap_err();
    assert!(faults[0].message.contains("claims/"));
}

/// All faults of all files are found in one run, in the order of the files.
#[test]
fn every_fault_is_found_at_once() {
    let faults = Catalog::parse(&[
        ("claims/x.toml", &CLAIM.replace("recalled", "verified")),
        ("bad-updates/x.toml", &UPDATE.replace("KB948609", "9").replace("2019-01-08", "today")),
        ("takers/x.toml", &TAKER.replace("[\"X\"]", "[]")),
    ])
    .unwrap_err();
    let files: Vec<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    assert_eq!(files, ["bad-updates/x.toml", "bad-updates/x.toml", "claims/x.toml", "takers/x.toml"], "{faults:?}");
}

/// Without a KB nothing but the conditions speaks for an entry, so that facts must answer them.
#[test]
fn without_a_kb_conditions_must_be_answerable() {
    let text = UPDATE.replace("kb = \"KB948609\"\n", "").replace("role = \"iis\"", "unobserved = \"x\"");
    let faults = Catalog::parse(&[("bad-updates/x.toml", &text)]).unwrap_err();
    assert!(faults.iter().any(|fault| fault.message.contains("facts must answer all of them")), "{faults:?}");
}
