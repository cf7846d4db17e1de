//! What the registry says about updates, from raw values to rows.
//!
//! Four lists: the packages of Component Based Servicing, the patches of Windows Installer, the Uninstall entries, and the
//! versions of the .NET Framework. A plain product or feature is not an update and gives no row. No I/O.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rules::facts::{Update, UpdateSource, UpdateState};
use rules::text::Text;

use super::reading::filetime;

/// Values of one key below `Component Based Servicing\Packages`.
#[derive(Clone, Debug, Default)]
pub struct PackageValues {
    /// `None`: the key is just being written.
    pub current_state: Option<u32>,
    pub install_time_high: u32,
    pub install_time_low: u32,
    /// Where the package came from: the only place that names the KB of a cumulative update.
    pub install_location: String,
    /// The program that installed it, such as `WindowsUpdateAgent`.
    pub install_client: String,
    /// The account that installed it, as a SID.
    pub install_user: String,
}

/// Whether a component package is an update, by its identity: most packages are features of the system.
pub fn is_update(identity: &str) -> bool {
    let name = package_name(identity);
    name.starts_with("Package_for_") || knowledge_base(name).is_some()
}

fn package_name(identity: &str) -> &str {
    identity.split('~').next().unwrap_or(identity)
}

/// The row of a component package. `None`: a feature of the system, not an update.
pub fn package(identity: &str, values: &PackageValues) -> Option<Update> {
    if !is_update(identity) {
        return None;
    }
    let (name, version) = (package_name(identity), identity.rsplit('~').next());
    let install_time = u64::from(values.install_time_high) << 32 | u64::from(values.install_time_low);
    Some(Update {
        source: UpdateSource::ComponentPackage,
        id: Text::new(identity),
        kb: knowledge_base(name).or_else(|| knowledge_base(&values.install_location)).map(Text::from),
        title: Text::new(name),
        state: package_state(values.current_state),
        installed_at: filetime(install_time),
        removable: (values.current_state == Some(PERMANENT)).then_some(false),
        version: version.filter(|version| version.contains('.')).map(Text::new),
        aliases: Vec::new(),
        installed_by: installed_by(&values.install_client, &values.install_user),
    })
}

/// `WindowsUpdateAgent (S-1-5-18)`, or the one that is known.
fn installed_by(client: &str, user: &str) -> Option<Text> {
    match (client.is_empty(), user.is_empty()) {
        (true, true) => None,
        (false, true) => Some(Text::new(client)),
        (true, false) => Some(Text::new(user)),
        (false, false) => Some(Text::from(format!("{client} ({user})"))),
    }
}

const PERMANENT: u32 = 0x80;

/// The states of Microsoft's "CBS Servicing States Chart"; a negative one is broken.
fn package_state(current_state: Option<u32>) -> UpdateState {
    match current_state {
        Some(0x00) => UpdateState::Absent,
        Some(0x05) => UpdateState::UninstallPending,
        None | Some(0x10..=0x40) => UpdateState::Staged,
        Some(0x50) => UpdateState::Superseded,
        Some(0x60) => UpdateState::InstallPending,
        Some(0x65 | 0x70 | PERMANENT) => UpdateState::Installed,
        Some(_) => UpdateState::Failed,
    }
}

/// Leaves out the parts that a package was cut into (`Package_2_for_KB948609`, `Package_for_KB948609_client`) wherever
/// the package itself is in the list: one update, one row.
pub fn without_parts(packages: Vec<Update>) -> Vec<Update> {
    let is_whole = |update: &Update| {
        update.kb.as_ref().is_some_and(|kb| update.title.eq_ignore_ascii_case(&format!("Package_for_{kb}")))
    };
    let whole: BTreeSet<Text> =
        packages.iter().filter(|update| is_whole(update)).filter_map(|u| u.kb.clone()).collect();
    let is_kept = |update: &Update| is_whole(update) || !update.kb.as_ref().is_some_and(|kb| whole.contains(kb));
    packages.into_iter().filter(is_kept).collect()
}

