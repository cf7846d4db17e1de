//! Background tasks and the two-phase end: at the first signal everyone stops accepting and drains; whoever has not
//! ended in time is dropped; a second signal ends the process at once.

use std::time::Duration;

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// The tasks of a server. All end when `stopping` is cancelled; one that ends before is a fault that ends the server.
#[derive(Debug)]
pub struct Lifecycle {
    stopping: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    signals: Signals,
}

/// SIGINT and SIGTERM.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Lifecycle {
    pub fn new(stopping: CancellationToken) -> anyhow::Result<Self> {
        let signals =
            Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        Ok(Self { stopping, tasks: JoinSet::new(), signals })
    }

    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Returns when a signal came and the tasks have ended, or a task failed.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = self.signals.next() => {
                info!("Stopping: no new connections; open ones may end");
                Ok(())
            }
            Some(ended) = self.tasks.join_next() => early_end(ended),
        };
        self.stopping.cancel();
        self.drain().await;
        outcome
    }

    /// For a start that failed half-way.
    pub async fn abandon(mut self) {
        self.stopping.cancel();
        self.drain().await;
    }

    async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    None => return,
                    Some(Ok((name, Err(error)))) => warn!(error = format!("{error:#}"), "Task {name} ended badly"),
                    Some(_) => {}
                },
                () = self.signals.next() => {
                    warn!("Second signal: ending at once");
                    std::process::exit(1);
                }
                () = tokio::time::sleep_until(deadline) => {
                    info!(tasks = self.tasks.len(), "Dropping what has not ended");
                    self.tasks.shutdown().await;
                    return;
                }
            }
        }
    }
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn early_end(ended: Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok((name, Ok(()))) => anyhow::bail!("task {name} ended by itself"),
        Ok((name, Err(error))) => Err(error.context(format!("task {name} failed"))),
        Err(panic) => Err(panic).context("a task panicked"),
    }
}
