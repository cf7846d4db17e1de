//! Questions to a connected agent, from whoever looks at its host: asked over its open stream, answered once, never
//! stored. The stream is the only way to an agent, so that a question ends with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::fleet::v1::ConnectionList;
use tokio::sync::{mpsc, oneshot};

/// Questions of a host that wait for its stream.
const WAITING: usize = 4;

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
    #[error("its agent is not connected to this server")]
    NotConnected,
    #[error("its agent did not answer in time")]
    Silent,
}

/// The streams of this process that take questions.
#[derive(Clone, Debug, Default)]
pub struct Questions(Arc<Mutex<HashMap<HostKey, mpsc::Sender<Question>>>>);

impl Questions {
    /// Opens the ear of a stream, in place of an older stream's. It is closed when the receiver goes; a closed one lies here
    /// until the host comes back, because looking for others would cost a look at every host for every stream that opens.
    pub fn listen(&self, host: HostKey) -> mpsc::Receiver<Question> {
        let (sender, receiver) = mpsc::channel(WAITING);
        self.lock().insert(host, sender);
        receiver
    }

    /// The answer of the host's agent, within `patience`.
    pub async fn ask(&self, host: HostKey, limit: u32, patience: Duration) -> Result<ConnectionList, Unanswered> {
        let sender = self.lock().get(&host).cloned().ok_or(Unanswered::NotConnected)?;
        let (answer, answered) = oneshot::channel();
        let asked = async {
            sender.send(Question { limit, answer }).await.map_err(|_| Unanswered::NotConnected)?;
            // The stream ended.
            answered.await.map_err(|_| Unanswered::NotConnected)
        };
        tokio::time::timeout(patience, asked).await.unwrap_or(Err(Unanswered::Silent))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostKey, mpsc::Sender<Question>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut ear = questions.listen((1, 1));
        assert_eq!(ask((1, 2)).await, Err(Unanswered::NotConnected));
        assert_eq!(ask((1, 1)).await, Err(Unanswered::Silent));
        assert!(ear.recv().await.is_some_and(|question| question.limit == 10 && question.answer.is_closed()));
        drop(ear);
        assert_eq!(ask((1, 1)).await, Err(Unanswered::NotConnected));
    }
}
