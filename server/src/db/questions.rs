//! Questions to agents that are connected to another server: asked in a row, answered in it, and gone.

use chrono::TimeDelta;
use sqlx::types::Uuid;

use crate::clock;
use crate::db::{Db, Scope};

/// Nobody waits for so long.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(1);

/// A question that another server asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub client_id: i32,
    pub question_id: Uuid,
    pub host_id: i64,
    pub row_limit: i32,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer(Vec<u8>),
    NotConnected,
    Silent,
}

impl Outcome {
    fn word(&self) -> Option<&'static str> {
        match self {
            Self::Answer(_) => None,
            Self::NotConnected => Some("not-connected"),
            Self::Silent => Some("silent"),
        }
    }
}

/// Asks the server that has the stream of the host; which one that is. `None`: no other server has it.
pub async fn ask(
    db: &Db,
    (client_id, host_id): (i32, i64),
    (question_id, row_limit): (Uuid, i32),
    asking: Uuid,
) -> sqlx::Result<Option<Uuid>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    let now = clock::now();
    sqlx::query!("delete from question where client_id = $1 and asked_at < $2", client_id, now - FORGOTTEN_AFTER)
        .execute(&mut *transaction)
        .await?;
    let asked = sqlx::query_scalar!(
        "
        insert into question (client_id, question_id, host_id, server_id, row_limit, asked_at)
        select $1, $3, $2, server_id, $4, $5
        from agent_stream
        where client_id = $1
          and host_id = $2
          and connected_at is not null
          and server_id <> $6
        returning server_id
        ",
        client_id,
        host_id,
        question_id,
        row_limit,
        now,
        asking,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(asked)
}

/// `None`: there is no answer yet.
pub async fn outcome(db: &Db, client_id: i32, question_id: Uuid) -> sqlx::Result<Option<Outcome>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    let row = sqlx::query!(
        "select answer, refusal from question where client_id = $1 and question_id = $2",
        client_id,
        question_id
    )
    .fetch_optional(&mut *transaction)
    .await?;
    // A crash of the database loses questions.
    let Some(row) = row else { return Ok(Some(Outcome::NotConnected)) };
    Ok(match (row.answer, row.refusal.as_deref()) {
        (Some(answer), _) => Some(Outcome::Answer(answer)),
        (None, None) => None,
        (None, Some("silent")) => Some(Outcome::Silent),
        (None, Some(_)) => Some(Outcome::NotConnected),
    })
}

/// Nobody waits for the answer any more.
pub async fn forget(db: &Db, client_id: i32, question_id: Uuid) -> sqlx::Result<()> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    sqlx::query!("delete from question where client_id = $1 and question_id = $2", client_id, question_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// The questions for streams of this server, each given once.
pub async fn take(db: &Db, server_id: Uuid) -> sqlx::Result<Vec<Asked>> {
    let mut transaction = db.begin(&db.everything().await?).await?;
    let asked = sqlx::query_as!(
        Asked,
        "
        update question
        set is_taken = true
        where server_id = $1
          and not is_taken
        returning client_id, question_id, host_id, row_limit
        ",
        server_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(asked)
}

/// Writes what became of the question, where somebody still waits.
pub async fn settle(db: &Db, asked: &Asked, outcome: &Outcome) -> sqlx::Result<()> {
    let answer = match outcome {
        Outcome::Answer(answer) => Some(answer.as_slice()),
        Outcome::NotConnected | Outcome::Silent => None,
    };
    let mut transaction = db.begin(&Scope::of(asked.client_id)).await?;
    sqlx::query!(
        "update question set answer = $3, refusal = $4 where client_id = $1 and question_id = $2",
        asked.client_id,
        asked.question_id,
        answer,
        outcome.word(),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
