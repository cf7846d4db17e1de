//! The files of `rules/catalog`, built into the program. A test checks that none is missing here.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../catalog/", $name)))),*]
    };
}

pub(super) const FILES: &[(&str, &str)] = files![
    "bad-updates/apr2026-dc-lsass-restart-loop.toml",
    "bad-updates/dec2025-msmq.toml",
    "bad-updates/dotnet20sp2-exchange2007-autodiscover.toml",
    "bad-updates/dotnet461-exchange.toml",
    "bad-updates/feb2019-2016-rds-logoff-crash.toml",
    "bad-updates/feb2019-msi-error-1309.toml",
    "bad-updates/jan2019-local-admin-remote-share.toml",
    "bad-updates/jan2022-dc-reboot-loop.toml",
    "bad-updates/jul2018-tcp-port-in-use.toml",
    "bad-updates/jul2024-rdgateway-rpc-http.toml",
    "bad-updates/jun2019-eventvwr-custom-views.toml",
    "bad-updates/jun2025-dhcp-server-stops.toml",
    "bad-updates/kb2949927-sha2.toml",
    "bad-updates/kb3004394-root-cert.toml",
    "bad-updates/kb3159706-wsus-manual-steps.toml",
    "bad-updates/kb4034681-nps.toml",
    "bad-updates/mar2024-dc-lsass-leak.toml",
    "bad-updates/may2026-2016-dclocator-15char.toml",
    "bad-updates/ms08-037-dns-socket-pool.toml",
    "bad-updates/ms13-061-exchange2013-index.toml",
    "bad-updates/nov2022-kerberos-etypes.toml",
    "bad-updates/sep2026-rds-deadlock.toml",
    "claims/active-directory.toml",
    "claims/backup.toml",
    "claims/databases.toml",
    "claims/exchange.toml",
    "claims/iis.toml",
    "claims/ipsec.toml",
    "claims/monitoring.toml",
    "claims/other-products.toml",
    "claims/windows-network.toml",
    "claims/windows-system.toml",
    "takers/dns-socket-pool.toml",
    "takers/ipsec-block-mode.toml",
    "takers/lsass-dynamic-rpc.toml",
    "takers/winnat-reserved-blocks.toml",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::FILES;

    #[test]
    fn every_file_of_the_catalog_is_built_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
        let mut on_disk = BTreeSet::new();
        for folder in std::fs::read_dir(root).unwrap() {
            let folder = folder.unwrap().path();
            for file in std::fs::read_dir(&folder).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                on_disk.insert(format!("{}/{name}", folder.file_name().unwrap().to_str().unwrap()));
            }
        }
        let built_in: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(built_in, on_disk);
    }
}
