//! The agent's collectors on a Windows made of seeded registry keys and real sockets.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rules::facts::{Section, Service, ServiceState, Socket, StartMode, UpdateSource, UpdateState};
use rules::ports::{Port, Protocol};
use tests::wine::{WinePrefix, agent_exe, example_exe};

/// The two updates that the first incident was about, as their lists hold them, and an Exchange Server 2007 SP1.
const PACKAGE: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
"CurrentState"=dword:00000070
"InstallTimeHigh"=dword:01c92e3a
"InstallTimeLow"=dword:5f3a1c00
"#;
const PART_OF_PACKAGE: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_1_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
"CurrentState"=dword:00000070
"#;
const UNINSTALL_ENTRIES: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\{6AFCA4E1}.KB948609]
"DisplayName"="Update for Microsoft Windows (KB948609)"
"InstallDate"="20081014"
"UninstallString"="wusa.exe /uninstall /kb:948609"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\Größe]
"DisplayName"="Ein Programm für Größen"
"#;
const EXCHANGE: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\Setup]
"MsiInstallPath"="C:\\Program Files\\Microsoft\\Exchange Server\\"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\v8.0\ClientAccessRole]
"ConfiguredVersion"="8.1.240.6"
"#;
/// ReservedPorts `1645-1646` and `3101-3101`; TCP 52311 and UDP 1645-1646 excluded for good; the pool of DNS without 1812-1813.
const PORT_POLICY: &str = r#"
[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters]
"ReservedPorts"=hex(7):31,00,36,00,34,00,35,00,2d,00,31,00,36,00,34,00,36,00,00,00,33,00,31,00,30,00,31,00,2d,00,33,00,31,00,30,00,31,00,00,00,00,00
"MaxUserPort"=dword:0000ea60

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Nsi\{eb004a03-9b1a-11d4-9123-0050047759bc}\29]
"cc570100"=hex:12,00,ff,ff

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Nsi\{eb004a02-9b1a-11d4-9123-0050047759bc}\5]
"066d0200"=hex:12,00,ff,ff

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\DNS\Parameters]
"SocketPoolSize"=dword:000009c4
"SocketPoolExcludedPortRanges"=hex(7):31,00,38,00,31,00,32,00,2d,00,31,00,38,00,31,00,33,00,00,00,00,00

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\NTDS\Parameters]
"TCP/IP Port"=dword:0000c350

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters]
"DCTcpipPort"=dword:0000c351

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\NtFrs\Parameters]
"RPC TCP/IP Port Assignment"=dword:0000c352

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Rpc\Internet]
"Ports"=hex(7):35,00,30,00,30,00,30,00,2d,00,35,00,31,00,30,00,30,00,00,00,00,00
"PortsInternetAvailable"="Y"
"UseInternetPorts"="Y"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\HTTP\Parameters]
"ListenOnlyList"=hex(7):31,00,39,00,32,00,2e,00,30,00,2e,00,32,00,2e,00,31,00,00,00,00,00

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\HTTP\Parameters\UrlAclInfo]
"http://+:8530/"=hex:01,00,04,80

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Microsoft SQL Server\Instance Names\SQL]
"MSSQLSERVER"="MSSQL10_50.MSSQLSERVER"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Microsoft SQL Server\MSSQL10_50.MSSQLSERVER\MSSQLServer\SuperSocketNetLib\Tcp\IPAll]
"TcpPort"="1433"
"TcpDynamicPorts"=""

[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\Microsoft SQL Server\Instance Names\SQL]
"EXPRESS"="MSSQL10.EXPRESS"

[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\Microsoft SQL Server\MSSQL10.EXPRESS\MSSQLServer\SuperSocketNetLib\Tcp\IPAll]
"TcpPort"=""
"TcpDynamicPorts"="49172"
"#;

fn known<T: std::fmt::Debug>(section: Section<T>) -> T {
    match section {
        Section::Known(value) => value,
        Section::Unknown(reason) => panic!("unknown: {reason}"),
    }
}

#[test]
fn reads_sockets_with_their_owner() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let (udp, tcp) = free_ports()?;
    let holder = prefix.spawn(&example_exe("hold_port")?, &[&udp.to_string(), &tcp.to_string()])?;
    holder.wait_for_line(|line| line == "holding")?;

    let sockets = known(prefix.collect()?.sockets);
    for port in [udp, tcp] {
        let socket = find(&sockets, port);
        assert_eq!(socket.address.to_string(), "127.0.0.1");
        assert_eq!(socket.process(), Some("hold_port.exe"), "{socket:?}");
        assert!(socket.pid.is_some_and(|pid| pid > 0), "{socket:?}");
        assert!(socket.process_started_at.is_some(), "{socket:?}");
        // Wine knows neither; what is not known is not said.
        assert_eq!((socket.bound_at, socket.specific_port), (None, None));
    }
    Ok(())
}

