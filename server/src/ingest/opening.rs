//! The answer to a Hello: who holds the cursor now, where it stands, and which sections must come in full.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use proto::Digests;
use proto::fleet::v1::{Hello, Section};
use rules::text::Text;
use uuid::Uuid;

use crate::db::boots;
use crate::db::departures;
use crate::db::facts;
use crate::db::silence;
use crate::db::stream::{self, Cursor, Opening};
use crate::db::{Db, Scope};
use crate::ingest::claim::{self, Claim, Denial};
use crate::ingest::skew::{Heard, HostClock};

/// What a Hello says, checked.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub(super) stream_id: Uuid,
    pub(super) boot_id: Vec<u8>,
    pub(super) epoch: i64,
    pub(super) digests: Digests,
    pub(super) pending: Option<(u64, u64)>,
    pub(super) wall_clock_ms: i64,
    pub(super) agent_version: Option<Text>,
    /// Empty: not said.
    pub(super) fingerprint: Vec<u8>,
}

impl Greeting {
    /// The error is for people.
    pub(super) fn read(hello: Hello) -> Result<Self, &'static str> {
        let Ok(stream_id) = Uuid::from_slice(&hello.stream_id) else { return Err("a stream id has 16 bytes") };
        if hello.boot_id.len() != 16 {
            return Err("a boot id has 16 bytes");
        }
        let Ok(epoch) = i64::try_from(hello.epoch) else { return Err("an epoch is below 2^63") };
        let Ok(digests) = proto::wire::digests_from_wire(hello.digests) else {
            return Err("a digest has at most 32 bytes");
        };
        if hello.fingerprint.len() > 32 {
            return Err("a fingerprint has at most 32 bytes");
        }
        Ok(Self {
            stream_id,
            boot_id: hello.boot_id,
            epoch,
            digests,
            pending: (hello.pending_to > 0).then_some((hello.pending_from, hello.pending_to)),
            wall_clock_ms: hello.wall_clock_ms,
            agent_version: (!hello.agent_version.is_empty()).then(|| Text::new(&hello.agent_version)),
            fingerprint: hello.fingerprint,
        })
    }
}

/// Where a stream begins.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) session: stream::Session,
    pub(super) cursor: Cursor,
    pub(super) clock: HostClock,
    /// As stored, of sections that were ever reported.
    pub(super) held: Digests,
    pub(super) send_full: Vec<Section>,
}

/// Takes the cursor over: from here on an older stream of the agent can commit nothing. Somebody who is denied takes
/// nothing, and leaves a note.
pub(super) async fn open(
    db: &Db,
    (client_id, host_id): (i32, i64),
    (session_id, server_id, address): (Uuid, Uuid, IpAddr),
    greeting: &Greeting,
    heard: Heard,
    now: DateTime<Utc>,
) -> sqlx::Result<Result<Opened, Denial>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    let stored = stream::lock_cursor(&mut transaction, client_id, host_id).await?;
    if departures::has_left(&mut transaction, (client_id, host_id)).await? {
        return Ok(Err(Denial::Departed));
    }
    let mut clock = HostClock::stored(stored.as_ref().map_or(0, |(cursor, _)| cursor.clock_skew_ms));
    clock.hear(greeting.wall_clock_ms, heard);
    let is_from_backup = stored.as_ref().is_some_and(|(_, machine)| machine.is_from_backup);
    let mut cursor = match claim::judge(stored.as_ref().map(|(cursor, machine)| (cursor, machine)), greeting, now) {
        Claim::Granted(cursor) => cursor,
        Claim::Denied(denial) => {
            let host = (client_id, host_id);
            match denial {
                // Not the agent's state is old: ours is.
                Denial::Restored if is_from_backup => {}
                Denial::Restored => stream::note_restored(&mut transaction, host, now).await?,
                Denial::Forked => stream::note_forked(&mut transaction, host, now).await?,
                Denial::Departed => {}
                Denial::Cloned => {
                    stream::note_cloned(&mut transaction, host, &greeting.fingerprint, address, now).await?;
                }
            }
            transaction.commit().await?;
            return Ok(Err(denial));
        }
    };
    cursor.clock_skew_ms = clock.skew_ms();
    let opening = Opening {
        client_id,
        host_id,
        cursor: cursor.clone(),
        boot_id: &greeting.boot_id,
        session_id,
        server_id,
        agent_version: greeting.agent_version.as_deref(),
        fingerprint: &greeting.fingerprint,
    };
    silence::note_end(&mut transaction, (client_id, host_id), now).await?;
    boots::note_last_seen(&mut transaction, client_id, host_id).await?;
    stream::open(&mut transaction, &opening, now).await?;
    let held = facts::digests(&mut transaction, client_id, host_id).await?;
    transaction.commit().await?;
    let continues = pending_continues(greeting.pending, cursor.seq);
    let send_full = sections_to_send(&greeting.digests, &held, continues);
    let session = stream::Session { client_id, host_id, stream_id: cursor.stream_id, session_id };
    Ok(Ok(Opened { session, cursor, clock, held, send_full }))
}

/// Whether the reports that the agent still holds lead on from what is committed: then they bring what is missing.
fn pending_continues(pending: Option<(u64, u64)>, committed: i64) -> bool {
    let Ok(committed) = u64::try_from(committed) else { return false };
    pending.is_some_and(|(from, to)| from <= committed + 1 && to > committed)
}

/// A section without a digest was rejected: nothing but a full report mends it.
fn sections_to_send(agent: &Digests, held: &Digests, pending_continues: bool) -> Vec<Section> {
    let differs = |section: &Section, digest: &Vec<u8>| match held.get(section) {
        Some(held) if held.is_empty() => true,
        Some(held) => !pending_continues && held != digest,
        None => !pending_continues,
    };
    agent.iter().filter(|(section, digest)| differs(section, digest)).map(|(section, _)| *section).collect()
}

#[cfg(test)]
mod tests {
    use proto::Digests;
    use proto::fleet::v1::Section;

    use super::{pending_continues, sections_to_send};

    #[test]
    fn pending_reports_lead_on_or_do_not() {
        for (pending, committed, expected) in [
            (None, 5, false),
            (Some((6, 9)), 5, true),
            (Some((4, 6)), 5, true),
            (Some((4, 5)), 5, false),
            (Some((7, 9)), 5, false),
            (Some((1, 1)), 0, true),
        ] {
            assert_eq!(pending_continues(pending, committed), expected, "{pending:?} after {committed}");
        }
    }

    #[test]
    fn only_what_differs_is_asked_for() {
        let agent = Digests::from([(Section::Host, vec![1]), (Section::Sockets, vec![2]), (Section::Updates, vec![3])]);
        let held = Digests::from([(Section::Host, vec![1]), (Section::Sockets, vec![9]), (Section::Services, vec![4])]);
        assert_eq!(sections_to_send(&agent, &held, false), [Section::Sockets, Section::Updates]);
        assert!(sections_to_send(&agent, &agent, false).is_empty());
        assert!(sections_to_send(&agent, &held, true).is_empty());
        let rejected = Digests::from([(Section::Host, vec![])]);
        assert_eq!(sections_to_send(&agent, &rejected, true), [Section::Host]);
    }
}