/// Values of one key below `CurrentVersion\Uninstall`.
#[derive(Clone, Debug, Default)]
pub struct UninstallValues {
    pub display_name: String,
    pub display_version: String,
    /// `YYYYMMDD`, as installers write it.
    pub install_date: String,
    /// `Update`, `Hotfix`, `Security Update`, `Service Pack` …; products have none.
    pub release_type: String,
    pub uninstall_command: String,
    /// `NoRemove` is set.
    pub is_locked: bool,
}

/// The row of an Uninstall entry. `None`: a plain product. `id` is unique over both registry views.
pub fn uninstall_entry(id: &str, values: &UninstallValues) -> Option<Update> {
    let kb = knowledge_base(&values.display_name).or_else(|| knowledge_base(id));
    if kb.is_none() && values.release_type.is_empty() {
        return None;
    }
    let removable = if values.is_locked { Some(false) } else { (!values.uninstall_command.is_empty()).then_some(true) };
    Some(Update {
        source: UpdateSource::UninstallEntry,
        id: Text::new(id),
        kb: kb.map(Text::from),
        aliases: further_names(&values.display_name),
        title: Text::new(&values.display_name),
        state: UpdateState::Installed,
        installed_at: install_date(&values.install_date),
        removable,
        version: (!values.display_version.is_empty()).then(|| Text::new(&values.display_version)),
        installed_by: None,
    })
}

/// Values of one key below `Installer\UserData\S-1-5-18\Products\PRODUCT\Patches`.
#[derive(Clone, Debug, Default)]
pub struct InstallerValues {
    pub display_name: String,
    /// 1 applied, 2 superseded, 4 obsoleted, 8 registered only. `None`: the key is just being written.
    pub state: Option<u32>,
    /// `None`: not set.
    pub uninstallable: Option<u32>,
    /// `YYYYMMDD`.
    pub installed: String,
    pub more_info_url: String,
}

/// The row of a patch of Windows Installer. Both codes as the registry packs them; one patch may serve several products.
///
/// States: <https://learn.microsoft.com/windows/win32/api/msi/nf-msi-msienumpatchesexw>
pub fn installer_entry(packed_product: &str, packed_patch: &str, values: &InstallerValues) -> Update {
    let code = |packed: &str| unpacked_guid(packed).unwrap_or_else(|| packed.to_owned());
    let kb = knowledge_base(&values.display_name).or_else(|| article_of_address(&values.more_info_url));
    Update {
        source: UpdateSource::InstallerPatch,
        id: Text::from(format!("{}/{}", code(packed_product), code(packed_patch))),
        kb: kb.map(Text::from),
        aliases: further_names(&values.display_name),
        title: Text::new(&values.display_name),
        state: match values.state {
            Some(1) => UpdateState::Installed,
            Some(2 | 4) => UpdateState::Superseded,
            _ => UpdateState::Staged,
        },
        installed_at: install_date(&values.installed),
        installed_by: None,
        removable: values.uninstallable.map(|uninstallable| uninstallable != 0),
        version: None,
    }
}

/// `{6D4AC5A4-4CF9-4F90-8111-B9B53CE257BF}` for `4A5CA4D69FC409F418119B5BC32E75FB`: Windows Installer writes the first three
/// parts backwards, and then each two characters swapped.
fn unpacked_guid(packed: &str) -> Option<String> {
    if packed.len() != 32 || !packed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let part = |from: usize, to: usize| packed[from..to].chars().rev().collect::<String>();
    let pairs = |from: usize, to: usize| (from..to).step_by(2).map(|at| part(at, at + 2)).collect::<String>();
    Some(format!("{{{}-{}-{}-{}-{}}}", part(0, 8), part(8, 12), part(12, 16), pairs(16, 20), pairs(20, 32)))
}

/// The article of `http://support.microsoft.com/kb/970162`, `…/?kbid=970162` and `…/help/4011234`. Numbers of other pages,
/// such as those of go.microsoft.com, name no article.
fn article_of_address(address: &str) -> Option<String> {
    let address = address.to_ascii_lowercase();
    let (_, path) = address.split_once("support.microsoft.com/")?;
    let number = path.trim_end_matches('/').rsplit(|c: char| !c.is_ascii_digit()).next()?;
    (5..=8).contains(&number.len()).then(|| format!("KB{number}"))
}

