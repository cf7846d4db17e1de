//! What hosts are judged by: the catalog of all its layers, the overrides of each client, and what the fleet suspects. Made once for each change,
//! and shared; [`keep_current`] makes it anew when another process changed something; [`keep_judged`] judges hosts again.
//!
//! Invariant: a judgement and its basis come from one rulebook, so that a stored basis that differs from today's says
//! that the host must be judged again.

pub mod rejudge;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use rules::catalog::{Catalog, CatalogFault, Layers};
use rules::facts::Facts;
use rules::finding::Judgement;
use rules::history::History;
use rules::overrides::{self, Override};
use rules::suspect::Suspect;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::catalog::{bundle, release};
use crate::clock;
use crate::db::suspects::Stored as StoredSuspect;
use crate::db::{self, Db};
use crate::live::HintKind;

/// Without a hint, the number of the newest change is asked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(4);
/// Without a hint, hosts are judged again this often: overrides end, and suspects are found.
const JUDGE_AGAIN: Duration = Duration::from_secs(30);

/// One state of what is known and decided.
#[derive(Clone, Debug)]
pub struct Rulebook {
    /// Shared with pages that only read it.
    pub catalog: Arc<Catalog>,
    /// As [`db::catalog::revision`] counts.
    pub revision: i64,
    /// A hash of all that the catalog is made of.
    pub version: Arc<str>,
    /// Clients of which something was decided, or hosts failed after a suspect update.
    clients: BTreeMap<i32, Decided>,
    /// Every other client.
    others: Decided,
}

/// What counts for the hosts of a client beside the catalog.
#[derive(Clone, Debug)]
struct Decided {
    overrides: Vec<Override>,
    suspects: Arc<[Suspect]>,
    /// The basis of judgements until a moment at which an override ends; in the order of time.
    basis_until: Vec<(DateTime<Utc>, Arc<str>)>,
    /// When all have ended.
    basis_after: Arc<str>,
}

impl Rulebook {
    /// As the database has it. An entry that this version of the program cannot read is left out with a warning: it
    /// was read when it was added, and the rest must not wait for it.
    pub async fn load(db: &Db) -> anyhow::Result<Self> {
        // Read first: a change that comes meanwhile has a higher one, and is loaded again.
        let revision = db::catalog::revision(&db.pool).await?;
        let (mut release, mut own) = stored_files(db).await?;
        let overrides = db::catalog::overrides::in_force(db).await?;
        let suspects = db::suspects::of_fleet(&db.everything().await?, db).await?;
        let catalog = match composed(&release, &own) {
            Ok(catalog) => catalog,
            Err(faults) => {
                for fault in &faults {
                    tracing::warn!("Left out a file of the catalog: {fault}");
                }
                let refused: BTreeSet<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
                release.retain(|(name, _)| !refused.contains(name.as_str()));
                own.retain(|(name, _)| !refused.contains(name.as_str()));
                composed(&release, &own).map_err(|faults| told(&faults)).map_err(anyhow::Error::msg)?
            }
        };
        let version = version(&release, &own);
        let told: BTreeSet<i32> = suspects.iter().flat_map(StoredSuspect::clients_told).collect();
        let concerned: BTreeSet<i32> = told.into_iter().chain(overrides.keys().copied()).collect();
        let mut overrides = overrides;
        let clients = concerned.into_iter().map(|client_id| {
            let suspects = suspects.iter().map(|stored| stored.for_client(client_id)).collect();
            (client_id, Decided::new(&version, overrides.remove(&client_id).unwrap_or_default(), suspects))
        });
        let clients = clients.collect();
        let others = Decided::new(&version, Vec::new(), suspects.iter().map(StoredSuspect::for_others).collect());
        Ok(Self { catalog: Arc::new(catalog), revision, version: version.into(), clients, others })
    }

    /// The same decisions with another catalog: for a shadow run, which asks for no basis.
    #[must_use]
    pub fn with_catalog(&self, catalog: Catalog) -> Self {
        Self { catalog: Arc::new(catalog), ..self.clone() }
    }

    /// What the rules say of a host of the client, as decided for it. `history` learns what the fleet suspects.
    pub fn judge(&self, client_id: i32, facts: &Facts, history: &mut History, now: DateTime<Utc>) -> Judgement {
        let decided = self.decided(client_id);
        history.suspects = Arc::clone(&decided.suspects);
        overrides::apply(rules::judge(facts, &self.catalog, history), &decided.overrides, now)
    }

    /// What a judgement of a host of the client stands on at this moment. It changes when an override ends.
    pub fn basis(&self, client_id: i32, now: DateTime<Utc>) -> Arc<str> {
        let decided = self.decided(client_id);
        let present = decided.basis_until.iter().find(|(until, _)| now < *until);
        Arc::clone(present.map_or(&decided.basis_after, |(_, basis)| basis))
    }

