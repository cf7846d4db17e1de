//! The built-in catalog, and what its reader refuses.

use rules::catalog::Catalog;
use rules::facts::OsGeneration;
use rules::ports::Port;

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

#[test]
fn a_fault_names_file_and_line() {
    let claim = "[[claim]]\nid = \"x\"\nservices = [\"X\"]\nproduct = \"X\"\nports = [\"udp/1\"]\ngrounding = \"recalled\"\nsources = []\n";
    let check = |text: &str, line: usize, part: &str| {
        let faults = Catalog::parse(&[("claims/x.toml", text)]).unwrap_err();
        assert_eq!((faults[0].file.as_str(), faults[0].line), ("claims/x.toml", line), "{}", faults[0]);
        assert!(faults[0].message.contains(part), "{}", faults[0]);
    };
    assert!(Catalog::parse(&[("claims/x.toml", claim)]).is_ok());
    check(&claim.replace("product", "prodct"), 4, "prodct");
    check(&claim.replace("udp/1", "udp/x"), 5, "is not a port");
    check(&claim.replace("recalled", "verified"), 1, "sources");
    check(&format!("{claim}\n{claim}"), 9, "taken already");
    let faults = Catalog::parse(&[("other/x.toml", claim)]).unwrap_err();
    assert!(faults[0].message.contains("claims/"));
}
