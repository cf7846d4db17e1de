//! Services that servers which are well show as automatic and stopped, now and then with an error: nobody mends them.
//!
//! From practice: what Server Manager shows in red on fresh servers, updaters that end as soon as they have looked, and
//! services of a session that is over.

/// Names in lower case.
const NAMES: &[&str] = &[
    "cdpsvc",
    "dbupdate",
    "dbupdatem",
    "edgeupdate",
    "edgeupdatem",
    "gupdate",
    "gupdatem",
    "mapsbroker",
    "remoteregistry",
    "shellhwdetection",
    "sppsvc",
    "tiledatamodelsvc",
    "trustedinstaller",
    "tzautoupdate",
    "wbiosrvc",
];

/// Their names go on with a version.
const FAMILIES: &[&str] = &["clr_optimization_", "googleupdater"];

pub(super) fn is_quiet(name: &str) -> bool {
    let name = name.to_lowercase();
    let is_of_family = || FAMILIES.iter().any(|family| name.starts_with(family));
    NAMES.contains(&name.as_str()) || is_of_family() || is_of_a_session(&name)
}

/// `cdpusersvc_4f3a2`: made anew for each session, and gone with it.
fn is_of_a_session(name: &str) -> bool {
    name.rsplit_once('_').is_some_and(|(base, session)| {
        !base.is_empty() && (4..=8).contains(&session.len()) && session.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::is_quiet;

    #[test]
    fn knows_what_stops_on_servers_that_are_well() {
        for name in
            ["sppsvc", "MapsBroker", "clr_optimization_v4.0.30319_64", "CDPUserSvc_4f3a2", "GoogleUpdaterService1"]
        {
            assert!(is_quiet(name), "{name}");
        }
        for name in ["Spooler", "ErpServer", "MSSQL$ERP", "erp_server", "_12ab"] {
            assert!(!is_quiet(name), "{name}");
        }
    }
}