    fn decided(&self, client_id: i32) -> &Decided {
        self.clients.get(&client_id).unwrap_or(&self.others)
    }
}

impl Decided {
    fn new(version: &str, overrides: Vec<Override>, suspects: Arc<[Suspect]>) -> Self {
        let basis = |now: Option<DateTime<Utc>>| {
            let mut hash = Sha256::new();
            hash.update(version);
            for decided in overrides.iter().filter(|decided| now.is_some_and(|now| decided.is_in_force(now))) {
                hash.update(format!("{decided:?}"));
            }
            for suspect in &*suspects {
                hash.update(format!("{suspect:?}"));
            }
            Arc::from(short(hash))
        };
        let ends: BTreeSet<DateTime<Utc>> = overrides.iter().map(|decided| decided.until).collect();
        // Up to its end an override is in force at the end before.
        let begins = std::iter::once(DateTime::<Utc>::MIN_UTC).chain(ends.iter().copied());
        let basis_until = begins.zip(&ends).map(|(begin, &until)| (until, basis(Some(begin)))).collect();
        let basis_after = basis(None);
        Self { overrides, suspects, basis_until, basis_after }
    }
}

/// (name, text), the name with its folder.
pub type File = (String, String);
pub type Files = Vec<File>;

/// Those of the release that is in force, and the own ones.
pub async fn stored_files(db: &Db) -> anyhow::Result<(Files, Files)> {
    let own = db::catalog::entries(&db.pool).await?;
    let own = own.into_iter().map(|entry| (format!("{}/{}.toml", entry.kind, entry.entry_id), entry.body)).collect();
    let release = match db::catalog::releases::body_in_force(&db.pool).await? {
        Some(body) => bundle::parse(&body).context("the release in force cannot be read")?.files,
        None => Files::new(),
    };
    Ok((release, own))
}

pub fn composed(release: &[File], own: &[File]) -> Result<Catalog, Vec<CatalogFault>> {
    let (release, own) = (borrowed(release), borrowed(own));
    Catalog::composed(Layers { release: &release, own: &own })
}

/// All faults in one text, a line each.
pub fn told(faults: &[CatalogFault]) -> String {
    let mut text = String::new();
    for (number, fault) in faults.iter().enumerate() {
        let _ = write!(text, "{}{fault}", if number == 0 { "" } else { "\n" });
    }
    text
}

pub fn borrowed(files: &[File]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

fn version(release: &[File], own: &[File]) -> String {
    let mut hash = Sha256::new();
    // The rules themselves may judge otherwise in another version of the program.
    hash.update(env!("CARGO_PKG_VERSION"));
    for (name, text) in Catalog::builtin_files().iter().copied().chain(borrowed(release)).chain(borrowed(own)) {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    short(hash)
}

fn short(hash: Sha256) -> String {
    hex::encode(&hash.finalize()[..16])
}

/// Loads what changed, also by other servers, until this one stops.
pub async fn keep_current(app: &App) {
    let mut hints = app.bus.subscribe();
    while !app.stopping.is_cancelled() {
        if let Err(error) = refresh(app).await {
            tracing::warn!(error = format!("{error:#}"), "Could not load the catalog; trying again");
        }
        let changed = tokio::time::timeout(LOOK_AGAIN, hints.something_of(HintKind::Catalog));
        // Whatever ended it: it looks again.
        let _ = app.stopping.run_until_cancelled(changed).await;
    }
}

/// Tries releases, and judges hosts again until all stand on the present basis. To be run by one server, under a lease.
pub async fn keep_judged(app: &App) {
    let mut hints = app.bus.subscribe();
    let mut progress = rejudge::Progress::default();
    loop {
        if let Err(error) = bring_up_to_date(app, &mut progress).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "Could not bring findings in line with the catalog; trying again"
            );
        }
        drop(tokio::time::timeout(JUDGE_AGAIN, hints.something_of(HintKind::Catalog)).await);
    }
}

/// One round of [`keep_judged`].
pub async fn bring_up_to_date(app: &App, progress: &mut rejudge::Progress) -> anyhow::Result<()> {
    refresh(app).await?;
    release::finish(&app.db, clock::now).await?;
    refresh(app).await?;
    rejudge::pass(app, progress, clock::now).await?;
    Ok(())
}

/// Takes over what changed in the database since the rulebook was made.
pub async fn refresh(app: &App) -> anyhow::Result<()> {
    let present = app.rulebook.load().revision;
    if db::catalog::revision(&app.db.pool).await? != present {
        let rulebook = Rulebook::load(&app.db).await?;
        tracing::info!(revision = rulebook.revision, "Loaded the catalog");
        app.rulebook.store(Arc::new(rulebook));
    }
    Ok(())
}
