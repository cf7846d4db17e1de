//! Problems for people: open findings of one cause as one row, with everything about them derived from their members.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Db, Scope, read};

/// Where a page starts: behind this problem (severity, hosts, key).
pub type ProblemKey = (i16, i64, String);

/// A problem over the clients of a scope. Severity, confidence and title are those of its members, or of those that it
/// had once it has none.
#[derive(Clone, Debug)]
pub struct ProblemRow {
    pub problem: String,
    pub is_open: bool,
    pub severity: i16,
    pub confidence: i16,
    /// Of its worst finding.
    pub title: String,
    pub findings: i64,
    pub hosts: i64,
    pub clients: i64,
    /// Hosts that have been members at any time.
    pub hosts_ever: i64,
    pub first_opened_at: DateTime<Utc>,
    /// When the first member of this episode joined.
    pub opened_at: DateTime<Utc>,
    /// When the last member left. `None`: it is open.
    pub resolved_at: Option<DateTime<Utc>>,
    /// How many times it had members again after it had none, from 1.
    pub episode: i64,
}

impl ProblemRow {
    pub fn key(&self) -> ProblemKey {
        (self.severity, self.hosts, self.problem.clone())
    }
}

/// Which problems. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct ProblemFilter<'a> {
    /// `open` or `resolved`.
    pub state: Option<&'static str>,
    pub problem: Option<&'a str>,
}

