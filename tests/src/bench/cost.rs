//! What programs and Postgres spent between two moments: processor time of whole trees of processes, memory, and the
//! write-ahead log.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::PgPool;

/// A program and everything that it started.
#[derive(Clone, Copy, Debug)]
pub struct Tree(pub u32);

/// Ticks of /proc are hundredths of a second on every Linux of ours (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

impl Tree {
    /// Processor time until now, with that of children that ended and were waited for.
    pub fn cpu(self) -> Result<Duration> {
        let mut ticks = 0;
        for process in self.processes()? {
            // One that ended meanwhile is in the sum of its parent.
            ticks += stat(process).map_or(0, |stat| stat.ticks);
        }
        Ok(TICK * u32::try_from(ticks).context("years of processor time")?)
    }

    /// Processor time of its first process alone, all its threads, until now.
    pub fn own_cpu(self) -> Result<Duration> {
        let ticks = stat(self.0).context("the process runs")?.own_ticks;
        Ok(TICK * u32::try_from(ticks).context("years of processor time")?)
    }

    /// Bytes in memory, pages shared with other processes counted by their share.
    pub fn memory(self) -> Result<u64> {
        self.processes()?.into_iter().map(memory).sum()
    }

    /// Those of its first process alone: a server is the parent of its own Postgres.
    pub fn own_memory(self) -> Result<u64> {
        memory(self.0)
    }

    pub fn processes(self) -> Result<Vec<u32>> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            if let Some(stat) = stat(id) {
                children.entry(stat.parent).or_default().push(id);
            }
        }
        let mut found = vec![self.0];
        let mut next = 0;
        while let Some(&process) = found.get(next) {
            found.extend(children.remove(&process).unwrap_or_default());
            next += 1;
        }
        Ok(found)
    }
}

/// None of a process that ended meanwhile.
fn memory(process: u32) -> Result<u64> {
    let Ok(text) = fs::read_to_string(format!("/proc/{process}/smaps_rollup")) else { return Ok(0) };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("smaps_rollup names Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    /// With those of children that were waited for.
    ticks: u64,
}

/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>. `None`: it is gone.
fn stat(process: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may hold anything, and ends with the last bracket.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    let ticks: Vec<u64> = fields.get(11..15)?.iter().filter_map(|field| field.parse().ok()).collect();
    let own_ticks = ticks.iter().take(2).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own_ticks, ticks: ticks.iter().sum() })
}

/// Bytes of write-ahead log that Postgres wrote until now.
pub async fn wal(pool: &PgPool) -> Result<u64> {
    let bytes: i64 =
        sqlx::query_scalar("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8").fetch_one(pool).await?;
    Ok(u64::try_from(bytes)?)
}

/// Has every page written that a step before made dirty, so that it is not counted to the next.
pub async fn checkpoint(pool: &PgPool) -> Result<()> {
    sqlx::query("checkpoint").execute(pool).await?;
    Ok(())
}

/// Microseconds, for figures by the piece.
pub fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
