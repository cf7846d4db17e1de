//! Threads of their own for what streams ask of the database, and for what is written there. Elsewhere each statement of a
//! transaction waits behind every stream that has something to do: with ten thousand that come back at once that was 25 ms
//! a statement, while the transaction held its locks. Here are few tasks at a time, and none of them takes long.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::db::Db;

/// Most writers, so that a server on a large machine leaves connections to others.
const WRITERS: u32 = 8;
/// Connections for streams that open and for what is loaded: [`admission`](crate::ingest::admission) admits no more at once.
const CONNECTIONS: u32 = 14;

/// The threads end with it.
#[derive(Debug)]
pub(super) struct Desk {
    /// To be used by tasks of the desk only: who asks elsewhere would wait as the others do there.
    pub(super) db: Db,
    /// As many connections as writers: few, so that their statements are planned and what they touched last is at hand.
    /// Likewise.
    pub(super) writing: Db,
    /// Of [`Desk::writing`].
    pub(super) writers: u32,
    threads: Handle,
    _open: Option<oneshot::Sender<()>>,
}

impl Desk {
    /// Where no thread can be had, the tasks run among the others.
    pub(super) fn open(db: &Db) -> Self {
        let (threads, open) = match threads() {
            Ok((threads, open)) => (threads, Some(open)),
            Err(error) => {
                tracing::warn!(%error, "No threads for the database; reports are stored slower under load");
                (Handle::current(), None)
            }
        };
        let processors =
            std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
        let writers = processors.min(WRITERS);
        let (db, writing) = {
            let _entered = threads.enter();
            (connections(db, CONNECTIONS), connections(db, writers))
        };
        Self { db, writing, writers, threads, _open: open }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.threads.spawn(task)
    }

    /// Ends when nobody waits for the answer any more. Who waits holds no more than a place in a queue meanwhile.
    pub(super) fn ask<T: Send + 'static, Q: Future<Output = sqlx::Result<T>> + Send + 'static>(
        &self,
        question: Q,
    ) -> impl Future<Output = sqlx::Result<T>> + use<T, Q> {
        let answer = AbortOnDropHandle::new(self.threads.spawn(question));
        async move { answer.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)) }
    }
}

/// Up to so many, opened when they are needed.
fn connections(db: &Db, most: u32) -> Db {
    let options = db.pool.options().clone().max_connections(most);
    Db { pool: options.connect_lazy_with((*db.pool.connect_options()).clone()), reading: None }
}

/// As many as there are processors. They end when what is returned beside them is dropped.
fn threads() -> std::io::Result<(Handle, oneshot::Sender<()>)> {
    let (open, closed) = oneshot::channel();
    let (told, telling) = std::sync::mpsc::channel();
    // It is made and dropped by a thread of its own: a runtime must not be dropped by a task, whosever it is.
    let keep = move || match Builder::new_multi_thread().thread_name("database").enable_all().build() {
        Ok(runtime) => {
            drop(told.send(Ok(runtime.handle().clone())));
            drop(runtime.block_on(closed));
        }
        Err(error) => drop(told.send(Err(error))),
    };
    std::thread::Builder::new().name("database".to_owned()).spawn(keep)?;
    Ok((telling.recv().map_err(std::io::Error::other)??, open))
}
