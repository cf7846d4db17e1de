//! Updates of a host: those that the catalog names for its system. They arrive over the days after their release, wait
//! for a restart, and are installed by it.

use chrono::{NaiveDate, NaiveTime, TimeDelta};
use rules::facts::{Section, Update, UpdateSource, UpdateState};
use rules::text::Text;

use super::chance::Chance;
use super::host::Moment;
use super::knowledge::Release;

/// Hour of the day at which updates are installed; the restart is in the night after.
const INSTALLED_AT: NaiveTime = match NaiveTime::from_hms_opt(22, 0, 0) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

/// While packages are installed, the list of them cannot be read.
const BUSY: TimeDelta = TimeDelta::minutes(20);

/// The day on which a host installs an update: the same for all updates of one day.
pub(super) fn installed_on(host: Chance, release: &Release) -> NaiveDate {
    let day = (release.on - NaiveDate::default()).num_days();
    release.on + TimeDelta::days(host.of("patched").at(day).between(0, 6))
}

/// Those of which the host knows, and the last one that is in force.
pub(super) fn of(moment: &Moment<'_>) -> Section<Vec<Update>> {
    let is_busy = releases(moment).any(|(_, installed)| {
        let at = installed.and_time(INSTALLED_AT).and_utc();
        at <= moment.time && moment.time < at + BUSY
    });
    if is_busy {
        return Section::Unknown(Text::from("the list of packages is locked by an installation"));
    }
    let last = in_force(moment).last().map(|release| release.kb.clone());
    let rows = arrived(moment).flat_map(|(release, installed)| {
        let state = if !is_in_force(moment, installed) {
            UpdateState::InstallPending
        } else if Some(&release.kb) == last.as_ref() {
            UpdateState::Installed
        } else {
            UpdateState::Superseded
        };
        let at = installed.and_time(INSTALLED_AT).and_utc();
        let row = |source, id: Text, title: String, state| Update {
            source,
            id,
            kb: Some(release.kb.clone()),
            aliases: Vec::new(),
            title: Text::from(title),
            state,
            installed_at: Some(at),
            installed_by: None,
            removable: None,
            version: None,
        };
        let package = Text::from(format!("Package_for_{}~31bf3856ad364e35~amd64~~10.0.1.0", release.kb));
        let title = format!("Cumulative update ({})", release.kb);
        [
            row(UpdateSource::ComponentPackage, package, format!("Package_for_{}", release.kb), state),
            row(
                UpdateSource::UpdateHistory,
                Text::from(format!("{} installed", release.kb)),
                title,
                UpdateState::Installed,
            ),
        ]
    });
    Section::Known(rows.collect())
}

/// Of the newest update in force that says one.
pub(super) fn revision(moment: &Moment<'_>) -> Option<u32> {
    in_force(moment).filter_map(|release| release.revision).max()
}

/// Why the system wants a restart.
pub(super) fn waits_for_restart(moment: &Moment<'_>) -> Option<&'static str> {
    let waits = arrived(moment).any(|(_, installed)| !is_in_force(moment, installed));
    waits.then_some("component servicing waits for a restart")
}

fn releases<'a>(moment: &'a Moment<'_>) -> impl Iterator<Item = (&'a Release, NaiveDate)> {
    let chance = moment.host.chance;
    moment.host.known_system().releases.iter().map(move |release| (release, installed_on(chance, release)))
}

fn arrived<'a>(moment: &'a Moment<'_>) -> impl Iterator<Item = (&'a Release, NaiveDate)> {
    releases(moment).filter(|(_, installed)| installed.and_time(INSTALLED_AT).and_utc() <= moment.time)
}

fn in_force<'a>(moment: &'a Moment<'_>) -> impl Iterator<Item = &'a Release> {
    arrived(moment).filter(|(_, installed)| is_in_force(moment, *installed)).map(|(release, _)| release)
}

/// The restart comes in the night after.
fn is_in_force(moment: &Moment<'_>, installed: NaiveDate) -> bool {
    installed < moment.today() && installed.and_time(INSTALLED_AT).and_utc() < moment.booted_at
}
