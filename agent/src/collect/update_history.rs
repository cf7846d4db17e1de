//! What the Windows Update Agent remembers and offers, from its values to rows.
//!
//! Invariant: only an installation that succeeded is listed as installed; one that failed, was broken off or was undone is
//! not. No I/O.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Update, UpdateSource, UpdateState};
use rules::text::Text;

use super::update_entries::{further_names, knowledge_base};

/// One attempt, as `IUpdateHistoryEntry` tells it.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// The GUID of the update, and its revision.
    pub update_id: String,
    pub revision: i32,
    pub title: String,
    /// 1 installation, 2 removal.
    pub operation: i32,
    /// 0 not started, 1 in progress, 2 succeeded, 3 succeeded with errors, 4 failed, 5 aborted.
    pub result: i32,
    /// Days since 1899-12-30, UTC.
    pub date: f64,
    /// The program that asked for it, such as `AutomaticUpdates`.
    pub client: String,
}

/// The rows of a history that begins with the newest attempt.
///
/// Of several attempts with one update the newest counts. Of several updates with one article and one outcome the newest
/// is listed: definitions of a virus scanner come under one article three times a day.
pub fn history(attempts: &[Attempt]) -> Vec<Update> {
    let mut seen = HashSet::new();
    let mut listed = HashSet::new();
    let mut rows = Vec::new();
    for attempt in attempts {
        // A removal that failed left the update as it was: an older attempt says how.
        let Some(state) = outcome(attempt) else { continue };
        if !seen.insert((&attempt.update_id, attempt.revision)) {
            continue;
        }
        let kb = knowledge_base(&attempt.title);
        let name = kb.clone().unwrap_or_else(|| attempt.title.clone());
        if listed.insert((name, state_key(state))) {
            rows.push(Update {
                source: UpdateSource::UpdateHistory,
                id: Text::from(format!("{}.{}", attempt.update_id, attempt.revision)),
                kb: kb.map(Text::from),
                aliases: further_names(&attempt.title),
                title: Text::new(&attempt.title),
                state,
                installed_at: ole_date(attempt.date),
                installed_by: (!attempt.client.is_empty()).then(|| Text::new(&attempt.client)),
                removable: None,
                version: None,
            });
        }
    }
    rows
}

/// `None`: the attempt changed nothing.
fn outcome(attempt: &Attempt) -> Option<UpdateState> {
    match (attempt.operation, attempt.result) {
        (1, 2 | 3) => Some(UpdateState::Installed),
        (1, 0 | 1) => Some(UpdateState::Staged),
        (1, _) => Some(UpdateState::Failed),
        (2, 2 | 3) => Some(UpdateState::Absent),
        _ => None,
    }
}

fn state_key(state: UpdateState) -> &'static str {
    match state {
        UpdateState::Installed => "installed",
        UpdateState::Absent => "absent",
        UpdateState::Failed => "failed",
        _ => "staged",
    }
}

/// One update that is offered, as `IUpdate` tells it.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    pub update_id: String,
    pub revision: i32,
    pub title: String,
    /// Numbers of articles, without `KB`.
    pub articles: Vec<String>,
    /// Such as `MS08-037`.
    pub bulletins: Vec<String>,
}

/// The row of an offered update: never installed.
pub fn offer(offer: &Offer) -> Update {
    let articles = offer.articles.iter().filter(|article| article.bytes().all(|byte| byte.is_ascii_digit()));
    let mut names: Vec<Text> = articles.map(|article| Text::from(format!("KB{article}"))).collect();
    if names.is_empty() {
        names.extend(knowledge_base(&offer.title).map(Text::from));
    }
    let mut names = names.into_iter();
    let kb = names.next();
    Update {
        source: UpdateSource::Offer,
        id: Text::from(format!("{}.{}", offer.update_id, offer.revision)),
        kb,
        aliases: names.chain(offer.bulletins.iter().map(|bulletin| Text::new(bulletin))).collect(),
        title: Text::new(&offer.title),
        state: UpdateState::Staged,
        installed_at: None,
        installed_by: None,
        removable: None,
        version: None,
    }
}

/// `None`: no date, or one that no calendar holds.
fn ole_date(days: f64) -> Option<DateTime<Utc>> {
    const UNIX_EPOCH: f64 = 25_569.0;
    const MILLISECONDS: f64 = 86_400_000.0;
    if !days.is_finite() || days <= 0.0 || days > 1e6 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a million days in milliseconds fit")]
    let since_epoch = TimeDelta::try_milliseconds(((days - UNIX_EPOCH) * MILLISECONDS).round() as i64)?;
    DateTime::UNIX_EPOCH.checked_add_signed(since_epoch)
}

