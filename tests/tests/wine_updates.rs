//! Updates, products, roles and signs of a wanted restart, from a Windows made of seeded registry keys.

use std::collections::BTreeMap;

use rules::facts::{CollectorState, Section, UpdateSource, UpdateState};
use tests::wine::{WinePrefix, example_exe};

const PACKAGES: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
"CurrentState"=dword:00000070
"InstallClient"="WindowsUpdateAgent"
"InstallUser"="S-1-5-18"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB951748~31bf3856ad364e35~amd64~~6.0.1.0]
"CurrentState"=dword:00000050

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB2919355~31bf3856ad364e35~amd64~~6.3.1.14]
"CurrentState"=dword:80070002

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB2874216~31bf3856ad364e35~amd64~~6.1.1.0]
"CurrentState"=dword:00000000

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB5019964~31bf3856ad364e35~amd64~~14393.5501.1.0]
"CurrentState"=dword:00000060
"#;

/// Two rollups for one product, the second in place of the first.
const PATCHES: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer\UserData\S-1-5-18\Products\4A5CA4D69FC409F418119B5BC32E75FB\Patches\461C2B4266EDEF444B864AD6D9E5B613]
"DisplayName"="Update Rollup 8 for Exchange Server 2007 Service Pack 1 (KB968012)"
"State"=dword:00000002
"Installed"="20090519"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Installer\UserData\S-1-5-18\Products\4A5CA4D69FC409F418119B5BC32E75FB\Patches\561C2B4266EDEF444B864AD6D9E5B613]
"DisplayName"="Update Rollup 9 for Exchange Server 2007 Service Pack 1"
"State"=dword:00000001
"Installed"="20090717"
"Uninstallable"=dword:00000001
"MoreInfoURL"="http://support.microsoft.com/?kbid=970162"
"#;

const FRAMEWORKS: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\NET Framework Setup\NDP\v2.0.50727]
"Install"=dword:00000001
"SP"=dword:00000002
"Version"="2.0.50727.3053"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\NET Framework Setup\NDP\v3.0]
"Install"=dword:00000000
"#;

const SOFTWARE: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Microsoft SQL Server\Instance Names\SQL]
"MSSQLSERVER"="MSSQL10_50.MSSQLSERVER"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Microsoft SQL Server\MSSQL10_50.MSSQLSERVER\Setup]
"Version"="10.50.1600.1"
"PatchLevel"="10.53.6220.0"
"Edition"="Standard Edition"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\InetStp]
"MajorVersion"=dword:00000007
"MinorVersion"=dword:00000005

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\ServerManager\ServicingStorage\ServerComponentCache\Print-Server]
"InstallState"=dword:00000001

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\ServerManager\ServicingStorage\ServerComponentCache\FS-FileServer]
"InstallState"=dword:00000000

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server]
"TSAppCompat"=dword:00000001
"#;

/// Values and keys that are there only until the restart.
const RESTART: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending]

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired]

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Session Manager]
"PendingFileRenameOperations"=hex(7):5c,00,3f,00,3f,00,5c,00,43,00,3a,00,5c,00,61,00,00,00,00,00,00,00

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Netlogon]
"AvoidSpnSet"=dword:00000001
"#;

fn known<T: std::fmt::Debug>(section: Section<T>) -> T {
    match section {
        Section::Known(value) => value,
        Section::Unknown(reason) => panic!("unknown: {reason}"),
    }
}

#[test]
fn only_what_is_installed_is_listed_as_installed() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(&[PACKAGES, PATCHES].concat())?;
    let updates = known(prefix.collect()?.updates);
    let states: BTreeMap<&str, UpdateState> =
        updates.iter().filter_map(|update| Some((update.kb.as_deref()?, update.state))).collect();
    assert_eq!(
        states,
        BTreeMap::from([
            ("KB2874216", UpdateState::Absent),
            ("KB2919355", UpdateState::Failed),
            ("KB5019964", UpdateState::InstallPending),
            ("KB948609", UpdateState::Installed),
            ("KB951748", UpdateState::Superseded),
            ("KB968012", UpdateState::Superseded),
            ("KB970162", UpdateState::Installed),
        ])
    );
    let find = |kb: &str| updates.iter().find(|update| update.kb.as_deref() == Some(kb)).cloned().unwrap();
    assert_eq!(find("KB948609").installed_by.as_deref(), Some("WindowsUpdateAgent (S-1-5-18)"));
    let rollup = find("KB970162");
    assert_eq!(rollup.source, UpdateSource::InstallerPatch);
    assert_eq!(rollup.id, "{6D4AC5A4-4CF9-4F90-8111-B9B53CE257BF}/{24B2C165-DE66-44FE-B468-A46D9D5E6B31}");
    assert_eq!((rollup.removable, rollup.installed_at), (Some(true), Some("2009-07-17T00:00:00Z".parse()?)));
    Ok(())
}

