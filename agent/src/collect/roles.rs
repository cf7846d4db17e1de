//! What a server is for, told by its services and by the version numbers that its products leave in the registry.
//!
//! Only what a host has on purpose counts: a service that is disabled is no role. No I/O.

use rules::facts::{Product, Service, StartMode};
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

/// Features of Server Manager (Server 2012 and later) that have no service of their own.
const ROLE_FEATURES: [(&str, &str); 7] = [
    ("FS-DFS-Replication", "dfs-replication"),
    ("FS-FileServer", "file-server"),
    ("Print-Server", "print-server"),
    ("RDS-RD-Server", "rds-session-host"),
    ("RDS-Virtualization", "rds-virtualization-host"),
    ("RDS-Web-Access", "rds-web-access"),
    ("VolumeActivation", "kms-host"),
];

/// What the registry says about roles.
#[derive(Clone, Debug, Default)]
pub struct RoleValues {
    /// Names of the installed features of Server Manager.
    pub features: Vec<String>,
    /// `Terminal Server\TSAppCompat`: 1 on a host of remote sessions, 0 where they only administer.
    pub application_sessions: Option<u32>,
    /// `CurrentVersion\InstallationType`: `Server`, `Server Core` or `Client`.
    pub installation_type: String,
}

/// Roles in the words of the catalog, sorted, each once.
pub fn roles(services: &[Service], values: &RoleValues) -> Vec<Text> {
    let enabled = services.iter().filter(|service| is_enabled(service)).map(|service| &*service.name);
    let by_service = enabled.filter_map(|service| role_of(&ROLE_SERVICES, service));
    let by_feature = values.features.iter().filter_map(|feature| role_of(&ROLE_FEATURES, feature));
    let session_host = (values.application_sessions == Some(1)).then_some("rds-session-host");
    let core = values.installation_type.eq_ignore_ascii_case("Server Core").then_some("server-core");
    let mut roles: Vec<Text> = by_service.chain(by_feature).chain(session_host).chain(core).map(Text::new).collect();
    roles.sort();
    roles.dedup();
    roles
}

/// `BlackBerry Router`: the product of the second incident leaves no other sign that is the same in all its versions.
pub fn product_by_service(services: &[Service]) -> Option<Product> {
    let router = services.iter().find(|service| service.name.eq_ignore_ascii_case("BlackBerry Router"))?;
    is_enabled(router).then(|| Product {
        id: Text::new("blackberry-enterprise-server"),
        name: Text::new("BlackBerry Enterprise Server"),
        version: None,
    })
}

fn is_enabled(service: &Service) -> bool {
    service.start.is_some_and(|start| start != StartMode::Disabled)
}

fn role_of(roles: &[(&str, &'static str)], sign: &str) -> Option<&'static str> {
    roles.iter().find(|(name, _)| name.eq_ignore_ascii_case(sign)).map(|(_, role)| *role)
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

    use super::{RoleValues, file_version, product_by_service, roles, setup_version};

    fn service(name: &str, start: &str) -> Service {
        serde_json::from_value(serde_json::json!({ "name": name, "state": "stopped", "start": start })).unwrap()
    }

    #[test]
    fn enabled_services_tell_the_roles() {
        let services =
            [service("ntds", "auto"), service("ADWS", "auto"), service("DNS", "manual"), service("IAS", "auto")];
        assert_eq!(roles(&services, &RoleValues::default()), ["dns-server", "domain-controller", "nps"]);
    }

    #[test]
    fn a_disabled_or_unread_service_is_no_role() {
        let unread = Service { start: None, ..service("DNS", "auto") };
        assert!(roles(&[service("RemoteAccess", "disabled"), unread], &RoleValues::default()).is_empty());
        assert_eq!(product_by_service(&[service("BlackBerry Router", "disabled")]), None);
        assert_eq!(service("x", "auto").start, Some(StartMode::Auto));
    }

    #[test]
    fn features_and_values_tell_roles_without_a_service() {
        let values = RoleValues {
            features: vec!["Print-Server".to_owned(), "RDS-RD-Server".to_owned(), "Telnet-Client".to_owned()],
            application_sessions: Some(1),
            installation_type: "Server Core".to_owned(),
        };
        assert_eq!(roles(&[], &values), ["print-server", "rds-session-host", "server-core"]);
        let product = product_by_service(&[service("Blackberry Router", "auto")]).unwrap();
        assert_eq!(product.id, "blackberry-enterprise-server");
    }

    #[test]
    fn versions_are_dotted() {
        assert_eq!(setup_version([Some(8), Some(1), Some(240), Some(6)]).unwrap(), "8.1.240.6");
        assert_eq!(setup_version([Some(8), Some(1), None, Some(6)]), None);
        assert_eq!(file_version(0x000f_0002, 0x045e_0007), "15.2.1118.7");
    }
}