#[cfg(test)]
mod tests {
    use rules::facts::UpdateState;

    use super::{Attempt, Offer, history, offer};

    /// 2014-06-26 02:00:00 UTC.
    const DATE: f64 = 41_816.083_333_333_33;

    fn attempt(update: &str, title: &str, operation: i32, result: i32) -> Attempt {
        Attempt {
            update_id: update.to_owned(),
            revision: 201,
            title: title.to_owned(),
            operation,
            result,
            date: DATE,
            client: "AutomaticUpdates".to_owned(),
        }
    }

    fn states(attempts: &[Attempt]) -> Vec<(String, UpdateState)> {
        history(attempts).into_iter().map(|row| (row.kb.unwrap().into_string(), row.state)).collect()
    }

    #[test]
    fn an_installation_that_succeeded_is_one() {
        let title = "Update for Windows Server 2008 (KB948609, KB948610)";
        let rows = history(&[attempt("a1", title, 1, 2)]);
        assert_eq!(rows.len(), 1);
        assert_eq!((&*rows[0].id, rows[0].kb.as_deref()), ("a1.201", Some("KB948609")));
        assert_eq!(rows[0].aliases, ["KB948610"]);
        assert_eq!(rows[0].installed_at.unwrap().to_rfc3339(), "2014-06-26T02:00:00+00:00");
        assert_eq!(rows[0].installed_by.as_deref(), Some("AutomaticUpdates"));
    }

    #[test]
    fn what_failed_or_was_removed_is_not_installed() {
        let failed = |result| states(&[attempt("a1", "X (KB948609)", 1, result)]);
        assert_eq!(failed(4), [("KB948609".to_owned(), UpdateState::Failed)]);
        assert_eq!(failed(5), [("KB948609".to_owned(), UpdateState::Failed)]);
        assert_eq!(failed(1), [("KB948609".to_owned(), UpdateState::Staged)]);
        let removed = [attempt("a1", "X (KB948609)", 2, 2), attempt("a1", "X (KB948609)", 1, 2)];
        assert_eq!(states(&removed), [("KB948609".to_owned(), UpdateState::Absent)]);
    }

    #[test]
    fn the_newest_attempt_counts() {
        let mended = [attempt("a1", "X (KB948609)", 1, 2), attempt("a1", "X (KB948609)", 1, 4)];
        assert_eq!(states(&mended), [("KB948609".to_owned(), UpdateState::Installed)]);
        let broken = [attempt("a1", "X (KB948609)", 1, 4), attempt("a1", "X (KB948609)", 1, 2)];
        assert_eq!(states(&broken), [("KB948609".to_owned(), UpdateState::Failed)]);
        let not_removed = [attempt("a1", "X (KB948609)", 2, 4), attempt("a1", "X (KB948609)", 1, 2)];
        assert_eq!(states(&not_removed), [("KB948609".to_owned(), UpdateState::Installed)]);
    }

    #[test]
    fn definitions_of_each_day_are_one_row() {
        let title = |day: usize| format!("Definition Update for Windows Defender - KB2267602 (Definition 1.{day}.0.0)");
        let days: Vec<Attempt> = (0..1000).map(|day| attempt(&format!("d{day}"), &title(day), 1, 2)).collect();
        let rows = history(&days);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].id, "d0.201");
    }

    #[test]
    fn a_strange_date_is_none() {
        for date in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let row = &history(&[Attempt { date, ..attempt("a1", "X", 1, 2) }])[0];
            assert_eq!(row.installed_at, None, "{date}");
        }
    }

    #[test]
    fn what_is_offered_is_staged_under_all_its_names() {
        let row = offer(&Offer {
            update_id: "a1".to_owned(),
            revision: 100,
            title: "Security Update for Windows Server 2008 (KB951746)".to_owned(),
            articles: vec!["951746".to_owned(), "953230".to_owned(), "x".to_owned()],
            bulletins: vec!["MS08-037".to_owned()],
        });
        assert_eq!((row.kb.as_deref(), row.state), (Some("KB951746"), UpdateState::Staged));
        assert_eq!(row.aliases, ["KB953230", "MS08-037"]);
        let by_title = offer(&Offer { title: "X (KB948609)".to_owned(), ..Offer::default() });
        assert_eq!(by_title.kb.as_deref(), Some("KB948609"));
    }
}
