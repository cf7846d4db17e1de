//! The sections of a host that are made of rows, as facts, with the state of its sections.

use rules::facts::{Facts, Service, Socket, Update};
use rules::finding::Judgement;
use sqlx::{Postgres, Transaction};

use crate::db::history::{self, Past};
use crate::db::read::Plans;
use crate::db::read_hosts::{SectionRow, sections};
use crate::db::{Db, Scope, facts, findings, read};
use crate::findings::plan::{State, Stored};

/// Rows of one section. While the section is unknown, they are what was known last.
#[derive(Debug)]
pub struct Rows<T> {
    pub sections: Vec<SectionRow>,
    pub items: Vec<T>,
}

/// What the page of services is made of.
#[derive(Debug)]
pub struct ServiceRows {
    pub sections: Vec<SectionRow>,
    pub services: Vec<Service>,
    pub sockets: Vec<Socket>,
    /// Of the boots before the newest.
    pub past: Past,
}

/// `None`: no such host in `scope`.
pub async fn services(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<ServiceRows>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let sections = sections(client_id, host_id, &mut transaction).await?;
    let services = facts::services(&mut transaction, client_id, host_id).await?;
    let (sockets, _) = facts::sockets(&mut transaction, client_id, host_id).await?;
    let past = history::past_of_newest(&mut transaction, (client_id, host_id)).await?;
    Ok(Some(ServiceRows { sections, services, sockets, past }))
}

/// `None`: no such host in `scope`.
pub async fn sockets(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<Rows<Socket>>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let sections = sections(client_id, host_id, &mut transaction).await?;
    let (items, _) = facts::sockets(&mut transaction, client_id, host_id).await?;
    Ok(Some(Rows { sections, items }))
}

/// `None`: no such host in `scope`.
pub async fn updates(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<Rows<Update>>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let sections = sections(client_id, host_id, &mut transaction).await?;
    let items = facts::updates(&mut transaction, client_id, host_id).await?;
    Ok(Some(Rows { sections, items }))
}

/// What a plan is made of.
#[derive(Debug)]
pub struct PlanRows {
    pub facts: Facts,
    /// The open ones.
    pub findings: Vec<Stored>,
}

impl PlanRows {
    pub fn judgement(&self) -> Judgement {
        let findings = self.findings.iter().map(|stored| stored.finding.clone()).collect();
        Judgement { findings, ..Judgement::default() }
    }
}

/// `None`: no such host in `scope`.
pub async fn plan(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<PlanRows>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let state = facts::load(&mut transaction, client_id, host_id).await?;
    let mut findings = findings::of_host(&mut transaction, client_id, host_id, &Judgement::default()).await?;
    findings.retain(|stored| stored.is == State::Open);
    Ok(Some(PlanRows { facts: state.facts().clone(), findings }))
}

/// The client of a host. `None`: no such host in `scope`.
pub async fn client_of(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<i32>> {
    Ok(begin(scope, db, host_id).await?.map(|(_, client_id)| client_id))
}

/// A transaction, and the client of the host.
pub(super) async fn begin(
    scope: &Scope,
    db: &Db,
    host_id: i64,
) -> sqlx::Result<Option<(Transaction<'static, Postgres>, i32)>> {
    begin_with(scope, db, host_id, Plans::ByValue).await
}

/// The same for queries that are best planned in one way.
pub(super) async fn begin_with(
    scope: &Scope,
    db: &Db,
    host_id: i64,
    plans: Plans,
) -> sqlx::Result<Option<(Transaction<'static, Postgres>, i32)>> {
    let mut transaction = read::begin_with(scope, db, plans).await?;
    let client_id = sqlx::query_scalar!(
        "
        select client_id
        from host
        where client_id = any ($1)
          and host_id = $2
        ",
        &scope.0,
        host_id,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(client_id.map(|client_id| (transaction, client_id)))
}
