//! Ordinary servers, all well: for none of them may anything be found. Their sockets are those of such servers, shared
//! ports and HTTP.sys included; stopped manual services, disabled ones and services that ended by themselves are there too.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

use rules::catalog::Catalog;
use rules::check;
use rules::finding::Judgement;
use rules::history::History;
use serde_json::{Value, json};

/// A server as a table: `name pid` runs, `name -` is stopped and manual, `name !` is disabled, `name ~` is automatic and
/// ended with 0; sockets are `port pid image [service]`.
struct Host<'a> {
    os: (&'a str, u32, u32, u32, u32),
    roles: &'a [&'a str],
    products: &'a [(&'a str, &'a str)],
    services: &'a [&'a str],
    sockets: &'a [&'a str],
    updates: &'a [&'a str],
    exclusions: &'a [&'a str],
}

const EVERY_SERVER: &[&str] = &[
    "RpcSs 800",
    "LanmanServer 1100",
    "LanmanWorkstation 1100",
    "EventLog 1000",
    "Schedule 1040",
    "TermService 1200",
    "WinRM 1300",
    "W32Time 1310",
    "IKEEXT 1320",
    "PolicyAgent 1330",
    "Spooler 1400",
    "Dnscache 1310",
    "SamSs 620",
    "Netlogon 620",
    "SSDPSRV -",
    "upnphost !",
    "SNMPTRAP -",
    "SharedAccess !",
    "RemoteAccess !",
    "MSDTC 1500",
    "CDPSvc 1510",
    "sppsvc ~",
    "PeerDistSvc -",
    "NetTcpPortSharing !",
    "MSiSCSI -",
    "Winmgmt 1530",
    "aspnet_state -",
    "sshd -",
];
const EVERY_SOCKET: &[&str] = &[
    "tcp/135 800 svchost.exe RpcSs",
    "tcp/445 4 System",
    "tcp/139 4 System",
    "tcp/3389 1200 svchost.exe TermService",
    "udp/3389 1200 svchost.exe TermService",
    "tcp/5985 4 System",
    "tcp/47001 4 System",
    "udp/123 1310 svchost.exe W32Time",
    "udp/500 1320 svchost.exe IKEEXT",
    "udp/4500 1320 svchost.exe IKEEXT",
    "udp/5353 1310 svchost.exe Dnscache",
    "udp/5355 1310 svchost.exe Dnscache",
    "tcp/5040 1510 svchost.exe CDPSvc",
    "udp/5050 1510 svchost.exe CDPSvc",
    "udp/137 4 System",
    "udp/138 4 System",
    "tcp/49664 620 lsass.exe",
    "tcp/49665 500 wininit.exe",
    "tcp/49666 1000 svchost.exe EventLog",
    "tcp/49667 1040 svchost.exe Schedule",
    "tcp/49668 1400 spoolsv.exe Spooler",
    "tcp/49669 640 services.exe",
];

impl Host<'_> {
    fn judge(&self) -> Judgement {
        let services: Vec<Value> = EVERY_SERVER.iter().chain(self.services).map(|line| service(line)).collect();
        let sockets: Vec<Value> = EVERY_SOCKET.iter().chain(self.sockets).flat_map(|line| sockets(line)).collect();
        let products: Vec<Value> =
            self.products.iter().map(|(id, version)| json!({ "id": id, "name": id, "version": version })).collect();
        let updates: Vec<Value> = self.updates.iter().map(|kb| json!({
            "source": "component_package", "id": format!("Package_for_{kb}~31bf3856ad364e35~amd64~~1.0"), "kb": kb, "state": "installed",
        })).collect();
        let exclusions: Vec<Value> = self
            .exclusions
            .iter()
            .map(|range| {
                let (protocol, range) = range.split_once('/').unwrap();
                json!({ "protocol": protocol, "family": "ipv4", "range": range, "administered": false })
            })
            .collect();
        let (name, major, minor, build, revision) = self.os;
        let is_controller = self.roles.contains(&"domain-controller");
        let document = json!({
            "schema": "portreeve.facts/1",
            "collected_at": "2026-10-15T08:00:00Z",
            "host": { "known": {
                "name": "SERVER-OF-15-CH", "domain": "example.test", "domain_controller": is_controller,
                "os": { "name": name, "major": major, "minor": minor, "build": build, "revision": (revision > 0).then_some(revision) },
                "booted_at": "2026-10-01T06:00:00Z",
                "products": { "known": products }, "roles": { "known": self.roles },
            } },
            "sockets": { "known": sockets },
            "services": { "known": services },
            "updates": { "known": updates },
            "port_policy": { "known": {
                "exclusions": { "known": exclusions }, "persistent_exclusions": { "known": [] },
                "dynamic_ranges": { "known": [
                    { "protocol": "udp", "family": "ipv4", "range": "49152-65535" },
                    { "protocol": "tcp", "family": "ipv4", "range": "49152-65535" },
                ] },
                "max_user_port": { "known": null }, "dns_socket_pool": { "known": {} },
            } },
            "events": { "known": [] },
            "connections": { "known": {} },
        });
        let facts = check::parse_facts(document.to_string().as_bytes()).unwrap();
        rules::judge(&facts, &Catalog::builtin(), &History::default())
    }

    /// Nothing is found, and nothing is left open.
    fn is_quiet(&self) {
        let judgement = self.judge();
        assert_eq!(judgement, Judgement::default(), "{}", check::render(&judgement));
    }
}

