//! What the registry says about ports, from raw values to ranges.
//!
//! Invariant: a value that cannot be understood is [`Unreadable`] and names itself; it is never skipped. No I/O.

use chrono::{DateTime, Utc};
use rules::facts::{RpcPorts, SqlPort};
use rules::ports::PortRange;
use rules::text::Text;

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

/// Values of `HKLM\SOFTWARE\Microsoft\Rpc\Internet`.
#[derive(Clone, Debug, Default)]
pub struct RpcValues {
    /// Lines `5000-6000` or `5000`; administrators also write several into one line, with commas.
    pub ports: Vec<String>,
    /// `Y` or `N`; empty: not set.
    pub internet_available: String,
    pub use_internet: String,
}

/// `None`: none of the values is set.
pub fn rpc_ports(values: &RpcValues) -> Result<Option<RpcPorts>, Unreadable> {
    let lines: Vec<String> = values.ports.iter().flat_map(|line| line.split([',', ';'])).map(str::to_owned).collect();
    let ports = RpcPorts {
        ranges: port_ranges("Rpc\\Internet\\Ports", &lines)?,
        internet_available: yes_or_no("PortsInternetAvailable", &values.internet_available)?,
        use_internet: yes_or_no("UseInternetPorts", &values.use_internet)?,
    };
    Ok((ports != RpcPorts::default()).then_some(ports))
}

fn yes_or_no(value_name: &str, text: &str) -> Result<Option<bool>, Unreadable> {
    match text.trim() {
        "" => Ok(None),
        text if text.eq_ignore_ascii_case("y") => Ok(Some(true)),
        text if text.eq_ignore_ascii_case("n") => Ok(Some(false)),
        text => Err(Unreadable::new(format!("{value_name} is “{text}”, which is neither Y nor N"))),
    }
}

/// Values of `SuperSocketNetLib\Tcp\IPAll` of one instance: `TcpPort` is empty or holds ports with commas between them,
/// `TcpDynamicPorts` is empty (fixed ports), 0 (not drawn yet) or the port that was drawn last.
pub fn sql_port(instance: &str, tcp_port: &str, dynamic_ports: &str) -> Result<SqlPort, Unreadable> {
    let ports = |name: &str, text: &str| {
        let ports = text.split(',').map(str::trim).filter(|port| !port.is_empty()).map(|port| {
            port.parse().map_err(|_| Unreadable::new(format!("{name} of {instance} is “{port}”, which is no port")))
        });
        ports.collect::<Result<Vec<u16>, _>>()
    };
    Ok(SqlPort {
        instance: Text::new(instance),
        fixed: ports("TcpPort", tcp_port)?,
        dynamic: ports("TcpDynamicPorts", dynamic_ports)?.first().copied(),
    })
}

/// A member of the port policy that counts from the next restart only.
#[derive(Clone, Copy, Debug)]
pub struct BootSetting {
    pub member: &'static str,
    /// Whether a value is set.
    pub set: Set,
    /// When the registry key that holds it was last written. `None`: there is no such key.
    pub key_written: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Yes,
    No,
}

/// The members that are set in a key which was written after the boot. Windows keeps one time for all values of a key, so
/// another value of the same key may be the one that was written.
pub fn waiting_for_restart(
    settings: &[BootSetting],
    booted_at: Option<DateTime<Utc>>,
) -> Result<Vec<Text>, Unreadable> {
    let booted_at = booted_at.ok_or_else(|| Unreadable::new("the time of the boot is not known"))?;
    let is_waiting = |setting: &&BootSetting| {
        setting.set == Set::Yes && setting.key_written.is_some_and(|written| written > booted_at)
    };
    Ok(settings.iter().filter(is_waiting).map(|setting| Text::new(setting.member)).collect())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{
        BootSetting, RpcValues, Set, persistent_exclusion, port, port_ranges, rpc_ports, sql_port, waiting_for_restart,
    };

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

    #[test]
    fn reads_the_ports_of_rpc() {
        let values = RpcValues {
            ports: vec!["5000-5100,5200".to_owned()],
            internet_available: "Y".to_owned(),
            use_internet: "n".to_owned(),
        };
        let ports = rpc_ports(&values).unwrap().unwrap();
        assert_eq!(ports.ranges.iter().map(ToString::to_string).collect::<Vec<_>>(), ["5000-5100", "5200"]);
        assert_eq!((ports.internet_available, ports.use_internet), (Some(true), Some(false)));
        assert_eq!(rpc_ports(&RpcValues::default()), Ok(None));
        let maybe = RpcValues { use_internet: "maybe".to_owned(), ..RpcValues::default() };
        assert_eq!(rpc_ports(&maybe).unwrap_err().to_string(), "UseInternetPorts is “maybe”, which is neither Y nor N");
    }

    #[test]
    fn reads_the_ports_of_an_sql_server_instance() {
        let fixed = sql_port("MSSQLSERVER", "1433, 14330", "").unwrap();
        assert_eq!((fixed.fixed, fixed.dynamic), (vec![1433, 14330], None));
        let dynamic = sql_port("EXPRESS", "", "49172").unwrap();
        assert_eq!((dynamic.fixed, dynamic.dynamic), (vec![], Some(49172)));
        assert!(sql_port("EXPRESS", "fourteen", "").is_err());
    }

    #[test]
    fn what_was_written_after_the_boot_waits() {
        let boot = DateTime::UNIX_EPOCH;
        let setting =
            |member, set, seconds| BootSetting { member, set, key_written: Some(boot + TimeDelta::seconds(seconds)) };
        let settings = [
            setting("reserved_ports", Set::Yes, 60),
            setting("max_user_port", Set::No, 60),
            setting("ntds_port", Set::Yes, -60),
            BootSetting { member: "rpc_ports", set: Set::Yes, key_written: None },
        ];
        assert_eq!(waiting_for_restart(&settings, Some(boot)).unwrap(), ["reserved_ports"]);
        assert!(waiting_for_restart(&settings, None).is_err());
    }
}