/// The worst first, of those the ones with most hosts.
pub async fn list(
    scope: &Scope,
    db: &Db,
    filter: &ProblemFilter<'_>,
    after: Option<ProblemKey>,
    limit: i64,
) -> sqlx::Result<Vec<ProblemRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (severity, hosts, problem) = after.map_or((None, None, None), |(a, b, c)| (Some(a), Some(b), Some(c)));
    sqlx::query_as!(
        ProblemRow,
        r#"
        with grouped as (
          select
            problem,
            bool_or(left_at is null) as is_open,
            coalesce(max(severity) filter (where left_at is null), max(severity)) as severity,
            coalesce(max(confidence) filter (where left_at is null), max(confidence)) as confidence,
            (array_agg(title order by left_at is null desc, severity desc, confidence desc, finding_id))[1] as title,
            count(*) filter (where left_at is null) as findings,
            count(distinct host_id) filter (where left_at is null) as hosts,
            count(distinct client_id) filter (where left_at is null) as clients
          from (
            select member.client_id, member.problem, member.host_id, member.left_at, finding_id, severity, confidence, title
            from problem_member as member
            join finding using (client_id, finding_id)
            where member.client_id = any ($1)
              and ($2::text is distinct from 'open' or member.left_at is null)
              and ($3::text is null or member.problem = $3)
          ) as member
          group by problem
          having $2::text is distinct from 'resolved' or not bool_or(left_at is null)
        ), page as materialized (
          select *
          from grouped
          where $4::smallint is null
            or severity < $4
            or (severity = $4 and hosts < $5)
            or (severity = $4 and hosts = $5 and problem > $6)
          order by severity desc, hosts desc, problem
          limit $7
        )
        select
          page.problem as "problem!",
          page.is_open as "is_open!",
          page.severity as "severity!",
          page.confidence as "confidence!",
          page.title as "title!",
          page.findings as "findings!",
          page.hosts as "hosts!",
          page.clients as "clients!",
          span.hosts_ever as "hosts_ever!",
          span.first_opened_at as "first_opened_at!",
          span.opened_at as "opened_at!",
          span.resolved_at,
          span.episode as "episode!"
        from page
        cross join lateral (
          select
            count(distinct host_id) as hosts_ever,
            min(joined_at) as first_opened_at,
            max(joined_at) filter (where begins) as opened_at,
            case when bool_and(left_at is not null) then max(left_at) end as resolved_at,
            count(*) filter (where begins) as episode
          from (
            select
              host_id,
              joined_at,
              left_at,
              coalesce(
                joined_at > max(coalesce(left_at, 'infinity')) over (
                  order by joined_at, finding_id rows between unbounded preceding and 1 preceding
                ),
                true
              ) as begins
            from problem_member
            where client_id = any ($1)
              and problem = page.problem
          ) as step
        ) as span
        order by page.severity desc, page.hosts desc, page.problem
        "#,
        &scope.0,
        filter.state,
        filter.problem,
        severity,
        hosts,
        problem,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// Members that a problem has at a client.
#[derive(Clone, Debug)]
pub struct ProblemClientRow {
    pub client_id: i32,
    pub client_name: String,
    pub hosts: i64,
    pub findings: i64,
}

/// By name; clients without a member now are left out.
pub async fn clients(scope: &Scope, db: &Db, problem: &str) -> sqlx::Result<Vec<ProblemClientRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        ProblemClientRow,
        r#"
        select
          client_id,
          client.name as client_name,
          count(distinct host_id) as "hosts!",
          count(*) as "findings!"
        from problem_member
        join client using (client_id)
        where client_id = any ($1)
          and problem = $2
          and left_at is null
        group by client_id, client.name
        order by client.name, client_id
        "#,
        &scope.0,
        problem,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// Where a page starts: behind this member (whether it left, client, host, finding).
pub type MemberKey = (bool, String, String, Uuid);

/// A finding as a member, by its newest membership.
#[derive(Clone, Debug)]
pub struct MemberRow {
    pub finding_id: Uuid,
    pub title: String,
    pub severity: i16,
    pub confidence: i16,
    pub client_id: i32,
    pub client_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub host_id: i64,
    pub host_name: String,
    pub joined_at: DateTime<Utc>,
    pub left_at: Option<DateTime<Utc>>,
}

impl MemberRow {
    pub fn key(&self) -> MemberKey {
        (self.left_at.is_some(), self.client_name.clone(), self.host_name.clone(), self.finding_id)
    }
}

/// Those that are members first, then those that were; by client and host.
pub async fn members(
    scope: &Scope,
    db: &Db,
    problem: &str,
    after: Option<MemberKey>,
    limit: i64,
) -> sqlx::Result<Vec<MemberRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (has_left, client, host, finding_id) =
        after.map_or((None, None, None, None), |(a, b, c, d)| (Some(a), Some(b), Some(c), Some(d)));
    sqlx::query_as!(
        MemberRow,
        r#"
        select
          finding.finding_id,
          finding.title,
          finding.severity,
          finding.confidence,
          finding.client_id,
          client.name as client_name,
          host.site_id,
          site.name as site_name,
          finding.host_id,
          host.name as host_name,
          member.joined_at as "joined_at!",
          member.left_at
        from (
          select distinct on (client_id, finding_id) client_id, finding_id, joined_at, left_at
          from problem_member
          where client_id = any ($1)
            and problem = $2
          order by client_id, finding_id, joined_at desc
        ) as member
        join finding using (client_id, finding_id)
        join client using (client_id)
        join host using (client_id, host_id)
        join site using (client_id, site_id)
        where $3::bool is null
          or (member.left_at is not null, client.name, host.name, finding.finding_id) > ($3, $4, $5, $6)
        order by member.left_at is not null, client.name, host.name, finding.finding_id
        limit $7
        "#,
        &scope.0,
        problem,
        has_left,
        client,
        host,
        finding_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// A remedy that members share word by word.
#[derive(Clone, Debug)]
pub struct SharedRemedyRow {
    pub remedy: Value,
    pub hosts: i64,
    /// One of them.
    pub finding_id: Uuid,
}

/// Of the members now, the one of most hosts first, at most five.
pub async fn remedies(scope: &Scope, db: &Db, problem: &str) -> sqlx::Result<Vec<SharedRemedyRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        SharedRemedyRow,
        r#"
        select
          finding.remedy,
          count(distinct finding.host_id) as "hosts!",
          (array_agg(finding.finding_id order by finding.severity desc, finding.finding_id))[1] as "finding_id!"
        from problem_member
        join finding using (client_id, finding_id)
        where problem_member.client_id = any ($1)
          and problem_member.problem = $2
          and problem_member.left_at is null
        group by finding.remedy
        order by 2 desc, 3
        limit 5
        "#,
        &scope.0,
        problem,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// A host whose first finding joined or whose last one left.
#[derive(Clone, Debug)]
pub struct MembershipRow {
    pub at: DateTime<Utc>,
    pub has_joined: bool,
    pub client_id: i32,
    pub client_name: String,
    pub host_id: i64,
    pub host_name: String,
}

/// The newest hundred.
pub async fn timeline(scope: &Scope, db: &Db, problem: &str) -> sqlx::Result<Vec<MembershipRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        MembershipRow,
        r#"
        with step as (
          select
            client_id,
            host_id,
            finding_id,
            joined_at,
            left_at,
            coalesce(
              joined_at > max(coalesce(left_at, 'infinity')) over (
                partition by client_id, host_id
                order by joined_at, finding_id rows between unbounded preceding and 1 preceding
              ),
              true
            ) as begins
          from problem_member
          where client_id = any ($1)
            and problem = $2
        ), numbered as (
          select
            *,
            count(*) filter (where begins) over (partition by client_id, host_id order by joined_at, finding_id) as stay
          from step
        ), stay as (
          select
            client_id,
            host_id,
            min(joined_at) as joined_at,
            case when bool_and(left_at is not null) then max(left_at) end as left_at
          from numbered
          group by client_id, host_id, stay
        )
        select
          turn.at as "at!",
          turn.has_joined as "has_joined!",
          turn.client_id as "client_id!",
          client.name as client_name,
          turn.host_id as "host_id!",
          host.name as host_name
        from (
          select client_id, host_id, joined_at as at, true as has_joined
          from stay
          union all
          select client_id, host_id, left_at, false
          from stay
          where left_at is not null
        ) as turn
        join client using (client_id)
        join host using (client_id, host_id)
        order by turn.at desc, turn.has_joined desc, turn.host_id
        limit 100
        "#,
        &scope.0,
        problem,
    )
    .fetch_all(&mut *transaction)
    .await
}
