//! Bulletins of hints between processes, through Postgres: sent after commits, never in them. One that is lost leaves a
//! page stale until the servers compare how many they sent, never wrong.

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use uuid::Uuid;

use crate::db::Db;
use crate::live::{Bus, Hint};

/// What they are sent under.
const TOPIC: &str = "portreeve_hints";
/// Hints of one bulletin: Postgres takes 8,000 bytes.
const HINTS: usize = 40;
/// Streams of one bulletin, beside them.
const STREAMS: usize = 64;

/// What a server tells the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulletin {
    /// Nil: a subcommand, whose bulletins are not counted.
    pub from: Uuid,
    /// Counted from 1.
    pub number: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<Hint>,
    /// Too much changed to be named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anything: bool,
    /// (client, host) of streams that were opened there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<(i32, i64)>,
    /// Servers that are asked something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Uuid>,
}

impl Bulletin {
    /// As several that are small enough, numbered from `number`.
    pub fn split(mut self, number: i64) -> Vec<Self> {
        self.number = number;
        let mut bulletins = Vec::new();
        loop {
            let hints = self.hints.split_off(self.hints.len().min(HINTS));
            let opened = self.opened.split_off(self.opened.len().min(STREAMS));
            let is_last = hints.is_empty() && opened.is_empty();
            let next = Self { from: self.from, number: self.number + 1, hints, opened, ..Self::default() };
            bulletins.push(std::mem::replace(&mut self, next));
            if is_last {
                return bulletins;
            }
        }
    }
}

/// What a subcommand changed, to every server on this database.
pub async fn send(db: &Db, hints: &[Hint]) -> anyhow::Result<()> {
    let bulletin = Bulletin { hints: hints.to_vec(), ..Bulletin::default() };
    tell(db, &bulletin.split(0)).await
}

/// What a subcommand published on a bus of its own, likewise.
pub async fn pass_on(db: &Db, bus: &Bus) -> anyhow::Result<()> {
    tell(db, &bus.take_gathered(Uuid::nil()).split(0)).await
}

/// To every server on this database.
pub async fn tell(db: &Db, bulletins: &[Bulletin]) -> anyhow::Result<()> {
    let texts: Vec<String> = bulletins.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    sqlx::query!("select count(pg_notify($1, said)) as sent from unnest($2::text[]) as said", TOPIC, &texts)
        .fetch_one(&db.pool)
        .await?;
    Ok(())
}

/// An ear for what others send.
#[derive(Debug)]
pub struct Ear(PgListener);

impl Ear {
    pub async fn open(db: &Db) -> sqlx::Result<Self> {
        let mut listener = PgListener::connect_with(&db.pool).await?;
        listener.listen(TOPIC).await?;
        Ok(Self(listener))
    }

    /// The next one. `None`: the connection was lost and made anew, so some may have been missed.
    pub async fn next(&mut self) -> sqlx::Result<Option<Bulletin>> {
        loop {
            let Some(said) = self.0.try_recv().await? else { return Ok(None) };
            // Another version may say what this one does not know.
            if let Ok(bulletin) = serde_json::from_str(said.payload()) {
                return Ok(Some(bulletin));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bulletin, HINTS, STREAMS};
    use crate::live::{Hint, HintKind};
    use uuid::Uuid;

    #[test]
    fn a_bulletin_is_cut_so_that_postgres_takes_it() {
        let hint = |n: usize| Hint {
            client_id: i32::MAX,
            kind: HintKind::Delivery,
            id: Uuid::from_u128(n as u128).to_string(),
        };
        let whole = Bulletin {
            from: Uuid::max(),
            hints: (0..=HINTS * 2).map(hint).collect(),
            opened: vec![(i32::MAX, i64::MAX); STREAMS + 1],
            asked: vec![Uuid::max()],
            ..Bulletin::default()
        };
        let split = whole.clone().split(7);
        let numbers: Vec<i64> = split.iter().map(|bulletin| bulletin.number).collect();
        assert_eq!(numbers, (7..).take(numbers.len()).collect::<Vec<_>>());
        assert_eq!(split.iter().flat_map(|bulletin| bulletin.hints.clone()).collect::<Vec<_>>(), whole.hints);
        assert_eq!(split.iter().flat_map(|bulletin| bulletin.opened.clone()).collect::<Vec<_>>(), whole.opened);
        for bulletin in &split {
            let text = serde_json::to_string(bulletin).expect("it can be written");
            assert!(text.len() < 8_000, "{} bytes", text.len());
            assert_eq!(serde_json::from_str::<Bulletin>(&text).expect("it can be read"), *bulletin);
        }
    }
}
