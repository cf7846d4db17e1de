//! What the registry says about updates, from raw values to rows.
//!
//! Two lists: the packages of Component Based Servicing, and the Uninstall entries. A plain product or feature is not an
//! update and gives no row. No I/O.

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
}

/// The row of a component package. `None`: a feature of the system, not an update.
pub fn package(identity: &str, values: &PackageValues) -> Option<Update> {
    let (name, version) = (identity.split('~').next().unwrap_or(identity), identity.rsplit('~').next());
    let named_kb = knowledge_base(name);
    if named_kb.is_none() && !name.starts_with("Package_for_") {
        return None;
    }
    let install_time = u64::from(values.install_time_high) << 32 | u64::from(values.install_time_low);
    Some(Update {
        source: UpdateSource::ComponentPackage,
        id: Text::new(identity),
        kb: named_kb.or_else(|| knowledge_base(&values.install_location)).map(Text::from),
        title: Text::new(name),
        state: package_state(values.current_state),
        installed_at: filetime(install_time),
        removable: (values.current_state == Some(PERMANENT)).then_some(false),
        version: version.filter(|version| version.contains('.')).map(Text::new),
        aliases: Vec::new(),
        installed_by: None,
    })
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
        title: Text::new(&values.display_name),
        state: UpdateState::Installed,
        installed_at: install_date(&values.install_date),
        removable,
        version: (!values.display_version.is_empty()).then(|| Text::new(&values.display_version)),
        aliases: Vec::new(),
        installed_by: None,
    })
}

/// Midnight UTC of the day: the entry holds no time.
fn install_date(text: &str) -> Option<DateTime<Utc>> {
    Some(NaiveDate::parse_from_str(text.trim(), "%Y%m%d").ok()?.and_time(NaiveTime::MIN).and_utc())
}

/// The first `KB` with five to eight digits that is a word of its own, as `KB948609`.
fn knowledge_base(text: &str) -> Option<String> {
    text.as_bytes().windows(2).enumerate().filter(|(_, pair)| pair.eq_ignore_ascii_case(b"KB")).find_map(|(at, _)| {
        let starts_a_word = !text[..at].ends_with(|c: char| c.is_alphanumeric());
        let digits: String = text[at + 2..].chars().take_while(char::is_ascii_digit).collect();
        (starts_a_word && (5..=8).contains(&digits.len())).then(|| format!("KB{digits}"))
    })
}

#[cfg(test)]
mod tests {
    use rules::facts::{Update, UpdateState};

    use super::{PackageValues, UninstallValues, knowledge_base, package, uninstall_entry, without_parts};

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
            install_location: String::new(),
        };
        let update = package("Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716", &values).unwrap();
        assert_eq!(update.kb.unwrap(), "KB948609");
        assert_eq!(update.title, "Package_for_KB948609");
        assert_eq!(update.version.unwrap(), "6.0.1.2716");
        assert_eq!(update.state, UpdateState::Installed);
        assert_eq!(update.installed_at.unwrap().to_rfc3339(), "2008-10-14T20:20:59.739443+00:00");
        assert_eq!(update.removable, None);
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
}