/// Values of one key below `NET Framework Setup\NDP`.
#[derive(Clone, Debug, Default)]
pub struct FrameworkValues {
    pub install: Option<u32>,
    pub version: String,
    pub service_pack: Option<u32>,
    /// Tells 4.5 and later apart.
    pub release: Option<u32>,
}

/// The row of a version of the .NET Framework; `key` as `v2.0.50727` or `v4\Full`. `None`: it is not installed.
pub fn framework(key: &str, values: &FrameworkValues) -> Option<Update> {
    if values.install != Some(1) {
        return None;
    }
    let key = key.replace('\\', "/");
    let service_pack = values.service_pack.filter(|number| *number > 0).map(|number| format!(" SP{number}"));
    let release = values.release.map(|number| format!(", release {number}"));
    let title = format!(
        ".NET Framework {}{}{}",
        key.trim_start_matches(['v', 'V']),
        service_pack.unwrap_or_default(),
        release.unwrap_or_default(),
    );
    Some(Update {
        source: UpdateSource::FrameworkVersion,
        id: Text::from(format!("ndp/{key}")),
        kb: None,
        aliases: Vec::new(),
        title: Text::from(title),
        state: UpdateState::Installed,
        installed_at: None,
        installed_by: None,
        removable: None,
        version: (!values.version.is_empty()).then(|| Text::new(&values.version)),
    })
}

/// The articles that a title names after the first.
pub fn further_names(title: &str) -> Vec<Text> {
    let mut names: Vec<Text> = Vec::new();
    for kb in knowledge_bases(title) {
        if !names.iter().any(|name| *name == *kb) {
            names.push(Text::from(kb));
        }
    }
    names.drain(..names.len().min(1));
    names
}

/// Midnight UTC of the day: the entry holds no time.
fn install_date(text: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDate::parse_from_str(text.trim(), "%Y%m%d").ok()?.and_time(NaiveTime::MIN).and_utc())
}

/// The first `KB` with five to eight digits that is a word of its own, as `KB948609`.
pub fn knowledge_base(text: &str) -> Option<String> {
    knowledge_bases(text).next()
}

fn knowledge_bases(text: &str) -> impl Iterator<Item = String> {
    let pairs = text.as_bytes().windows(2).enumerate();
    pairs.filter(|(_, pair)| pair.eq_ignore_ascii_case(b"KB")).filter_map(|(at, _)| {
        let starts_a_word = !text[..at].ends_with(|c: char| c.is_alphanumeric());
        let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
        (starts_a_word && (5..=8).contains(&digits.len())).then(|| format!("KB{digits}"))
    })
}

#[cfg(test)]
mod tests {
    use rules::facts::{Update, UpdateState};

    use super::{
        FrameworkValues, InstallerValues, PackageValues, UninstallValues, framework, further_names, installer_entry,
        knowledge_base, package, uninstall_entry, without_parts,
    };

    fn installed(identity: &str) -> Option<Update> {
        package(identity, &PackageValues { current_state: Some(0x70), ..PackageValues::default() })
    }

    #[test]
    fn finds_the_knowledge_base_article() {
        for (text, kb) in [
            ("Update for Microsoft Windows (KB948609)", Some("KB948609")),
            ("Package_2_for_KB2533552~31bf", Some("KB2533552")),
            ("kb958488", Some("KB958488")),
            (r"\\?\C:\Windows\SoftwareDistribution\Download\Windows10.0-KB5011495-x64.cab", Some("KB5011495")),
            ("Hotfix 4023 for SQL Server 2008 R2 (KB2494086) (64-bit)", Some("KB2494086")),
            ("Größe (KB948609)", Some("KB948609")),
            ("AKB948609", None),
            ("KB12 KB123456789", None),
            ("Microsoft .NET Framework 3.5 SP1", None),
        ] {
            assert_eq!(knowledge_base(text).as_deref(), kb, "{text}");
        }
    }

