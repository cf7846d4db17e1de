//! Services and updates: one message a row.

use std::collections::BTreeMap;

use rules::delta::Row;
use rules::facts::{
    Recovery, RecoveryAction, RecoveryKind, Service, ServiceState, StartMode, Update, UpdateSource, UpdateState,
};
use rules::text::Text;

use crate::fleet::v1;
use crate::wire::sockets::NAME_CHARACTERS;
use crate::wire::values::{Dropped, clip, milliseconds, some_text, text_to_wire, time};

const DEPENDENCIES: usize = 32;
const RECOVERY_ACTIONS: usize = 16;
const ALIASES: usize = 16;
/// Names of registry keys have at most 255 characters, package identities about 150.
const UPDATE_ID_CHARACTERS: usize = 400;
const KB_CHARACTERS: usize = 32;

pub(super) fn services_to_wire(services: &[Service]) -> Vec<v1::Service> {
    services.iter().map(service_to_wire).collect()
}

/// Services by key, of several with one key the last.
pub(super) fn services_from_wire(services: Vec<v1::Service>, dropped: &mut Dropped) -> Vec<Service> {
    by_key(services, service_from_wire, dropped)
}

pub(super) fn updates_to_wire(updates: &[Update]) -> Vec<v1::Update> {
    updates.iter().map(update_to_wire).collect()
}

/// Updates by key, of several with one key the last.
pub(super) fn updates_from_wire(updates: Vec<v1::Update>, dropped: &mut Dropped) -> Vec<Update> {
    by_key(updates, update_from_wire, dropped)
}

