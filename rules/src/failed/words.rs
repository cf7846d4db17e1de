//! The words of a failed service: title, cause and evidence.

use super::changes;
use crate::blocked::Exit;
use crate::events::{self, ServiceNews, codes};
use crate::facts::{Event, Service};
use crate::finding::Evidence;
use crate::history::{Difference, LastGood};
use crate::view::View;
use crate::words::{count, list};

/// Differences that are told in words; of the others only how many there are.
const TOLD: usize = 5;
/// Events that are told.
const EVENTS: usize = 3;

/// What follows the name of a service that failed: `stopped with 1067 (its process ended unexpectedly)`.
pub(super) fn exit(service: &Service) -> String {
    match Exit::of(service) {
        Exit::Elsewhere(1068 | 1069) | Exit::Other(1053 | 1067) => Exit::of(service).words(),
        Exit::Elsewhere(code) | Exit::Other(code) => format!("stopped with {}", codes::words(code)),
        exit => exit.words(),
    }
}

/// What is told, from all that is known of one service.
pub(super) struct Story<'a> {
    pub(super) service: &'a Service,
    /// Services that were not started because this one failed.
    pub(super) dependents: &'a [&'a str],
    pub(super) last_good: Option<&'a LastGood>,
    pub(super) view: &'a View<'a>,
}

impl Story<'_> {
    pub(super) fn title(&self) -> String {
        format!("{} failed: it {}", self.service.name, exit(self.service))
    }

    pub(super) fn cause(&self) -> String {
        let unexplained = if Exit::of(self.service).is_bind_error_of_any() {
            "Its code says that it could not bind a port, but no port of it is known to be held by anything else now."
        } else {
            "No port that is held and no known-bad update explains it."
        };
        let mut sentences = vec![unexplained.to_owned(), self.what_changed()];
        sentences.extend((!self.dependents.is_empty()).then(|| format!("{}.", self.because_of_it())));
        sentences.join(" ")
    }

    fn what_changed(&self) -> String {
        let Some(good) = self.last_good else {
            return format!(
                "{} was not seen to run here before, so what changed since cannot be said.",
                self.service.name
            );
        };
        let when = good.last_ran_at.map_or_else(String::new, |at| format!(" ({})", self.view.date(at)));
        let changes = changes::ranked(self.service, good, self.view);
        if changes.is_empty() {
            return format!("Nothing that is watched changed since it last ran{when}.");
        }
        let mut told: Vec<String> = changes.iter().take(TOLD).map(|change| changes::words(change)).collect();
        if changes.len() > TOLD {
            told.push(format!("{} more", count(changes.len() - TOLD)));
        }
        format!("Since it last ran{when}, the most telling first: {}.", list(&told))
    }

    fn because_of_it(&self) -> String {
        let (services, were) =
            if self.dependents.len() == 1 { ("service that depends", "was") } else { ("services that depend", "were") };
        let mut names: Vec<String> = self.dependents.iter().take(TOLD).map(ToString::to_string).collect();
        if self.dependents.len() > TOLD {
            names.push(format!("{} more", count(self.dependents.len() - TOLD)));
        }
        let number = count(self.dependents.len());
        format!("{number} {services} on it {were} not started: {}", list(&names))
    }

    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let say = |at, text: String, source: &str| Evidence { at, text, source: source.to_owned() };
        let service = self.service;
        let mut evidence = self.events();
        let last_ran_at = self.last_good.and_then(|good| good.last_ran_at);
        evidence.extend(
            last_ran_at.map(|at| say(Some(at), format!("{} was last seen to run", service.name), "boot ledger")),
        );
        evidence.push(say(
            service.state_since,
            format!("{} {}", service.name, exit(service)),
            "Service Control Manager",
        ));
        if !self.dependents.is_empty() {
            evidence.push(say(None, self.because_of_it(), "Service Control Manager"));
        }
        evidence.sort_by_key(|evidence| (evidence.at.is_none(), evidence.at));
        let changes = self.last_good.map(|good| changes::ranked(service, good, self.view)).unwrap_or_default();
        let change = |change: &&Difference| say(change.at, changes::words(change), "changed since it last ran");
        evidence.extend(changes.iter().take(TOLD).map(change));
        evidence
    }

    /// The newest entries of this boot that say that it failed.
    fn events(&self) -> Vec<Evidence> {
        let booted = self.view.host().and_then(|host| host.booted_at);
        let mut failures: Vec<(&Event, Option<u32>)> = Vec::new();
        for event in self.view.facts.events.known().into_iter().flatten() {
            let is_its = event.service.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&self.service.name));
            let is_of_boot = event.at.zip(booted).is_none_or(|(at, booted)| at >= booted);
            if is_its
                && is_of_boot
                && let Some(ServiceNews::Failed(code)) = events::service_news(event)
            {
                failures.push((event, code));
            }
        }
        failures.sort_by_key(|(event, _)| (event.at, event.record_id));
        let newest = failures.len().saturating_sub(EVENTS);
        let text = |event: &Event, code: Option<u32>| match code {
            Some(code) => format!("Event {}: {} failed with {}", event.id, self.service.name, codes::words(code)),
            None => format!("Event {}: {} failed", event.id, self.service.name),
        };
        let say = |(event, code): &(&Event, Option<u32>)| Evidence {
            at: event.at,
            text: text(event, *code),
            source: format!("{} event log", event.log),
        };
        failures[newest..].iter().map(say).collect()
    }
}