    #[test]
    fn reads_a_component_package() {
        let values = PackageValues {
            current_state: Some(0x70),
            install_time_high: 0x01c9_2e3a,
            install_time_low: 0x5f3a_1c00,
            install_client: "WindowsUpdateAgent".to_owned(),
            install_user: "S-1-5-18".to_owned(),
            ..PackageValues::default()
        };
        let update = package("Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716", &values).unwrap();
        assert_eq!(update.kb.unwrap(), "KB948609");
        assert_eq!(update.title, "Package_for_KB948609");
        assert_eq!(update.version.unwrap(), "6.0.1.2716");
        assert_eq!(update.state, UpdateState::Installed);
        assert_eq!(update.installed_at.unwrap().to_rfc3339(), "2008-10-14T20:20:59.739443+00:00");
        assert_eq!(update.removable, None);
        assert_eq!(update.installed_by.unwrap(), "WindowsUpdateAgent (S-1-5-18)");
    }

    #[test]
    fn the_state_is_the_one_of_the_servicing_chart() {
        for (code, state) in [
            (Some(0), UpdateState::Absent),
            (Some(0x5), UpdateState::UninstallPending),
            (Some(0x20), UpdateState::Staged),
            (Some(0x40), UpdateState::Staged),
            (Some(0x50), UpdateState::Superseded),
            (Some(0x60), UpdateState::InstallPending),
            (Some(0x65), UpdateState::Installed),
            (Some(0x80), UpdateState::Installed),
            (Some(0x8007_0002), UpdateState::Failed),
            (None, UpdateState::Staged),
        ] {
            let values = PackageValues { current_state: code, ..PackageValues::default() };
            let update = package("Package_for_KB948609~31bf~amd64~~6.0.1.0", &values).unwrap();
            assert_eq!(update.state, state, "{code:?}");
            assert_eq!(update.removable, (code == Some(0x80)).then_some(false), "{code:?}");
        }
    }

    #[test]
    fn a_cumulative_update_gets_its_article_from_its_location() {
        let values = PackageValues {
            current_state: Some(0x70),
            install_location: r"\\?\C:\Windows\Temp\Windows10.0-KB5011495-x64.cab\".to_owned(),
            ..PackageValues::default()
        };
        let update = package("Package_for_RollupFix~31bf3856ad364e35~amd64~~14393.4989.1.9", &values).unwrap();
        assert_eq!(update.kb.unwrap(), "KB5011495");
        assert_eq!(update.version.unwrap(), "14393.4989.1.9");
    }

    #[test]
    fn a_feature_is_not_an_update() {
        assert_eq!(installed("Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~6.1.7600.16385"), None);
    }

    #[test]
    fn parts_collapse_into_their_package() {
        let identities = [
            "Package_1_for_KB948609~31bf~amd64~~6.0.1.2716",
            "Package_for_KB948609_client~31bf~amd64~~6.0.1.2716",
            "Package_for_KB948609~31bf~amd64~~6.0.1.2716",
            "Package_1_for_KB111111~31bf~amd64~~6.0.1.0",
            "Package_for_RollupFix~31bf~amd64~~14393.1.1.1",
        ];
        let kept = without_parts(identities.into_iter().filter_map(installed).collect());
        let kept: Vec<_> = kept.iter().map(|update| update.title.as_str()).collect();
        assert_eq!(kept, ["Package_for_KB948609", "Package_1_for_KB111111", "Package_for_RollupFix"]);
    }

    #[test]
    fn reads_an_uninstall_entry() {
        let values = UninstallValues {
            display_name: "Update for Microsoft Windows (KB948609)".to_owned(),
            display_version: "1".to_owned(),
            install_date: "20081014".to_owned(),
            uninstall_command: "wusa.exe /uninstall".to_owned(),
            ..UninstallValues::default()
        };
        let update = uninstall_entry("{A1B2}.KB948609", &values).unwrap();
        assert_eq!(update.kb.unwrap(), "KB948609");
        assert_eq!(update.installed_at.unwrap().to_rfc3339(), "2008-10-14T00:00:00+00:00");
        assert_eq!(update.removable, Some(true));
    }

