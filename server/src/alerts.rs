//! From a finding that changed to a signed webhook: [`enqueue`] writes deliveries into the transaction of the report,
//! [`worker`] sends them, [`egress`] is the one door out.
//!
//! Invariant: a delivery exists exactly when its finding's change was committed, and its id follows from (endpoint,
//! finding, episode, transition): a crash, a retry or a restore sends the same event again, never another one.

mod body;
pub mod egress;
pub mod endpoint;
mod schedule;
pub mod worker;

use chrono::{DateTime, Utc};
use rules::finding::Severity;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::deliveries::{self, NewDelivery, Route};
use crate::findings::plan::NAMESPACE;
use crate::findings::{FindingChange, Transition};

pub use endpoint::{EndpointFault, NewEndpoint, Silence};

/// Writes a delivery for each change and each endpoint that it concerns; returns the ids of those that are new.
/// `public_url` is where operators reach the dashboard, without a slash at its end.
pub async fn enqueue(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    changes: &[FindingChange],
    public_url: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Uuid>> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let routes = deliveries::routes(connection, client_id).await?;
    if routes.is_empty() {
        return Ok(Vec::new());
    }
    let told = deliveries::endpoints_told(connection, client_id, changes).await?;
    let place = deliveries::place(connection, client_id, host_id).await?;
    let mut new = Vec::new();
    for change in changes {
        for route in &routes {
            let was_told = told.contains(&(route.endpoint_id, change.id, change.episode));
            let Some(transition) = transition_for(route, change, was_told) else { continue };
            new.push(NewDelivery {
                delivery_id: delivery_id(route.endpoint_id, change.id, change.episode, transition),
                endpoint_id: route.endpoint_id,
                finding_id: change.id,
                episode: change.episode,
                transition: transition.as_str(),
                body: body::body(change, transition, &place, public_url, now),
            });
        }
    }
    deliveries::insert(connection, client_id, &new, now).await
}

/// What `route` is to be told of `change`. A finding that grows into the route's severity opens for it then, and the
/// end goes wherever the beginning went.
fn transition_for(route: &Route, change: &FindingChange, was_told: bool) -> Option<Transition> {
    let concerns = |severity: Severity| severity >= route.min_severity;
    match change.transition {
        Transition::Opened | Transition::Reopened => concerns(change.finding.severity).then_some(change.transition),
        Transition::Resolved => was_told.then_some(Transition::Resolved),
        Transition::Changed => {
            let concerned_before = change.before.as_ref().is_some_and(|before| concerns(before.severity));
            let begins = !was_told && !concerned_before && concerns(change.finding.severity);
            begins.then_some(if change.episode == 1 { Transition::Opened } else { Transition::Reopened })
        }
    }
}

/// The webhook-id.
fn delivery_id(endpoint_id: Uuid, finding_id: Uuid, episode: i32, transition: Transition) -> Uuid {
    let name = format!("delivery/{endpoint_id}/{finding_id}/{episode}/{}", transition.as_str());
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rules::finding::{Confidence, Finding, Remedy, Restart, Severity, Subject};
    use uuid::Uuid;

    use super::transition_for;
    use crate::db::deliveries::Route;
    use crate::findings::{FindingChange, Transition, plan::Said};

    fn change(transition: Transition, episode: i32, before: Option<Severity>, severity: Severity) -> FindingChange {
        let said = |severity| Said { severity, confidence: Confidence::Certain, title: String::new() };
        FindingChange {
            id: Uuid::nil(),
            transition,
            episode,
            opened_at: DateTime::UNIX_EPOCH,
            before: before.map(said),
            because: None,
            finding: Finding {
                rule: String::new(),
                subject: Subject::new(),
                problem: String::new(),
                severity,
                confidence: Confidence::Certain,
                title: String::new(),
                cause: String::new(),
                evidence: Vec::new(),
                remedy: Remedy {
                    summary: String::new(),
                    applies_to: String::new(),
                    steps: Vec::new(),
                    risk: String::new(),
                    restart: Restart::None,
                    undo: Vec::new(),
                    proven_when: String::new(),
                },
                since: None,
                probability: None,
            },
        }
    }

    #[test]
    fn a_route_hears_a_beginning_once_and_the_end_of_what_it_heard() {
        use Severity::{Critical, Info, Warning};
        use Transition::{Changed, Opened, Reopened, Resolved};
        let route = Route { endpoint_id: Uuid::nil(), min_severity: Warning };
        for (change, was_told, expected) in [
            (change(Opened, 1, None, Critical), false, Some(Opened)),
            (change(Opened, 1, None, Info), false, None),
            (change(Reopened, 2, None, Warning), false, Some(Reopened)),
            (change(Changed, 1, Some(Info), Critical), false, Some(Opened)),
            (change(Changed, 3, Some(Info), Critical), false, Some(Reopened)),
            (change(Changed, 1, Some(Warning), Critical), true, None),
            (change(Changed, 1, Some(Warning), Critical), false, None),
            (change(Changed, 1, Some(Info), Info), false, None),
            (change(Resolved, 1, Some(Info), Info), true, Some(Resolved)),
            (change(Resolved, 1, Some(Critical), Critical), false, None),
        ] {
            assert_eq!(transition_for(&route, &change, was_told), expected, "{change:?}");
        }
    }
}
