//! What a server is for, told by its services and by the version numbers that its products leave in the registry.
//!
//! Only what a host has on purpose counts: a service that is disabled is no role. No I/O.

use rules::facts::{Service, StartMode};
use rules::text::Text;

/// Services that only a server of that role has enabled. Print Spooler, Server and Remote Desktop Services run on every
/// server and tell nothing.
const ROLE_SERVICES: [(&str, &str); 17] = [
    ("ADWS", "domain-controller"),
    ("CertSvc", "adcs"),
    ("ClusSvc", "failover-cluster"),
    ("DHCPServer", "dhcp-server"),
    ("DNS", "dns-server"),
    ("IAS", "nps"),
    ("MSMQ", "msmq"),
    ("NTDS", "domain-controller"),
    ("RemoteAccess", "rras"),
    ("TSGateway", "rds-gateway"),
    ("TermServLicensing", "rds-licensing"),
    ("Tssdis", "rds-connection-broker"),
    ("W3SVC", "iis"),
    ("WDSServer", "wds"),
    ("WsusService", "wsus"),
    ("adfssrv", "adfs"),
    ("vmms", "hyper-v"),
];

/// Roles in the words of the catalog, sorted, each once.
pub fn roles(services: &[Service]) -> Vec<Text> {
    let enabled = services.iter().filter(|service| service.start.is_some_and(|start| start != StartMode::Disabled));
    let mut roles: Vec<Text> = enabled.filter_map(|service| role_of(&service.name)).map(Text::new).collect();
    roles.sort();
    roles.dedup();
    roles
}

fn role_of(service: &str) -> Option<&'static str> {
    ROLE_SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, role)| *role)
}

/// `8.1.240.6` of the DWORDs that setup writes: product major and minor, build major and minor.
pub fn setup_version(numbers: [Option<u32>; 4]) -> Option<String> {
    let [Some(major), Some(minor), Some(build), Some(revision)] = numbers else { return None };
    Some(format!("{major}.{minor}.{build}.{revision}"))
}

/// `15.2.1118.7` of the two DWORDs of a file's version resource.
pub fn file_version(high: u32, low: u32) -> String {
    format!("{}.{}.{}.{}", high >> 16, high & 0xffff, low >> 16, low & 0xffff)
}

#[cfg(test)]
mod tests {
    use rules::facts::{Service, StartMode};

    use super::{file_version, roles, setup_version};

    fn service(name: &str, start: &str) -> Service {
        serde_json::from_value(serde_json::json!({ "name": name, "state": "stopped", "start": start })).unwrap()
    }

    #[test]
    fn enabled_services_tell_the_roles() {
        let services =
            [service("ntds", "auto"), service("ADWS", "auto"), service("DNS", "manual"), service("IAS", "auto")];
        assert_eq!(roles(&services), ["dns-server", "domain-controller", "nps"]);
    }

    #[test]
    fn a_disabled_or_unread_service_is_no_role() {
        let unread = Service { start: None, ..service("DNS", "auto") };
        assert!(roles(&[service("RemoteAccess", "disabled"), unread]).is_empty());
        assert_eq!(service("x", "auto").start, Some(StartMode::Auto));
    }

    #[test]
    fn versions_are_dotted() {
        assert_eq!(setup_version([Some(8), Some(1), Some(240), Some(6)]).unwrap(), "8.1.240.6");
        assert_eq!(setup_version([Some(8), Some(1), None, Some(6)]), None);
        assert_eq!(file_version(0x000f_0002, 0x045e_0007), "15.2.1118.7");
    }
}
