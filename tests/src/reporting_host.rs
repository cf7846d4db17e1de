//! One enrolled host with the real ingest behind the real door, and what its tables say.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "only tests use this, and a panic fails the test that caused it"
)]

use std::sync::{Arc, OnceLock};

use crate::doors::{Credentials, Doors};
use crate::raw_agent::{RawAgent, RawMessage};
use anyhow::{Context as _, Result};
use portreeve_server::{
    app::App,
    clock,
    db::{Db, Scope, facts, identity::TokenSite},
    ingest::Ingest,
};
use proto::fleet::v1::Hello;
use rules::facts::{Facts, Section, Socket, SocketState};
use rules::ports::Protocol;
use sqlx::{AssertSqlSafe, Row as _};

#[derive(Debug)]
pub struct Host {
    pub doors: Doors,
    pub site: TokenSite,
    pub host_id: i64,
    /// A client that has nothing to do with the host.
    pub stranger: i32,
    credentials: Credentials,
}

/// The facts of a recorded case.
pub fn case(path: &str) -> Facts {
    let path = format!("{}/../rules/cases/{path}/facts.json", env!("CARGO_MANIFEST_DIR"));
    rules::check::parse_facts(&std::fs::read(path).expect("the case is there")).expect("the case is well-formed")
}

/// One service that could not have its port.
pub fn blocked() -> Facts {
    case("port-conflict-blocked/died-holder-was-first")
}

/// The same host, after the holder went and the service started.
pub fn mended() -> Facts {
    let mut facts = blocked();
    if let Section::Known(services) = &mut facts.services {
        for service in services {
            service.state = rules::facts::ServiceState::Running;
            service.exit_code = Some(0);
            service.pid = Some(900);
        }
    }
    if let Section::Known(sockets) = &mut facts.sockets {
        for socket in sockets {
            socket.pid = Some(900);
            socket.image = Some("zabbix_agentd.exe".into());
            socket.services = vec!["Zabbix Agent".into()];
        }
    }
    facts
}

/// A DNS server with this many sockets.
pub fn with_sockets(count: u16) -> Facts {
    let socket = |port| Socket {
        protocol: Protocol::Udp,
        address: "0.0.0.0".parse().expect("an address"),
        scope: 0,
        port,
        state: SocketState::Bound,
        pid: Some(1420),
        image: Some(r"C:\Windows\System32\dns.exe".into()),
        process_started_at: chrono::DateTime::from_timestamp(1_772_420_480, 0),
        services: vec!["DNS".into()],
        specific_port: Some(false),
        bound_at: chrono::DateTime::from_timestamp_millis(1_772_420_481_000 + i64::from(port)),
    };
    Facts { sockets: Section::Known((10_000..10_000 + count).map(socket).collect()), ..blocked() }
}

impl Host {
    pub async fn new(name: &str) -> Result<Self> {
        Self::of(name, Ingest::new).await
    }

