//! A simulated week through the real door: what tables and API say of any moment of it is what the hosts told then.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::clock;
use rand::{RngExt as _, SeedableRng as _};
use tests::recorder::{Answered, Recorded, Seen, Stored};
use tests::server::Server;
use tests::simulation::{Plan, Simulation};
use tests::truth::database;

/// A week in less than a minute and a half.
const SPEED: u32 = 7200;
const READ_EVERY: Duration = Duration::from_millis(500);
const HOSTS: u32 = 12;

/// Moments that are asked for of each host.
const QUESTIONS: usize = 60;

/// Of them, how many the API is asked: its answers take longer than a look into the tables.
const API_EVERY: usize = 15;

/// Reads after the start of an agent of which it is not known which of them were told: until its stream is open only the
/// last one is, and a machine with much to do takes seconds to open it.
const UNCERTAIN: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_what_a_recorder_saw() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let seed = clock::now().timestamp_millis().unsigned_abs();
    println!("seed {seed}");
    let plan = Plan { seed, hosts: HOSTS, speed: SPEED, read_every: READ_EVERY };
    let simulation = Simulation::begin(&server, plan).await?;
    simulation.reaches(TimeDelta::days(7)).await;
    let recorded = simulation.end().await?;

    let pool = database(&server).await?;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (mut asked, mut unknown, mut differ) = (0, 0, 0);
    for host in &recorded {
        let stored = Stored::of(&pool, &host.name).await?;
        stored.has_no_overlap().with_context(|| format!("{} of seed {seed}", host.name))?;
        let host_id: i64 =
            sqlx::query_scalar("select host_id from host where name = $1").bind(&host.name).fetch_one(&pool).await?;
        let first = stored.at(host.moments[0].at);
        for question in 0..QUESTIONS {
            let index = random.random_range(0..host.moments.len() - 1);
            let Some(time) = middle(host, index) else { continue };
            let (told, heard) = (stored.at(time), &host.moments[index].seen);
            ensure!(told == *heard, "{} at {time} (seed {seed}): {}", host.name, unlike(&told, host, index));
            if question % API_EVERY == 0 {
                let answered = Answered::at(&server, host_id, time).await?;
                ensure!(
                    answered == heard.counted(),
                    "{} at {time} (seed {seed}): the API says {answered:?}",
                    host.name
                );
            }
            asked += 1;
            unknown += usize::from(heard.updates.is_none());
            differ += usize::from(*heard != first);
        }
    }
    println!("{asked} moments, {differ} of them unlike the first, {unknown} with an unknown section");
    ensure!(asked > 200 && differ > 100, "only {asked} moments could be asked for, {differ} of them unlike the first");
    Ok(())
}

/// A time at which the read must be what is known: in the middle between it and the next one, so that the clock of a
/// host need be known to a fraction of a second only. `None`: the agent had just begun, or the host's clock is wrong by
/// more than is measured exactly.
fn middle(host: &Recorded, index: usize) -> Option<DateTime<Utc>> {
    let begun = host.moments[..=index].iter().rposition(|moment| moment.is_first)?;
    let (this, next) = (&host.moments[index], &host.moments[index + 1]);
    let is_certain = index >= begun + UNCERTAIN && host.skew == TimeDelta::zero();
    is_certain.then(|| this.at + (next.at - this.at) / 2)
}

fn unlike(said: &Seen, host: &Recorded, index: usize) -> String {
    let seen = &host.moments[index].seen;
    let when: Vec<_> = (0..host.moments.len()).filter(|other| host.moments[*other].seen == *said).take(3).collect();
    format!(
        "read {index} was told as what reads {when:?} saw: sockets: {}; services: {}; updates: {}",
        apart(said.sockets.as_ref(), seen.sockets.as_ref()),
        apart(said.services.as_ref(), seen.services.as_ref()),
        apart(said.updates.as_ref(), seen.updates.as_ref())
    )
}

fn apart<T: Ord + std::fmt::Debug>(a: Option<&BTreeSet<T>>, b: Option<&BTreeSet<T>>) -> String {
    let (Some(a), Some(b)) = (a, b) else { return format!("known {} instead of {}", a.is_some(), b.is_some()) };
    let rows = |from: &BTreeSet<T>, without: &BTreeSet<T>| {
        format!("{:?}", from.difference(without).take(3).collect::<Vec<_>>())
    };
    format!("said alone {}, seen alone {}", rows(a, b), rows(b, a))
}