fn service(line: &str) -> Value {
    let (name, state) = line.rsplit_once(' ').unwrap();
    match state {
        "-" => json!({ "name": name, "state": "stopped", "start": "manual", "exit_code": 1077 }),
        "!" => json!({ "name": name, "state": "stopped", "start": "disabled", "exit_code": 1077 }),
        "~" => json!({ "name": name, "state": "stopped", "start": "auto", "exit_code": 0 }),
        pid => {
            json!({ "name": name, "state": "running", "start": "auto", "exit_code": 0, "pid": pid.parse::<u32>().unwrap() })
        }
    }
}

/// Both address families.
fn sockets(line: &str) -> Vec<Value> {
    let mut parts = line.splitn(4, ' ');
    let (protocol, port) = parts.next().unwrap().split_once('/').unwrap();
    let (port, pid) = (port.parse::<u16>().unwrap(), parts.next().unwrap().parse::<u32>().unwrap());
    let (image, services) = (parts.next().unwrap(), parts.next().into_iter().collect::<Vec<_>>());
    let state = if protocol == "tcp" { "listen" } else { "bound" };
    ["0.0.0.0", "::"].map(|address| json!({
        "protocol": protocol, "address": address, "port": port, "pid": pid, "image": image, "services": services, "state": state,
    })).into()
}

const SERVER_2019: (&str, u32, u32, u32, u32) = ("Windows Server 2019 Standard", 10, 0, 17763, 9247);
const SERVER_2022: (&str, u32, u32, u32, u32) = ("Windows Server 2022 Standard", 10, 0, 20348, 5631);
const SERVER_2025: (&str, u32, u32, u32, u32) = ("Windows Server 2025 Standard", 10, 0, 26100, 33451);
const SERVER_2012_R2: (&str, u32, u32, u32, u32) = ("Windows Server 2012 R2 Standard", 6, 3, 9600, 0);

#[test]
fn a_domain_controller() {
    let services = &[
        "NTDS 620",
        "Kdc 620",
        "ADWS 2000",
        "DNS 2100",
        "DFSR 2200",
        "Dfs 2250",
        "DHCPServer 2300",
        "IAS 2350",
        "CertSvc 2400",
        "NtFrs !",
    ];
    let sockets = &[
        "tcp/389 620 lsass.exe",
        "udp/389 620 lsass.exe",
        "tcp/636 620 lsass.exe",
        "tcp/3268 620 lsass.exe",
        "tcp/3269 620 lsass.exe",
        "tcp/88 620 lsass.exe",
        "udp/88 620 lsass.exe",
        "tcp/464 620 lsass.exe",
        "udp/464 620 lsass.exe",
        "tcp/593 800 svchost.exe RpcSs",
        "tcp/9389 2000 Microsoft.ActiveDirectory.WebServices.exe ADWS",
        "tcp/53 2100 dns.exe DNS",
        "udp/53 2100 dns.exe DNS",
        "udp/50001 2100 dns.exe DNS",
        "udp/61184 2100 dns.exe DNS",
        "udp/64001 2100 dns.exe DNS",
        "udp/67 2300 svchost.exe DHCPServer",
        "udp/68 2300 svchost.exe DHCPServer",
        "udp/2535 2300 svchost.exe DHCPServer",
        "udp/1645 2350 svchost.exe IAS",
        "udp/1646 2350 svchost.exe IAS",
        "udp/1812 2350 svchost.exe IAS",
        "udp/1813 2350 svchost.exe IAS",
    ];
    let roles = &["domain-controller", "dns-server", "dhcp-server", "nps", "adcs", "file-server"];
    for (os, update) in [(SERVER_2019, "KB5129238"), (SERVER_2022, "KB5129237"), (SERVER_2025, "KB5129235")] {
        Host { os, roles, products: &[], services, sockets, updates: &[update], exclusions: &[] }.is_quiet();
    }
}