#[test]
fn versions_of_the_framework_are_listed() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(&[PACKAGES, FRAMEWORKS].concat())?;
    let updates = known(prefix.collect()?.updates);
    let frameworks: Vec<_> = updates.iter().filter(|update| update.source == UpdateSource::FrameworkVersion).collect();
    let [framework] = frameworks[..] else { panic!("one is installed: {frameworks:?}") };
    assert_eq!((&*framework.id, framework.version.as_deref()), ("ndp/v2.0.50727", Some("2.0.50727.3053")));
    assert_eq!((&*framework.title, &framework.kb), (".NET Framework 2.0.50727 SP2", &None));
    Ok(())
}

#[test]
fn reads_roles_and_products() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(SOFTWARE)?;
    let host = known(prefix.collect()?.host);
    assert_eq!(known(host.roles), ["print-server", "rds-session-host"]);
    let products: Vec<_> = known(host.products)
        .into_iter()
        .map(|product| (product.id.into_string(), product.name.into_string(), product.version))
        .collect();
    assert_eq!(
        products,
        [
            ("iis".to_owned(), "Internet Information Services".to_owned(), Some("7.5".into())),
            (
                "sql-server".to_owned(),
                "SQL Server (MSSQLSERVER), Standard Edition".to_owned(),
                Some("10.53.6220.0".into())
            ),
        ]
    );
    Ok(())
}

#[test]
fn says_why_a_restart_is_wanted() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    // As long as it runs there is no restart, which would do what the signs ask for.
    let running = prefix.spawn(&example_exe("hold_port")?, &[])?;
    running.wait_for_line(|line| line == "holding")?;
    let before = known(known(prefix.collect()?.host).pending_restart);
    prefix.seed(RESTART)?;
    let signs = known(known(prefix.collect()?.host).pending_restart);
    for sign in [
        "component servicing waits for a restart",
        "Windows Update waits for a restart",
        "files are moved or deleted at the restart",
        "a change of the domain name waits for a restart",
    ] {
        assert!(!before.iter().any(|text| *text == *sign), "{sign}: {before:?}");
        assert!(signs.iter().any(|text| *text == *sign), "{sign}: {signs:?}");
    }
    Ok(())
}

#[test]
fn sees_patches_and_frameworks_come() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(PACKAGES)?;
    let follower = prefix.spawn(&example_exe("follow_updates")?, &[])?;
    follower.wait_for_line(|line| line.starts_with("known"))?;
    prefix.seed(PATCHES)?;
    follower.wait_for_line(|line| line.starts_with("known") && line.contains("24B2C165"))?;
    prefix.seed(FRAMEWORKS)?;
    follower.wait_for_line(|line| line.starts_with("known") && line.contains("ndp/v2.0.50727"))?;
    Ok(())
}

/// Wine has no event log and an update agent without a memory. Both are told, neither is an empty list, and what is read
/// from the registry stays known.
#[test]
fn what_wine_lacks_is_unavailable() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(PACKAGES)?;
    let facts = prefix.collect()?;
    assert_eq!(facts.events.unknown().unwrap(), "the event log is not available: this is Wine, which has none");
    assert!(known(facts.updates).iter().all(|update| update.source == UpdateSource::ComponentPackage));
    let host = known(facts.host);
    let state = |name: &str| {
        let collector = host.collectors.iter().find(|collector| collector.name == *name).unwrap();
        (collector.state, collector.reason.as_deref().unwrap_or_default())
    };
    for name in ["update-packages", "installer-patches", "uninstall-entries"] {
        assert_eq!(state(name), (CollectorState::Ok, ""), "{name}");
    }
    assert_eq!(state("products"), (CollectorState::Ok, ""));
    for (name, reason) in [
        ("event-log", "the event log is not available: this is Wine, which has none"),
        ("update-history", "the history of updates cannot be read: the Windows Update Agent answers 0x80004001"),
        ("update-offers", "the list of offered updates cannot be read: the Windows Update Agent answers 0x80004001"),
        ("dynamic-ranges", "netsh answered nothing"),
        ("port-exclusions", "netsh answered nothing"),
    ] {
        assert_eq!(state(name), (CollectorState::Unavailable, reason), "{name}");
    }
    Ok(())
}