    #[test]
    fn a_locked_entry_cannot_be_removed() {
        let values =
            UninstallValues { uninstall_command: "x.exe".to_owned(), is_locked: true, ..UninstallValues::default() };
        assert_eq!(uninstall_entry("KB958488", &values).unwrap().removable, Some(false));
    }

    #[test]
    fn a_product_is_not_an_update() {
        let values = UninstallValues { display_name: "Microsoft Exchange Server".to_owned(), ..Default::default() };
        assert_eq!(uninstall_entry("Exchange", &values), None);
    }

    #[test]
    fn reads_a_patch_of_windows_installer() {
        let values = InstallerValues {
            display_name: "Update Rollup 9 for Exchange Server 2007 Service Pack 1 (KB970162) 8.1.393.1".to_owned(),
            state: Some(1),
            uninstallable: Some(1),
            installed: "20090717".to_owned(),
            more_info_url: "http://support.microsoft.com/?kbid=970162".to_owned(),
        };
        let (product, patch) = ("4A5CA4D69FC409F418119B5BC32E75FB", "461C2B4266EDEF444B864AD6D9E5B613");
        let update = installer_entry(product, patch, &values);
        assert_eq!(update.id, "{6D4AC5A4-4CF9-4F90-8111-B9B53CE257BF}/{24B2C164-DE66-44FE-B468-A46D9D5E6B31}");
        assert_eq!((update.kb.as_deref(), update.state), (Some("KB970162"), UpdateState::Installed));
        assert_eq!(update.installed_at.unwrap().to_rfc3339(), "2009-07-17T00:00:00+00:00");
        assert_eq!(update.removable, Some(true));
        for (state, expected) in [
            (Some(2), UpdateState::Superseded),
            (Some(4), UpdateState::Superseded),
            (Some(8), UpdateState::Staged),
            (None, UpdateState::Staged),
        ] {
            let update = installer_entry(product, patch, &InstallerValues { state, ..InstallerValues::default() });
            assert_eq!((update.state, update.removable), (expected, None));
        }
    }

    #[test]
    fn the_address_of_a_patch_may_name_the_article() {
        for (address, kb) in [
            ("http://support.microsoft.com/kb/970162", Some("KB970162")),
            ("HTTP://SUPPORT.MICROSOFT.COM/?kbid=970162", Some("KB970162")),
            ("https://support.microsoft.com/help/4011234/", Some("KB4011234")),
            ("http://go.microsoft.com/fwlink/?LinkId=123456", None),
            ("https://support.microsoft.com/help", None),
        ] {
            let values = InstallerValues { more_info_url: address.to_owned(), ..InstallerValues::default() };
            assert_eq!(installer_entry("x", "y", &values).kb.as_deref(), kb, "{address}");
        }
    }

    #[test]
    fn a_version_of_the_framework_is_a_row_without_an_article() {
        let sp2 = FrameworkValues {
            install: Some(1),
            version: "2.0.50727.3053".to_owned(),
            service_pack: Some(2),
            release: None,
        };
        let update = framework("v2.0.50727", &sp2).unwrap();
        assert_eq!((&*update.id, &*update.title), ("ndp/v2.0.50727", ".NET Framework 2.0.50727 SP2"));
        assert_eq!((update.kb, update.version.unwrap()), (None, "2.0.50727.3053".into()));
        let full = FrameworkValues { release: Some(528_049), service_pack: Some(0), ..sp2.clone() };
        let update = framework(r"v4\Full", &full).unwrap();
        assert_eq!((&*update.id, &*update.title), ("ndp/v4/Full", ".NET Framework 4/Full, release 528049"));
        assert_eq!(framework("v3.0", &FrameworkValues { install: Some(0), ..sp2 }), None);
    }

    #[test]
    fn a_title_may_name_several_articles() {
        let title = "Security Update for SQL Server 2008 (KB2977321, KB2977322; see KB2977321)";
        assert_eq!(knowledge_base(title).unwrap(), "KB2977321");
        assert_eq!(further_names(title), ["KB2977322"]);
        assert!(further_names("Update (KB948609)").is_empty());
    }
}