#[test]
fn an_exchange_server() {
    Host {
        os: SERVER_2019,
        roles: &["iis"],
        products: &[("exchange-server", "15.2.1748.10"), ("iis", "10.0")],
        services: &[
            "W3SVC 2000",
            "HTTP 4",
            "MSExchangeTransport 2100",
            "MSExchangeFrontEndTransport 2200",
            "MSExchangeDelivery 2300",
            "MSExchangeSubmission 2400",
            "MSExchangeIS 2500",
            "MSExchangeRPC 2600",
            "MSExchangeRepl 2700",
            "MSExchangeServiceHost 2800",
            "MSExchangeADTopology 2900",
            "MSExchangeMailboxReplication 3000",
            "MSExchangePOP3 -",
            "MSExchangeIMAP4 -",
            "MSExchangePOP3BE -",
            "MSExchangeIMAP4BE -",
            "HostControllerService 3100",
            "NetTcpPortSharing 3200",
            "MSExchangeThrottling 3300",
            "SMTPSVC !",
        ],
        sockets: &[
            "tcp/80 4 System",
            "tcp/443 4 System",
            "tcp/81 4 System",
            "tcp/444 4 System",
            "tcp/25 2200 MSExchangeFrontendTransport.exe MSExchangeFrontEndTransport",
            "tcp/587 2200 MSExchangeFrontendTransport.exe MSExchangeFrontEndTransport",
            "tcp/717 2200 MSExchangeFrontendTransport.exe MSExchangeFrontEndTransport",
            "tcp/2525 2100 EdgeTransport.exe MSExchangeTransport",
            "tcp/465 2100 EdgeTransport.exe MSExchangeTransport",
            "tcp/475 2300 MSExchangeDelivery.exe MSExchangeDelivery",
            "tcp/808 3200 SMSvcHost.exe NetTcpPortSharing",
            "tcp/890 2900 MSExchangeADTopologyService.exe MSExchangeADTopology",
            "tcp/64327 2700 msexchangerepl.exe MSExchangeRepl",
            "tcp/6001 2600 Microsoft.Exchange.RpcClientAccess.Service.exe MSExchangeRPC",
            "tcp/3800 3100 hostcontrollerservice.exe HostControllerService",
        ],
        updates: &["KB5129238", "KB5074993"],
        exclusions: &["tcp/80-80", "tcp/443-443"],
    }
    .is_quiet();
}

#[test]
fn a_database_server() {
    Host {
        os: SERVER_2022,
        roles: &[],
        products: &[("sql-server", "16.0.4175.1")],
        services: &[
            "MSSQLSERVER 2000",
            "MSSQL$SQLEXPRESS 2050",
            "SQLBrowser 2100",
            "MSSQLServerOLAPService 2200",
            "MSOLAP$TAB 2250",
            "SQLServerReportingServices 2300",
            "MsDtsServer160 2400",
            "SQLSERVERAGENT -",
            "MySQL80 2500",
            "postgresql-x64-16 2600",
            "postgresql-x64-15 2650",
        ],
        sockets: &[
            "tcp/1433 2000 sqlservr.exe MSSQLSERVER",
            "tcp/1434 2000 sqlservr.exe MSSQLSERVER",
            "tcp/50123 2050 sqlservr.exe MSSQL$SQLEXPRESS",
            "udp/1434 2100 sqlbrowser.exe SQLBrowser",
            "tcp/2382 2100 sqlbrowser.exe SQLBrowser",
            "tcp/2383 2200 msmdsrv.exe MSSQLServerOLAPService",
            "tcp/50777 2250 msmdsrv.exe MSOLAP$TAB",
            "tcp/80 4 System",
            "tcp/3306 2500 mysqld.exe MySQL80",
            "tcp/33060 2500 mysqld.exe MySQL80",
            "tcp/5432 2600 postgres.exe",
            "tcp/5433 2650 postgres.exe",
        ],
        updates: &["KB5129237"],
        exclusions: &["tcp/80-80"],
    }
    .is_quiet();
}

