//! `run`: the server.

use std::{io::Write, sync::Arc};

use arc_swap::ArcSwap;
use clap::Args;
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use crate::{
    alerts::{egress::Egress, worker::Worker},
    api,
    app::App,
    cli::open::Opened,
    clock,
    config::{Config, Place},
    db::{Db, identity::enrolled_hosts, instances::Instance, migrator, reading::Reading},
    demo,
    identity::enrollment::Enrollment,
    ingest::{Ingest, Store},
    learned_ports, lease,
    lifecycle::Lifecycle,
    listeners::{Bound, agents, enroll, files, http, tls},
    live::Bus,
    postgres::Cluster,
    questions::Questions,
    replicas::{Others, Replica},
    retention,
    rulebook::{self, Rulebook},
    silence, suspects,
};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub config: Config,
}

/// Whose hosts the pages show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fleet {
    /// Those that enroll.
    Real,
    /// Invented ones as well, played by this process through the same doors.
    Demonstration,
}

pub async fn run(place: Place, arguments: Arguments, fleet: Fleet) -> anyhow::Result<()> {
    let config = arguments.config;
    let stopping = CancellationToken::new();
    let mut lifecycle = Lifecycle::new(stopping.clone())?;
    // Addresses first: one that is in use is told before Postgres starts.
    let bound = Bound::bind(&config)?;
    let mut opened = Opened::own(&place).await?;
    let cluster = opened.cluster.take().map(Arc::new);
    let served = serve(&opened, cluster.clone(), config, bound, stopping, fleet, &mut lifecycle).await;
    let outcome = match served {
        Ok(()) => lifecycle.run().await,
        Err(error) => {
            lifecycle.abandon().await;
            Err(error)
        }
    };
    opened.close().await?;
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    info!("Stopped");
    outcome
}

async fn serve(
    opened: &Opened,
    cluster: Option<Arc<Cluster>>,
    mut config: Config,
    bound: Bound,
    stopping: CancellationToken,
    fleet: Fleet,
    lifecycle: &mut Lifecycle,
) -> anyhow::Result<()> {
    let now = clock::now();
    let sealer = opened.sealer().await?;
    let identity = opened.identity(now).await?;
    let agents_tls = tls::for_agents(&identity.authority, now)?;
    let enroll_tls = tls::for_enrollment(&identity.authority, now)?;
    let url = bound.http.url();
    let (agents_at, enroll_at) = (bound.agents.local_addr()?, bound.enroll.local_addr()?);
    let bus = Bus::new();
    config.agent_dir.get_or_insert_with(|| opened.data_dir.join("agent"));
    let reading = config.read_database_url.as_ref().map(|url| Reading::new(&url.0)).transpose()?;
    let app = Arc::new(App {
        server_id: Uuid::new_v4(),
        store: Store::new(opened.db.clone(), bus.clone(), config.public_url.as_deref().unwrap_or(&url)),
        db: Db { reading, ..opened.db.clone() },
        bus,
        questions: Questions::default(),
        identity,
        sealer,
        egress: Egress::new(&config.egress_allow)?,
        config,
        rulebook: ArcSwap::from_pointee(Rulebook::load(&opened.db).await?),
        stopping,
    });
    let stop = || app.stopping.clone();

    let others = if cluster.is_some() { Others::Dead } else { Others::MayLive };
    if let Some(cluster) = cluster {
        let stop = stop();
        lifecycle.spawn("postgres", async move {
            cluster.keep_running(stop).await;
            Ok(())
        });
    }
    let (sweeper, sweep_stop) = (Arc::clone(&app), stop());
    lifecycle.spawn("revocations", async move {
        sweeper.identity.sweep_revocations(&sweeper.db, sweep_stop).await;
        Ok(())
    });
    let revocations = Arc::clone(&app.identity.revocations);
    files::warn_when_too_low(files::raise_limit(), enrolled_hosts(&app.db).await?);
    let ingest = Ingest::new(Arc::clone(&app));
    let instance = Instance {
        server_id: app.server_id,
        schema_version: migrator::newest(),
        http: url.clone(),
        agents: agents_at.to_string(),
    };
    let replica = Replica::enter(Arc::clone(&app), ingest.clone(), instance, others).await?;
    lifecycle.spawn("replica", async move {
        Box::pin(replica.live()).await;
        Ok(())
    });
    lifecycle.spawn("agents", agents::serve(bound.agents, agents_tls, ingest.routes(), revocations, stop()));
    let departed = Ingest::end_departed(ingest.clone());
    lifecycle.spawn("departed hosts", async move {
        departed.await;
        Ok(())
    });
    lifecycle.spawn("presence", async move {
        ingest.keep_presence().await;
        Ok(())
    });
    if let Some(reading) = app.db.reading.clone() {
        let (primary, stop) = (app.db.pool.clone(), stop());
        lifecycle.spawn("read replica", async move {
            reading.keep_measured(&primary, &stop).await;
            Ok(())
        });
    }
    let keeper = Arc::clone(&app);
    lifecycle.spawn("catalog", async move {
        rulebook::keep_current(&keeper).await;
        Ok(())
    });
    let judge = Arc::clone(&app);
    lifecycle.spawn("judging again", async move {
        lease::hold(&judge, "judging-again", || rulebook::keep_judged(&judge)).await;
        Ok(())
    });
    let counter = Arc::clone(&app);
    lifecycle.spawn("learned ports", async move {
        lease::hold(&counter, "learned-ports", || learned_ports::keep_counting(&counter)).await;
        Ok(())
    });
    let looker = Arc::clone(&app);
    lifecycle.spawn("suspects", async move {
        lease::hold(&looker, "suspects", || suspects::keep_looking(&looker)).await;
        Ok(())
    });
    let keeper = Arc::clone(&app);
    lifecycle.spawn("upkeep", async move {
        lease::hold(&keeper, "upkeep", || retention::keep_tidy(&keeper)).await;
        Ok(())
    });
    let teller = Arc::clone(&app);
    lifecycle.spawn("silence", async move {
        lease::hold(&teller, "silence", || silence::keep_telling(&teller)).await;
        Ok(())
    });
    let worker = Worker::new(app.db.clone(), app.bus.clone(), app.sealer.clone(), app.egress.clone());
    let worker_stop = stop();
    lifecycle.spawn("deliveries", async move {
        worker.run(worker_stop).await;
        Ok(())
    });
    let enrollment = Enrollment::new(Arc::clone(&app));
    lifecycle.spawn("enroll", enroll::serve(bound.enroll, enroll_tls, enrollment, stop()));
    lifecycle.spawn("metrics", api::metrics::upkeep(stop()));
    lifecycle.spawn("http", http::serve(bound.http, api::router(Arc::clone(&app)), stop()));

    info!(agents = %agents_at, enroll = %enroll_at, "Listening for agents");
    let sign_in = match fleet {
        Fleet::Real => Vec::new(),
        Fleet::Demonstration => demo::start(&app, &opened.data_dir, agents_at, enroll_at, lifecycle).await?,
    };
    let mut out = std::io::stdout().lock();
    for line in sign_in {
        writeln!(out, "{line}")?;
    }
    // The last line of the start, on standard output: scripts wait for it.
    writeln!(out, "Portreeve is ready: {url}")?;
    out.flush()?;
    Ok(())
}
