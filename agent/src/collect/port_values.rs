//! What the registry says about ports, from raw values to ranges.
//!
//! Invariant: a value that cannot be understood is [`Unreadable`] and names itself; it is never skipped. No I/O.

use rules::ports::PortRange;

use super::reading::Unreadable;

/// Lines `1645-1646` of `Tcpip\Parameters\ReservedPorts` (KB812873) and `DNS\Parameters\SocketPoolExcludedPortRanges`.
pub fn port_ranges(value_name: &str, lines: &[String]) -> Result<Vec<PortRange>, Unreadable> {
    let lines = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            line.parse().map_err(|_| Unreadable::new(format!("{value_name} holds “{line}”, which is no port range")))
        })
        .collect()
}

/// The name of a value below `Control\Nsi\{…}\29` (TCP) or `\5` (UDP) is the exclusion: four hexadecimal digits of the
/// first port, then the number of ports with its two bytes swapped. `cc570100` is port 52311 alone.
pub fn persistent_exclusion(value_name: &str) -> Result<PortRange, Unreadable> {
    parse_exclusion(value_name)
        .ok_or_else(|| Unreadable::new(format!("the entry “{value_name}” of the network store is no excluded range")))
}

fn parse_exclusion(value_name: &str) -> Option<PortRange> {
    let digits: String = value_name.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let start = u16::from_str_radix(&digits[..4], 16).ok()?;
    let count = u16::from_str_radix(&digits[4..], 16).ok()?.swap_bytes();
    PortRange::new(start, start.checked_add(count.checked_sub(1)?)?)
}

/// A DWORD that should be a port.
pub fn port(value_name: &str, number: u32) -> Result<u16, Unreadable> {
    u16::try_from(number).map_err(|_| Unreadable::new(format!("{value_name} is {number}, which is no port")))
}

#[cfg(test)]
mod tests {
    use super::{persistent_exclusion, port, port_ranges};

    #[test]
    fn reads_reserved_ports() {
        let lines = ["1645-1646".to_owned(), " 3101-3101 ".to_owned(), String::new()];
        let ranges = port_ranges("ReservedPorts", &lines).unwrap();
        assert_eq!(ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1645-1646", "3101"]);
    }

    #[test]
    fn says_what_is_no_range() {
        let error = port_ranges("ReservedPorts", &["1646-1645".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "ReservedPorts holds “1646-1645”, which is no port range");
    }

    #[test]
    fn reads_exclusions_of_the_network_store() {
        assert_eq!(persistent_exclusion("cc570100").unwrap().to_string(), "52311");
        assert_eq!(persistent_exclusion("066d 0200").unwrap().to_string(), "1645-1646");
    }

    #[test]
    fn refuses_names_that_are_no_exclusion() {
        for name in ["", "cc57", "cc570000", "ffff0200", "zz570100", "cc5701000", "éé57"] {
            assert!(persistent_exclusion(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_port_has_16_bits() {
        assert_eq!(port("TCP/IP Port", 50_000), Ok(50_000));
        assert!(port("TCP/IP Port", 65_536).is_err());
    }
}
