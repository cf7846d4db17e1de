//! Which addresses may be reached: one table, by the written form that an attacker would put into a URL.

use super::{Egress, EgressFault, check_address};

const REFUSED: &[&str] = &[
    // This host and its neighbours.
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "::",
    "::1",
    // Private networks.
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    // Carrier-grade NAT.
    "100.64.0.1",
    "100.127.255.255",
    // Link-local, the metadata services of clouds among them.
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "febf::1",
    // Protocol assignments, documentation, benchmarks, 6to4 relays.
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "2001:db8::1",
    "3fff::1",
    // Multicast, reserved, broadcast.
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "ff00::1",
    "ff02::1",
    "ff0e::1",
    // Unique local, deprecated site-local, unassigned.
    "fc00::1",
    "fd00::1",
    "fdff:ffff::1",
    "fec0::1",
    "4000::1",
    "8000::1",
    "100::1",
    "5f00::1",
    // IPv4 inside IPv6.
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::10.1.2.3",
    "64:ff9b::127.0.0.1",
    "64:ff9b::192.168.1.1",
    "64:ff9b:1::10.0.0.1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:c0a8:101::",
    "::ffff:0:127.0.0.1",
    // Teredo, ORCHID.
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:20::1",
];

const REACHED: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "2001:4860:4860::8888",
    "64:ff9b::8.8.8.8",
    "::ffff:1.1.1.1",
    "2002:808:808::1",
];

#[test]
fn only_public_addresses_are_reached() {
    for address in REFUSED {
        let fault = check_address(address.parse().unwrap(), &[]);
        assert!(matches!(fault, Err(EgressFault::Refused(_))), "{address} was let through");
    }
    for address in REACHED {
        assert!(check_address(address.parse().unwrap(), &[]).is_ok(), "{address} was refused");
    }
}

#[test]
fn a_named_network_is_reached_in_every_spelling_and_no_other() {
    let allowed = ["10.1.0.0/16".parse().unwrap(), "fd12::/32".parse().unwrap()];
    for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::5"] {
        assert!(check_address(address.parse().unwrap(), &allowed).is_ok(), "{address} was refused");
    }
    for address in ["10.2.0.1", "127.0.0.1", "fd13::5"] {
        assert!(check_address(address.parse().unwrap(), &allowed).is_err(), "{address} was let through");
    }
}

#[test]
fn addresses_written_in_odd_ways_are_seen_through() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let egress = Egress::new(&[]).unwrap();
    for url in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://10.0.0.1:8443/hook",
        "http://127.0.0.1./",
    ] {
        assert!(matches!(egress.check(url), Err(EgressFault::Refused(_))), "{url} was let through");
    }
    for url in
        ["ftp://example.com/", "file:///etc/passwd", "gopher://1.1.1.1/", "example.com", "http://a:b@example.com/", ""]
    {
        assert!(matches!(egress.check(url), Err(EgressFault::BadUrl(_))), "{url} was let through");
    }
    assert!(egress.check("https://hooks.example.com/x").is_ok());
}

#[tokio::test]
async fn a_name_that_leads_home_is_refused_when_it_is_resolved() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let egress = Egress::new(&[]).unwrap();
    let fault = egress.post("http://localhost:9/", http::HeaderMap::new(), "{}".to_owned()).await.unwrap_err();
    assert!(matches!(fault, EgressFault::Refused(_)), "{fault:?}");
}