/// Keys of services, as `Row::key` makes them.
pub(super) fn service_keys_from_wire(names: &[String]) -> Vec<String> {
    let mut keys: Vec<_> = names.iter().map(|name| Text::new(name).to_lowercase()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

pub(super) fn update_keys_to_wire(keys: &[(UpdateSource, Text)]) -> Vec<v1::UpdateKey> {
    keys.iter()
        .map(|(source, id)| v1::UpdateKey { source: source_to_wire(*source) as i32, id: id.as_str().to_owned() })
        .collect()
}

pub(super) fn update_keys_from_wire(keys: &[v1::UpdateKey], dropped: &mut Dropped) -> Vec<(UpdateSource, Text)> {
    let read = |key: &v1::UpdateKey| Some((source_from_wire(key.source())?, clip(&key.id, UPDATE_ID_CHARACTERS)));
    let mut known: Vec<_> = keys.iter().filter_map(read).collect();
    dropped.0 += (keys.len() - known.len()) as u64;
    known.sort_unstable();
    known.dedup();
    known
}

fn by_key<W, R: Row>(wire: Vec<W>, read: fn(&W) -> Option<R>, dropped: &mut Dropped) -> Vec<R> {
    let mut rows = BTreeMap::new();
    for message in wire {
        match read(&message) {
            Some(row) => drop(rows.insert(row.key(), row)),
            None => dropped.0 += 1,
        }
    }
    rows.into_values().collect()
}

fn service_to_wire(service: &Service) -> v1::Service {
    v1::Service {
        name: service.name.as_str().to_owned(),
        display_name: service.display_name.as_str().to_owned(),
        state: match service.state {
            ServiceState::Stopped => v1::ServiceState::Stopped,
            ServiceState::StartPending => v1::ServiceState::StartPending,
            ServiceState::StopPending => v1::ServiceState::StopPending,
            ServiceState::Running => v1::ServiceState::Running,
            ServiceState::ContinuePending => v1::ServiceState::ContinuePending,
            ServiceState::PausePending => v1::ServiceState::PausePending,
            ServiceState::Paused => v1::ServiceState::Paused,
        } as i32,
        start: match service.start {
            Some(StartMode::Boot) => v1::StartMode::Boot,
            Some(StartMode::System) => v1::StartMode::System,
            Some(StartMode::Auto) => v1::StartMode::Auto,
            Some(StartMode::Manual) => v1::StartMode::Manual,
            Some(StartMode::Disabled) => v1::StartMode::Disabled,
            None => v1::StartMode::Unspecified,
        } as i32,
        delayed: service.delayed,
        trigger_start: service.trigger_start,
        pid: service.pid.unwrap_or(0),
        exit_code: service.exit_code,
        service_exit_code: service.service_exit_code,
        image_path: text_to_wire(service.image_path.as_ref()),
        account: text_to_wire(service.account.as_ref()),
        depends_on: service.depends_on.iter().map(|name| name.as_str().to_owned()).collect(),
        state_since_ms: milliseconds(service.state_since),
        recovery: service.recovery.as_ref().map(recovery_to_wire),
    }
}

/// `None`: without a name or a state it says nothing.
fn service_from_wire(service: &v1::Service) -> Option<Service> {
    if service.name.is_empty() {
        return None;
    }
    Some(Service {
        name: clip(&service.name, NAME_CHARACTERS),
        display_name: Text::new(&service.display_name),
        state: match service.state() {
            v1::ServiceState::Unspecified => return None,
            v1::ServiceState::Stopped => ServiceState::Stopped,
            v1::ServiceState::StartPending => ServiceState::StartPending,
            v1::ServiceState::StopPending => ServiceState::StopPending,
            v1::ServiceState::Running => ServiceState::Running,
            v1::ServiceState::ContinuePending => ServiceState::ContinuePending,
            v1::ServiceState::PausePending => ServiceState::PausePending,
            v1::ServiceState::Paused => ServiceState::Paused,
        },
        start: match service.start() {
            v1::StartMode::Unspecified => None,
            v1::StartMode::Boot => Some(StartMode::Boot),
            v1::StartMode::System => Some(StartMode::System),
            v1::StartMode::Auto => Some(StartMode::Auto),
            v1::StartMode::Manual => Some(StartMode::Manual),
            v1::StartMode::Disabled => Some(StartMode::Disabled),
        },
        delayed: service.delayed,
        trigger_start: service.trigger_start,
        pid: (service.pid != 0).then_some(service.pid),
        exit_code: service.exit_code,
        service_exit_code: service.service_exit_code,
        image_path: some_text(&service.image_path),
        account: some_text(&service.account),
        depends_on: service.depends_on.iter().take(DEPENDENCIES).map(|name| clip(name, NAME_CHARACTERS)).collect(),
        state_since: time(service.state_since_ms),
        recovery: service.recovery.as_ref().map(recovery_from_wire),
    })
}

fn recovery_to_wire(recovery: &Recovery) -> v1::Recovery {
    let kind = |kind| match kind {
        RecoveryKind::None => v1::RecoveryKind::None,
        RecoveryKind::Restart => v1::RecoveryKind::Restart,
        RecoveryKind::RestartComputer => v1::RecoveryKind::RestartComputer,
        RecoveryKind::RunCommand => v1::RecoveryKind::RunCommand,
    };
    v1::Recovery {
        reset_after_seconds: recovery.reset_after_seconds,
        actions: recovery
            .actions
            .iter()
            .map(|action| v1::RecoveryAction { kind: kind(action.kind) as i32, delay_ms: action.delay_ms })
            .collect(),
        on_error_stop: recovery.on_error_stop,
    }
}

fn recovery_from_wire(recovery: &v1::Recovery) -> Recovery {
    let kind = |kind| match kind {
        v1::RecoveryKind::Unspecified | v1::RecoveryKind::None => RecoveryKind::None,
        v1::RecoveryKind::Restart => RecoveryKind::Restart,
        v1::RecoveryKind::RestartComputer => RecoveryKind::RestartComputer,
        v1::RecoveryKind::RunCommand => RecoveryKind::RunCommand,
    };
    Recovery {
        reset_after_seconds: recovery.reset_after_seconds,
        actions: recovery
            .actions
            .iter()
            .take(RECOVERY_ACTIONS)
            .map(|action| RecoveryAction { kind: kind(action.kind()), delay_ms: action.delay_ms })
            .collect(),
        on_error_stop: recovery.on_error_stop,
    }
}

fn update_to_wire(update: &Update) -> v1::Update {
    v1::Update {
        source: source_to_wire(update.source) as i32,
        id: update.id.as_str().to_owned(),
        kb: text_to_wire(update.kb.as_ref()),
        title: update.title.as_str().to_owned(),
        state: match update.state {
            UpdateState::Installed => v1::UpdateState::Installed,
            UpdateState::Superseded => v1::UpdateState::Superseded,
            UpdateState::InstallPending => v1::UpdateState::InstallPending,
            UpdateState::UninstallPending => v1::UpdateState::UninstallPending,
            UpdateState::Staged => v1::UpdateState::Staged,
            UpdateState::Failed => v1::UpdateState::Failed,
            UpdateState::Absent => v1::UpdateState::Absent,
        } as i32,
        installed_at_ms: milliseconds(update.installed_at),
        removable: update.removable,
        version: text_to_wire(update.version.as_ref()),
        aliases: update.aliases.iter().map(|alias| alias.as_str().to_owned()).collect(),
        installed_by: text_to_wire(update.installed_by.as_ref()),
    }
}

/// `None`: without a key or a state it says nothing.
fn update_from_wire(update: &v1::Update) -> Option<Update> {
    if update.id.is_empty() {
        return None;
    }
    Some(Update {
        source: source_from_wire(update.source())?,
        id: clip(&update.id, UPDATE_ID_CHARACTERS),
        kb: (!update.kb.is_empty()).then(|| clip(&update.kb, KB_CHARACTERS)),
        title: Text::new(&update.title),
        state: match update.state() {
            v1::UpdateState::Unspecified => return None,
            v1::UpdateState::Installed => UpdateState::Installed,
            v1::UpdateState::Superseded => UpdateState::Superseded,
            v1::UpdateState::InstallPending => UpdateState::InstallPending,
            v1::UpdateState::UninstallPending => UpdateState::UninstallPending,
            v1::UpdateState::Staged => UpdateState::Staged,
            v1::UpdateState::Failed => UpdateState::Failed,
            v1::UpdateState::Absent => UpdateState::Absent,
        },
        installed_at: time(update.installed_at_ms),
        removable: update.removable,
        version: some_text(&update.version),
        aliases: update.aliases.iter().take(ALIASES).map(|alias| clip(alias, UPDATE_ID_CHARACTERS)).collect(),
        installed_by: some_text(&update.installed_by),
    })
}

fn source_to_wire(source: UpdateSource) -> v1::UpdateSource {
    match source {
        UpdateSource::ComponentPackage => v1::UpdateSource::ComponentPackage,
        UpdateSource::UninstallEntry => v1::UpdateSource::UninstallEntry,
        UpdateSource::InstallerPatch => v1::UpdateSource::InstallerPatch,
        UpdateSource::UpdateHistory => v1::UpdateSource::UpdateHistory,
        UpdateSource::Capture => v1::UpdateSource::Capture,
        UpdateSource::FrameworkVersion => v1::UpdateSource::FrameworkVersion,
        UpdateSource::Offer => v1::UpdateSource::Offer,
    }
}

fn source_from_wire(source: v1::UpdateSource) -> Option<UpdateSource> {
    match source {
        v1::UpdateSource::Unspecified => None,
        v1::UpdateSource::ComponentPackage => Some(UpdateSource::ComponentPackage),
        v1::UpdateSource::UninstallEntry => Some(UpdateSource::UninstallEntry),
        v1::UpdateSource::InstallerPatch => Some(UpdateSource::InstallerPatch),
        v1::UpdateSource::UpdateHistory => Some(UpdateSource::UpdateHistory),
        v1::UpdateSource::Capture => Some(UpdateSource::Capture),
        v1::UpdateSource::FrameworkVersion => Some(UpdateSource::FrameworkVersion),
        v1::UpdateSource::Offer => Some(UpdateSource::Offer),
    }
}
