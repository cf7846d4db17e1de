//! Reads this host again and again, on a thread of its own, and hands every look to the stream.

use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rules::facts::Facts;
use tokio::sync::{mpsc, watch};

#[cfg(not(windows))]
use crate::collect::elsewhere::Collector;
#[cfg(windows)]
use crate::collect::windows::Collector;
use crate::run::Source;

/// Until the server names another interval.
const COLLECT_EVERY: Duration = Duration::from_secs(5);

/// One look at this host.
pub fn snapshot(now: DateTime<Utc>) -> Facts {
    Collector::new(|| {}).look(now)
}

/// Looks at this host until nobody wants to know any more.
pub fn watch(clock: fn() -> DateTime<Utc>) -> std::io::Result<Source> {
    let (sender, facts) = mpsc::channel(1);
    let (collect_every, interval) = watch::channel(COLLECT_EVERY);
    thread::Builder::new().name("collect".to_owned()).spawn(move || {
        let (wake, woken) = blocking::channel::<()>();
        let mut collector = Collector::new({
            let wake = wake.clone();
            // Nobody waits any more when the program ends.
            move || {
                let _ = wake.send(());
            }
        });
        // `wake` lives as long as this thread, so waiting ends by a change or by the interval.
        while sender.blocking_send(collector.look(clock())).is_ok() {
            let _ = woken.recv_timeout(*interval.borrow());
        }
        drop(wake);
    })?;
    Ok(Source { facts, collect_every })
}
