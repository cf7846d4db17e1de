//! Questions to a connected agent, from whoever looks at its host: asked over its open stream, answered once, never
//! kept. The stream is the only way to an agent, so that a question ends with it. An agent that is connected to another
//! server is asked through the database, where question and answer lie until the answer is read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use prost::Message as _;
use proto::fleet::v1::ConnectionList;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::app::App;
use crate::db::questions::{self as rows, Asked, Outcome};

/// Questions of a host that wait for its stream.
const WAITING: usize = 16;

/// (client, host).
type HostKey = (i32, i64);

/// Which connections does the host have now?
#[derive(Debug)]
pub struct Question {
    /// Rows at most.
    pub limit: u32,
    pub answer: oneshot::Sender<ConnectionList>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("its agent is not connected")]
    NotConnected,
    #[error("its agent did not answer in time")]
    Silent,
}

/// The ears of the streams of this process.
#[derive(Clone, Debug, Default)]
pub struct Questions(Arc<Mutex<HashMap<HostKey, Weak<Ear>>>>);

/// What is asked of one stream. A queue of tokio would take a kilobyte of every stream that nobody asks.
#[derive(Debug, Default)]
pub struct Ear {
    waiting: Mutex<VecDeque<Question>>,
    asked: Notify,
}

impl Questions {
    /// Opens the ear of a stream, in place of an older stream's. It closes when it is dropped; a closed one lies here until
    /// the host comes back, because looking for others would cost a look at every host for every stream that opens.
    pub fn listen(&self, host: HostKey) -> Arc<Ear> {
        let ear = Arc::new(Ear::default());
        lock(&self.0).insert(host, Arc::downgrade(&ear));
        ear
    }

    /// The answer of the host's agent, within `patience`.
    pub async fn ask(&self, host: HostKey, limit: u32, patience: Duration) -> Result<ConnectionList, Unanswered> {
        let (answer, answered) = oneshot::channel();
        {
            let ear = lock(&self.0).get(&host).and_then(Weak::upgrade).ok_or(Unanswered::NotConnected)?;
            ear.ask(Question { limit, answer })?;
        }
        // Dropped: the stream ended.
        let answered = tokio::time::timeout(patience, answered).await.map_err(|_| Unanswered::Silent)?;
        answered.map_err(|_| Unanswered::NotConnected)
    }
}

impl Ear {
    /// The next question, whenever it comes.
    pub async fn hear(&self) -> Question {
        loop {
            let next = lock(&self.waiting).pop_front();
            match next {
                Some(question) => return question,
                None => self.asked.notified().await,
            }
        }
    }

    fn ask(&self, question: Question) -> Result<(), Unanswered> {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|question| !question.answer.is_closed());
        if waiting.len() >= WAITING {
            return Err(Unanswered::Silent);
        }
        waiting.push_back(question);
        self.asked.notify_one();
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often the answer of another server is looked for.
const LOOK: Duration = Duration::from_millis(200);

/// Asks the host's agent, wherever it is connected.
pub async fn ask(
    app: &App,
    host: HostKey,
    limit: u32,
    patience: Duration,
) -> sqlx::Result<Result<ConnectionList, Unanswered>> {
    match app.questions.ask(host, limit, patience).await {
        Err(Unanswered::NotConnected) => ask_elsewhere(app, host, limit, patience).await,
        answered => Ok(answered),
    }
}

async fn ask_elsewhere(
    app: &App,
    host: HostKey,
    limit: u32,
    patience: Duration,
) -> sqlx::Result<Result<ConnectionList, Unanswered>> {
    let deadline = Instant::now() + patience;
    let question_id = Uuid::new_v4();
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let Some(server_id) = rows::ask(&app.db, host, (question_id, limit), app.server_id).await? else {
        return Ok(Err(Unanswered::NotConnected));
    };
    app.bus.asked(server_id);
    let outcome = loop {
        if let Some(outcome) = rows::outcome(&app.db, host.0, question_id).await? {
            break outcome;
        }
        if Instant::now() >= deadline {
            break Outcome::Silent;
        }
        sleep(LOOK).await;
    };
    rows::forget(&app.db, host.0, question_id).await?;
    Ok(match outcome {
        Outcome::Answer(answer) => ConnectionList::decode(answer.as_slice()).map_err(|_| Unanswered::Silent),
        Outcome::NotConnected => Err(Unanswered::NotConnected),
        Outcome::Silent => Err(Unanswered::Silent),
    })
}

/// How long an agent may take for the answer to what another server asks.
const FOR_OTHERS: Duration = Duration::from_secs(9);

/// Asks the agents of this server what others want to know of them. Returns before they have answered.
pub async fn answer_others(app: &Arc<App>) -> sqlx::Result<()> {
    for asked in rows::take(&app.db, app.server_id).await? {
        tokio::spawn(answer(Arc::clone(app), asked));
    }
    Ok(())
}

async fn answer(app: Arc<App>, asked: Asked) {
    let limit = u32::try_from(asked.row_limit).unwrap_or_default();
    let outcome = match app.questions.ask((asked.client_id, asked.host_id), limit, FOR_OTHERS).await {
        Ok(list) => Outcome::Answer(list.encode_to_vec()),
        Err(Unanswered::NotConnected) => Outcome::NotConnected,
        Err(Unanswered::Silent) => Outcome::Silent,
    };
    if let Err(error) = rows::settle(&app.db, &asked, &outcome).await {
        tracing::warn!(%error, host.id = asked.host_id, "Could not write the answer that another server waits for");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Questions, Unanswered};

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let questions = Questions::default();
        let ask = |host| questions.ask(host, 10, Duration::from_millis(20));
        assert_eq!(ask((1, 1)).await, Err(Unanswered::NotConnected));
        let ear = questions.listen((1, 1));
        assert_eq!(ask((1, 2)).await, Err(Unanswered::NotConnected));
        assert_eq!(ask((1, 1)).await, Err(Unanswered::Silent));
        let question = ear.hear().await;
        assert!(question.limit == 10 && question.answer.is_closed());
        drop(ear);
        assert_eq!(ask((1, 1)).await, Err(Unanswered::NotConnected));
    }
}