#[test]
fn reads_services_with_state_and_configuration() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let _running = prefix.stay_awake()?;
    let services = wait_until(&prefix, |services| service(services, "Eventlog").state == ServiceState::Running)?;
    let running = service(&services, "Eventlog");
    assert!(running.pid.is_some());
    assert_eq!((running.start, running.exit_code), (Some(StartMode::Auto), Some(0)));
    assert!(running.image_path.as_deref().is_some_and(|path| path.contains("svchost.exe")), "{running:?}");
    let spooler = service(&services, "Spooler");
    assert_eq!((spooler.state, spooler.pid), (ServiceState::Stopped, None));
    assert_eq!(spooler.start, Some(StartMode::Manual));
    assert_eq!(spooler.exit_code, Some(1077), "never started since boot");
    assert_eq!(spooler.image_path.as_deref(), Some(r"C:\windows\system32\spoolsv.exe"));
    assert_eq!(spooler.account.as_deref(), Some("LocalSystem"));
    // Wine cannot tell: error 124.
    assert_eq!((spooler.delayed, spooler.trigger_start), (None, None));
    Ok(())
}

/// The second incident: after a restart the DNS server has the port of IAS, which stops and says why.
#[test]
fn sees_who_took_the_port_of_a_service() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let (port, _) = free_ports()?;
    let program = example_exe("port_service")?;
    for name in ["DNS", "IAS"] {
        prefix.install_service(name, &program, &format!("{name} {port}"))?;
    }
    prefix.kill();

    let _running = prefix.stay_awake()?;
    let services = wait_until(&prefix, |services| service(services, "IAS").exit_code == Some(1066))?;
    let (holder, victim) = (service(&services, "DNS"), service(&services, "IAS"));
    assert_eq!(holder.state, ServiceState::Running);
    assert_eq!((victim.state, victim.pid), (ServiceState::Stopped, None));
    assert_eq!((victim.start, victim.service_exit_code), (Some(StartMode::Auto), Some(10048)));

    let facts = prefix.collect()?;
    let sockets = known(facts.sockets);
    let socket = find(&sockets, port);
    assert_eq!((socket.pid, socket.process()), (holder.pid, Some("port_service.exe")));
    assert_eq!(socket.services, ["DNS"]);
    assert_eq!(known(known(facts.host).roles), ["dns-server", "nps"]);
    Ok(())
}

#[test]
fn reads_updates_and_products_from_the_registry() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(&[PACKAGE, PART_OF_PACKAGE, UNINSTALL_ENTRIES, EXCHANGE].concat())?;
    let facts = prefix.collect()?;

    let updates = known(facts.updates);
    assert_eq!(updates.len(), 2, "one package without its part, one Uninstall entry, no product: {updates:?}");
    let package = updates.iter().find(|update| update.source == UpdateSource::ComponentPackage);
    let package = package.context("the component package is listed")?;
    assert_eq!(package.id, "Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716");
    assert_eq!(package.kb.as_deref(), Some("KB948609"));
    assert_eq!(package.state, UpdateState::Installed);
    assert_eq!(package.installed_at, Some("2008-10-14T20:20:59.739443Z".parse()?));
    let entry = updates.iter().find(|update| update.source == UpdateSource::UninstallEntry);
    let entry = entry.context("the Uninstall entry is listed")?;
    assert_eq!(entry.title, "Update for Microsoft Windows (KB948609)");
    assert_eq!(entry.kb.as_deref(), Some("KB948609"));
    assert_eq!(entry.removable, Some(true));

    let host = known(facts.host);
    assert_eq!((host.os.major, host.os.minor, host.os.build), (6, 1, 7601));
    assert_eq!(host.os.service_pack.as_deref(), Some("Service Pack 1"));
    assert!(host.booted_at.is_some() && host.boot_id.is_some());
    assert_eq!(host.domain_controller, Some(false));
    let products = known(host.products);
    assert_eq!(products.len(), 1, "{products:?}");
    assert_eq!(products[0].id, "exchange-server");
    assert_eq!(products[0].version.as_deref(), Some("8.1.240.6"));
    Ok(())
}