    /// With an ingest of the caller's.
    pub async fn of(name: &str, ingest: impl FnOnce(Arc<App>) -> Ingest) -> Result<Self> {
        static SUBSCRIBER: OnceLock<()> = OnceLock::new();
        SUBSCRIBER.get_or_init(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let doors = Doors::open_with(|app| ingest(app).routes()).await?;
        let site = doors.site("Contoso").await?;
        let stranger = doors.site("Fabrikam").await?.client_id;
        let token = doors.token(site, 1, chrono::TimeDelta::hours(1)).await?;
        let credentials = doors.enroll(&token, name).await?;
        let mut host = Self { doors, site, host_id: 0, stranger, credentials };
        host.host_id = host.number("select host_id from host").await?;
        Ok(host)
    }

    pub fn db(&self) -> &Db {
        &self.doors.database.db
    }

    pub async fn connect(&self, hello: &Hello) -> Result<RawAgent> {
        RawAgent::connect(&self.doors, &self.credentials, hello).await
    }

    pub async fn refusal(&self, first: RawMessage) -> Result<String> {
        RawAgent::refusal(&self.doors, &self.credentials, first).await
    }

    pub async fn revoke(&self) -> Result<()> {
        let app = Arc::clone(&self.doors.app);
        let scope = Scope::of(self.site.client_id);
        app.identity.revoke_host(&app.db, &scope, self.host_id, clock::now()).await?.context("the host is there")?;
        Ok(())
    }

    /// The tables say exactly this of the host, whatever the order of rows.
    pub async fn holds(&self, truth: &Facts) -> Result<()> {
        let mut transaction = self.db().begin(&Scope::of(self.site.client_id)).await?;
        let state = facts::load(&mut transaction, self.site.client_id, self.host_id).await?;
        let stored = Facts { collected_at: truth.collected_at, ..state.facts().clone() };
        let (stored, truth) = (sorted(stored), sorted(truth.clone()));
        assert_eq!(stored, truth);
        Ok(())
    }

    /// (name, generation, build) of the host's row.
    pub async fn row(&self) -> Result<(String, String, String)> {
        let row = self.one("select name, os_generation, os_build from host").await?;
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    }

    /// (state, episode, why it cannot be told) of each finding.
    pub async fn findings(&self) -> Result<Vec<(String, i32, Option<String>)>> {
        let rows = self.all("select state, episode, cannot_tell from finding order by finding_id").await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }

    /// `opened 1`, in the order of time.
    pub async fn timeline(&self) -> Result<Vec<String>> {
        self.texts("select transition || ' ' || episode from finding_event order by at").await
    }

    /// (seq, quarantined).
    pub async fn cursor(&self) -> Result<(i64, i64)> {
        let row = self.one("select seq, quarantined from agent_stream").await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    /// Codes, in the order of time.
    pub async fn quarantined(&self) -> Result<Vec<String>> {
        self.texts("select code from quarantine order by received_at").await
    }

    pub async fn unknown_reason(&self, section: &str) -> Result<Option<String>> {
        let sql = format!("select unknown_reason from host_section where section = '{section}'");
        Ok(self.one(&sql).await?.try_get(0)?)
    }

    pub async fn count(&self, table: &str) -> Result<i64> {
        self.count_as(self.site.client_id, table).await
    }

    pub async fn count_as(&self, client_id: i32, table: &str) -> Result<i64> {
        let mut transaction = self.db().begin(&Scope::of(client_id)).await?;
        let sql = format!("select count(*) from {table}");
        Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *transaction).await?)
    }

    pub async fn number(&self, sql: &str) -> Result<i64> {
        Ok(self.one(sql).await?.try_get(0)?)
    }

    pub async fn texts(&self, sql: &str) -> Result<Vec<String>> {
        self.all(sql).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Does to the tables what only their owner may.
    pub async fn meddle(&self, sql: &str) -> Result<()> {
        let mut connection = self.doors.database.superuser().await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        Ok(())
    }

    async fn one(&self, sql: &str) -> Result<sqlx::postgres::PgRow> {
        self.all(sql).await?.into_iter().next().context("a row")
    }

    async fn all(&self, sql: &str) -> Result<Vec<sqlx::postgres::PgRow>> {
        let mut transaction = self.db().begin(&Scope::of(self.site.client_id)).await?;
        Ok(sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut *transaction).await?)
    }
}

fn sorted(mut facts: Facts) -> Facts {
    facts = proto::wire::canonical(&facts);
    if let Section::Known(sockets) = &mut facts.sockets {
        sockets.sort();
    }
    if let Section::Known(services) = &mut facts.services {
        services.sort_by(|a, b| a.name.cmp(&b.name));
    }
    if let Section::Known(updates) = &mut facts.updates {
        updates.sort_by(|a, b| (a.source, &a.id).cmp(&(b.source, &b.id)));
    }
    facts
}