#[test]
fn a_session_host_with_its_gateway() {
    Host {
        os: SERVER_2022,
        roles: &["rds-session-host", "rds-gateway", "rds-licensing", "rds-connection-broker", "iis", "print-server"],
        products: &[("iis", "10.0")],
        services: &[
            "TSGateway 2000",
            "TermServLicensing 2100",
            "Tssdis 2200",
            "SessionEnv 2300",
            "UmRdpService 2400",
            "W3SVC 2500",
            "IAS 2600",
            "SstpSvc -",
        ],
        sockets: &[
            "tcp/443 4 System",
            "tcp/80 4 System",
            "tcp/3388 2000 svchost.exe TSGateway",
            "udp/3391 2000 svchost.exe TSGateway",
            "tcp/5504 2200 tssdis.exe Tssdis",
            "udp/1812 2600 svchost.exe IAS",
            "udp/1813 2600 svchost.exe IAS",
            "udp/1645 2600 svchost.exe IAS",
            "udp/1646 2600 svchost.exe IAS",
        ],
        updates: &["KB5129237"],
        exclusions: &["tcp/80-80", "tcp/443-443"],
    }
    .is_quiet();
}

#[test]
fn an_update_server() {
    for os in [SERVER_2019, SERVER_2022] {
        Host {
            os,
            roles: &["wsus", "iis"],
            products: &[("iis", "10.0"), ("sql-server", "16.0.1000.6")],
            services: &["WsusService 2000", "W3SVC 2100", "MSSQL$MICROSOFT##WID 2200", "WDSServer -"],
            sockets: &["tcp/8530 4 System", "tcp/8531 4 System", "tcp/80 4 System"],
            updates: &["KB5129237", "KB5129238"],
            exclusions: &["tcp/8530-8530"],
        }
        .is_quiet();
    }
}

#[test]
fn a_file_and_print_server() {
    Host {
        os: SERVER_2012_R2,
        roles: &["file-server", "dfs-replication"],
        products: &[],
        services: &[
            "DFSR 2000",
            "Dfs 2100",
            "VSS -",
            "FssAgent -",
            "NfsService 2200",
            "WinTarget 2300",
            "klnagent 2400",
        ],
        sockets: &[
            "tcp/2049 4 System",
            "udp/2049 4 System",
            "tcp/111 4 System",
            "udp/111 4 System",
            "tcp/3260 2300 WinTarget.exe WinTarget",
            "udp/15000 2400 klnagent.exe klnagent",
        ],
        updates: &["KB5040456"],
        exclusions: &[],
    }
    .is_quiet_but_for(&["bad-update/jul2024-bitlocker-recovery"]);
}

#[test]
fn a_web_server() {
    Host {
        os: SERVER_2025,
        roles: &["iis"],
        products: &[("iis", "10.0")],
        services: &[
            "W3SVC 2000",
            "FTPSVC 2100",
            "Tomcat9 2200",
            "Tomcat10 2250",
            "MSMQ 2300",
            "RabbitMQ 2400",
            "Redis 2500",
            "NetTcpActivator 2600",
            "NetTcpPortSharing 2600",
        ],
        sockets: &[
            "tcp/80 4 System",
            "tcp/443 4 System",
            "tcp/21 2100 svchost.exe FTPSVC",
            "tcp/8080 2200 tomcat9.exe Tomcat9",
            "tcp/8005 2200 tomcat9.exe Tomcat9",
            "tcp/8081 2250 tomcat10.exe Tomcat10",
            "tcp/1801 2300 mqsvc.exe MSMQ",
            "tcp/2103 2300 mqsvc.exe MSMQ",
            "tcp/2105 2300 mqsvc.exe MSMQ",
            "tcp/2107 2300 mqsvc.exe MSMQ",
            "tcp/5672 2400 erl.exe RabbitMQ",
            "tcp/25672 2400 erl.exe RabbitMQ",
            "tcp/4369 2410 epmd.exe",
            "tcp/6379 2500 redis-server.exe Redis",
            "tcp/808 2600 SMSvcHost.exe NetTcpPortSharing",
        ],
        updates: &["KB5129235"],
        exclusions: &["tcp/80-80", "tcp/443-443"],
    }
    .is_quiet();
}