#[test]
fn reads_the_port_policy() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    // What is seeded was written after this Windows started, and no other starts before it is read.
    let _running = prefix.stay_awake()?;
    prefix.seed(PORT_POLICY)?;
    let mut policy = serde_json::to_value(known(prefix.collect()?.port_policy))?;
    // Reserved by Wine itself, or not.
    let reservations = policy["url_reservations"]["known"].take();
    assert!(reservations.as_array().is_some_and(|urls| urls.contains(&serde_json::json!({ "url": "http://+:8530/" }))));
    assert_eq!(
        policy,
        serde_json::json!({
            // Wine's netsh ends well and prints nothing: that is no answer, not "no ranges".
            "dynamic_ranges": { "unknown": "netsh answered nothing" },
            "exclusions": { "unknown": "netsh answered nothing" },
            "persistent_exclusions": { "known": [
                { "protocol": "tcp", "range": "52311", "administered": true },
                { "protocol": "udp", "range": "1645-1646", "administered": true },
            ] },
            "reserved_ports": { "known": ["1645-1646", "3101"] },
            "max_user_port": { "known": 60000 },
            "dns_socket_pool": { "known": { "size": 2500, "excluded": ["1812-1813"] } },
            "ntds_port": { "known": 50000 },
            "netlogon_port": { "known": 50001 },
            "frs_port": { "known": 50002 },
            // There is no DFS Replication here.
            "dfsr_port": { "known": null },
            "rpc_ports": { "known": { "ranges": ["5000-5100"], "internet_available": true, "use_internet": true } },
            "url_reservations": { "known": null },
            "http_listen_only": { "known": ["192.0.2.1"] },
            "sql_ports": { "known": [
                { "instance": "MSSQLSERVER", "fixed": [1433] },
                { "instance": "EXPRESS", "fixed": [], "dynamic": 49172 },
            ] },
            // The pool of DNS counts from a restart of that service.
            "waiting_for_restart": { "known": ["reserved_ports", "max_user_port", "ntds_port", "rpc_ports"] },
        })
    );
    Ok(())
}

#[test]
fn what_cannot_be_read_is_unknown() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(
        r#"
[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters]
"MaxUserPort"="sixty thousand"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\NTDS\Parameters]
"TCP/IP Port"=dword:00010000
"#,
    )?;
    let facts = prefix.collect()?;
    let reason = facts.updates.unknown().context("this Wine has no component packages")?;
    assert!(reason.ends_with(r"Component Based Servicing\Packages does not exist"), "{reason}");
    let policy = known(facts.port_policy);
    let reason = policy.max_user_port.unknown().context("a text is no number")?;
    assert!(reason.starts_with("MaxUserPort cannot be read"), "{reason}");
    let reason = policy.ntds_port.unknown().context("65536 is no port")?;
    assert_eq!(reason, "TCP/IP Port is 65536, which is no port");
    // One that failed hides no other.
    assert_eq!(policy.reserved_ports, Section::Known(Vec::new()));
    known(facts.services);
    Ok(())
}

#[test]
fn sees_updates_come_and_go() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let follower = prefix.spawn(&example_exe("follow_updates")?, &[])?;
    follower.wait_for_line(|line| line == "unknown")?;
    prefix.seed(PACKAGE)?;
    follower.wait_for_line(|line| line.starts_with("known") && line.contains("Package_for_KB948609~"))?;
    prefix.seed(&PACKAGE.replacen("[HKEY", "[-HKEY", 1))?;
    follower.wait_for_line(|line| line == "known []")?;
    Ok(())
}

/// The services, once they are as a Windows is some seconds after its start.
fn wait_until(prefix: &WinePrefix, is_reached: impl Fn(&[Service]) -> bool) -> anyhow::Result<Vec<Service>> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let services = known(prefix.collect()?.services);
        if is_reached(&services) {
            return Ok(services);
        }
        assert!(Instant::now() < deadline, "not reached within a minute: {services:?}");
    }
}

fn service<'a>(services: &'a [Service], name: &str) -> &'a Service {
    services.iter().find(|service| service.name == name).unwrap_or_else(|| panic!("{name} is not listed"))
}

/// Ports that were free a moment ago: one for UDP, one for TCP.
fn free_ports() -> anyhow::Result<(Port, Port)> {
    let udp = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let tcp = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok((Port { protocol: Protocol::Udp, number: udp }, Port { protocol: Protocol::Tcp, number: tcp }))
}

fn find(sockets: &[Socket], port: Port) -> &Socket {
    sockets.iter().find(|socket| socket.local_port() == port).unwrap_or_else(|| panic!("{port} is not listed"))
}

#[test]
fn says_what_this_system_cannot_tell() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let output = prefix.run(&agent_exe()?, &["selftest", "--json"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let collectors = report["collectors"].as_array().context("a list of collectors")?;
    for (name, state) in [
        ("sockets", "ok"),
        ("socket-owners", "unavailable"),
        ("http-queues", "unavailable"),
        ("services", "ok"),
        ("service-push", "ok"),
        ("service-config", "degraded"),
        ("connections", "ok"),
    ] {
        let line = collectors.iter().find(|line| line["name"] == name).with_context(|| format!("no line of {name}"))?;
        assert_eq!(line["state"], state, "{line}");
        assert_eq!(line["reason"].is_string(), state != "ok", "{line}");
    }
    Ok(())
}