/// Blocks of Hyper-V lie in the dynamic range, where no service of the host has a port.
#[test]
fn a_hyper_v_host() {
    for os in [SERVER_2019, SERVER_2022, SERVER_2025] {
        Host {
            os,
            roles: &["hyper-v", "failover-cluster"],
            products: &[],
            services: &[
                "vmms 2000",
                "vmcompute 2100",
                "hns 2200",
                "winnat 2300",
                "ClusSvc 2400",
                "VeeamTransportSvc 2500",
                "VeeamDeploySvc 2600",
                "Netbird -",
            ],
            sockets: &[
                "tcp/2179 2000 vmms.exe vmms",
                "tcp/6600 2000 vmms.exe vmms",
                "udp/3343 2400 clussvc.exe ClusSvc",
                "tcp/3343 2400 clussvc.exe ClusSvc",
                "tcp/6162 2500 VeeamTransportSvc.exe VeeamTransportSvc",
                "tcp/6160 2600 VeeamDeploymentSvc.exe VeeamDeploySvc",
            ],
            updates: &["KB5129237", "KB5129238", "KB5129235"],
            exclusions: &["tcp/50000-50059", "tcp/50160-50259", "tcp/51800-51899", "udp/51800-51899"],
        }
        .is_quiet();
    }
}

/// A second instance that stopped with an error does not lose the port that its sibling has by right.
#[test]
fn siblings_are_no_conflict() {
    let mut services = Vec::new();
    for (running, stopped) in [
        ("postgresql-x64-16 2600", "postgresql-x64-15"),
        ("Tomcat9 2700", "Tomcat11"),
        ("MSOLAP$A 2800", "MSOLAP$B"),
        ("RabbitMQ ~", "MicrosoftDynamicsNavServer$B"),
    ] {
        services.push(service(running));
        services.push(json!({ "name": stopped, "state": "stopped", "start": "auto", "exit_code": 1067 }));
    }
    services.push(json!({ "name": "RabbitMQ", "state": "stopped", "start": "auto", "exit_code": 1067 }));
    let sockets: Vec<Value> = [
        "tcp/5432 2600 postgres.exe postgresql-x64-16",
        "tcp/8080 2700 tomcat9.exe Tomcat9",
        "tcp/8005 2700 tomcat9.exe Tomcat9",
        "tcp/2383 2800 msmdsrv.exe MSOLAP$A",
        "tcp/4369 2900 epmd.exe",
    ]
    .into_iter()
    .flat_map(sockets)
    .collect();
    let document = json!({
        "schema": "portreeve.facts/1", "collected_at": "2026-10-15T08:00:00Z",
        "host": { "known": { "name": "A", "os": { "name": "Windows Server 2022", "major": 10, "minor": 0, "build": 20348, "revision": 5631 }, "booted_at": "2026-10-01T06:00:00Z", "products": { "known": [] }, "roles": { "known": [] } } },
        "sockets": { "known": sockets }, "services": { "known": services }, "updates": { "known": [] },
        "port_policy": { "known": { "exclusions": { "known": [] } } }, "events": { "known": [] },
    });
    let facts = check::parse_facts(document.to_string().as_bytes()).unwrap();
    let judgement = rules::judge(&facts, &Catalog::builtin(), &History::default());
    // That it failed is true; that a sibling took its port is not.
    let conflict = judgement.findings.iter().find(|finding| finding.rule.starts_with("port-conflict/"));
    assert!(conflict.is_none(), "{}", check::render(&judgement));
}

impl Host<'_> {
    /// What an old update leaves possible, and nothing else.
    fn is_quiet_but_for(&self, expected: &[&str]) {
        let judgement = self.judge();
        let found: Vec<&str> = judgement.findings.iter().map(|finding| finding.rule.as_str()).collect();
        assert_eq!(found, expected, "{}", check::render(&judgement));
        assert!(judgement.findings.iter().all(|finding| finding.confidence == rules::finding::Confidence::Possible));
    }
}
