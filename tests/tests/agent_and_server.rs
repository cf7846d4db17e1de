//! The agent's own code at the server's real doors: it enrolls, reports, renews, and falls silent when it is told to.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_agent::collect::replay::{AfterLast, Frame, play};
use portreeve_agent::enroll::enroll;
use portreeve_agent::identity::{Identity, Server};
use portreeve_agent::proxy::ProxyChoice;
use portreeve_agent::run::{Agent, Stopped, run};
use portreeve_agent::spool::Limits;
use portreeve_agent::stream::Pacing;
use portreeve_server::{
    clock,
    db::{self, Scope, identity::NewCertificate},
    identity::authority::read_request,
};
use rules::facts::Facts;
use tests::connect_proxy::{Asked, ConnectProxy};
use tests::doors::{new_key, request_for};
use tests::reporting_host::{Host, blocked, mended};
use tests::server::eventually;

/// Far beyond what any of this takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// An agent with its state folder; `host` looks at it from the server's side.
struct Reporter {
    host: Host,
    state: tempfile::TempDir,
}

impl Reporter {
    /// Enrolled with a token, as an operator would do it.
    async fn enrolled() -> Result<Self> {
        let mut host = Host::new("SOMEBODY").await?;
        let token = host.doors.token(host.site, 1, TimeDelta::hours(1)).await?;
        let token = token.text(host.doors.app.identity.authority.pin()).parse()?;
        let identity = enroll(&server(&host), &token, "AGENT").await?;
        host.host_id = host.number("select host_id from host where name = 'AGENT'").await?;
        let state = tempfile::tempdir()?;
        identity.save(state.path())?;
        Ok(Self { host, state })
    }

    /// With a certificate that was issued so long ago.
    async fn enrolled_before(ago: TimeDelta) -> Result<Self> {
        let mut host = Host::new("SOMEBODY").await?;
        let (key, then) = (new_key(), clock::now() - ago);
        let mut transaction = host.db().begin(&Scope::default()).await?;
        host.host_id = db::identity::insert_host(&mut transaction, host.site, "AGENT", then).await?;
        let authority = &host.doors.app.identity.authority;
        let requested = read_request(&request_for(&key))?;
        let issued = authority.issue(&requested, host.site.client_id, host.host_id, then)?;
        let row = NewCertificate {
            serial: &issued.serial.0,
            client_id: host.site.client_id,
            host_id: host.host_id,
            public_key_hash: &issued.public_key_hash,
            expires_at: issued.expires_at,
        };
        db::identity::insert_certificate(&mut transaction, &row, then).await?;
        transaction.commit().await?;
        let chain = vec![issued.der.to_vec(), authority.certificate().to_vec()];
        let state = tempfile::tempdir()?;
        Identity::new(server(&host), key.serialize_der(), chain)?.save(state.path())?;
        Ok(Self { host, state })
    }

    fn identity(&self) -> Result<Identity> {
        Identity::load(self.state.path())?.context("the agent is enrolled")
    }

    /// Until everything is acknowledged, or the agent is told to stop.
    async fn report(&self, facts: Vec<Facts>, after_last: AfterLast, clock: fn() -> DateTime<Utc>) -> Result<()> {
        let frames = facts.into_iter().map(|facts| Frame { after: Duration::ZERO, facts }).collect();
        let pacing = Pacing { base: Duration::from_millis(20), ..Pacing::default() };
        let agent = Agent {
            identity: self.identity()?,
            state_dir: self.state.path().to_owned(),
            fingerprint: Vec::new(),
            pacing,
            spool: Limits::default(),
            clock,
        };
        let reporting = run(agent, play(frames, 1.0, after_last), std::future::pending());
        Ok(tokio::time::timeout(PATIENCE, reporting).await??)
    }

    async fn certificates(&self) -> Result<i64> {
        let sql = format!("select count(*) from agent_certificate where host_id = {}", self.host.host_id);
        self.host.number(&sql).await
    }
}

fn server(host: &Host) -> Server {
    Server {
        host: "127.0.0.1".to_owned(),
        enroll_port: host.doors.enroll.port(),
        agents_port: host.doors.agents.port(),
        proxy: ProxyChoice::Direct,
    }
}

fn by_the_present_clock(facts: Facts) -> Facts {
    Facts { collected_at: None, ..facts }
}

#[tokio::test]
async fn what_an_agent_sees_is_what_the_tables_say() -> Result<()> {
    let reporter = Reporter::enrolled().await?;
    let (before, after) = (by_the_present_clock(blocked()), by_the_present_clock(mended()));
    reporter.report(vec![before], AfterLast::Leave, portreeve_agent::clock::now).await?;
    assert_eq!(reporter.host.findings().await?.len(), 1);
    reporter.report(vec![after.clone()], AfterLast::Leave, portreeve_agent::clock::now).await?;
    reporter.host.holds(&proto::wire::canonical(&after)).await?;
    assert_eq!(reporter.certificates().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_renewed_and_the_host_stays_itself() -> Result<()> {
    let reporter = Reporter::enrolled_before(TimeDelta::days(40)).await?;
    let before = reporter.identity()?;
    reporter.report(vec![blocked()], AfterLast::Leave, portreeve_agent::clock::now).await?;
    assert_eq!(reporter.certificates().await?, 2);
    let after = reporter.identity()?;
    assert!(after.valid().until > before.valid().until && after.key() != before.key());
    assert_eq!(reporter.host.findings().await?.len(), 1);
    Ok(())
}

/// A dead battery on the board begins in 2000; a wrong one may be anywhere.
#[tokio::test]
async fn a_clock_that_is_wrong_by_decades_locks_nobody_out_and_costs_no_renewal() -> Result<()> {
    let reporter = Reporter::enrolled().await?;
    let in_2000 = || portreeve_agent::clock::now() - TimeDelta::days(26 * 365);
    let in_2080 = || portreeve_agent::clock::now() + TimeDelta::days(54 * 365);
    reporter.report(vec![blocked()], AfterLast::Leave, in_2000).await?;
    assert_eq!(reporter.host.findings().await?.len(), 1);
    reporter.report(vec![mended()], AfterLast::Leave, in_2080).await?;
    assert_eq!(reporter.host.timeline().await?, ["opened 1", "resolved 1"]);
    assert_eq!(reporter.certificates().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_host_that_believes_to_live_in_2000_renews_when_the_server_says_so() -> Result<()> {
    let reporter = Reporter::enrolled_before(TimeDelta::days(16)).await?;
    let before = reporter.identity()?;
    let in_2000 = || portreeve_agent::clock::now() - TimeDelta::days(26 * 365);
    let reporting = reporter.report(vec![blocked()], AfterLast::Stay, in_2000);
    let renewed = eventually("the certificate is renewed and stored", PATIENCE, async || {
        let is_renewed = reporter.identity()?.certificate() != before.certificate();
        Ok((is_renewed && !reporter.host.findings().await?.is_empty()).then_some(()))
    });
    tokio::select! {
        ended = reporting => anyhow::bail!("the agent ended: {ended:?}"),
        renewed = renewed => renewed?,
    }
    assert_eq!(reporter.certificates().await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_ended_too_long_ago_ends_the_agent() -> Result<()> {
    let reporter = Reporter::enrolled_before(TimeDelta::days(121)).await?;
    let stopped = reporter.report(vec![blocked()], AfterLast::Leave, portreeve_agent::clock::now).await;
    let stopped = stopped.expect_err("nothing is renewed after 90 days").downcast::<Stopped>()?;
    assert!(matches!(stopped, Stopped::NotRenewed(_)), "{stopped}");
    assert_eq!(reporter.host.findings().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_revoked_agent_stops() -> Result<()> {
    let reporter = Reporter::enrolled().await?;
    let reporting = reporter.report(vec![blocked()], AfterLast::Stay, portreeve_agent::clock::now);
    let revoking = async {
        let is_reported = async {
            while reporter.host.findings().await?.is_empty() {
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, is_reported).await??;
        reporter.host.revoke().await
    };
    let (stopped, revoked) = tokio::join!(reporting, revoking);
    revoked?;
    let stopped = stopped.expect_err("the agent was revoked").downcast::<Stopped>()?;
    assert!(matches!(stopped, Stopped::Revoked), "{stopped}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_was_revoked_while_away_stops() -> Result<()> {
    let reporter = Reporter::enrolled().await?;
    reporter.report(vec![blocked()], AfterLast::Leave, portreeve_agent::clock::now).await?;
    reporter.host.revoke().await?;
    let stopped = reporter.report(vec![blocked()], AfterLast::Stay, portreeve_agent::clock::now).await;
    let stopped = stopped.expect_err("the agent was revoked").downcast::<Stopped>()?;
    assert!(matches!(stopped, Stopped::Revoked), "{stopped}");
    Ok(())
}

#[tokio::test]
async fn everything_goes_through_the_proxy_that_was_named_and_is_named_again_by_the_identity() -> Result<()> {
    let host = Host::new("SOMEBODY").await?;
    let proxy = ConnectProxy::start(None).await?;
    let server = Server { proxy: proxy.url("kim:s3cret@").parse()?, ..server(&host) };
    let token = host.doors.token(host.site, 1, TimeDelta::hours(1)).await?;
    let token = token.text(host.doors.app.identity.authority.pin()).parse()?;
    let state = tempfile::tempdir()?;
    enroll(&server, &token, "AGENT").await?.save(state.path())?;
    let reporter = Reporter { host, state };
    assert_eq!(reporter.identity()?.server, server);
    reporter.report(vec![blocked()], AfterLast::Leave, portreeve_agent::clock::now).await?;
    let asked = |port| Asked {
        destination: format!("127.0.0.1:{port}"),
        credentials: Some("Basic a2ltOnMzY3JldA==".to_owned()),
    };
    assert_eq!(proxy.asked(), [asked(server.enroll_port), asked(server.agents_port)]);
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_its_password_is_not() -> Result<()> {
    let host = Host::new("SOMEBODY").await?;
    let token = host.doors.token(host.site, 1, TimeDelta::hours(1)).await?;
    let token = token.text(host.doors.app.identity.authority.pin()).parse()?;
    for (refusal, expected) in
        [("407 Proxy Authentication Required", "proxy authorization required"), ("502 Bad Gateway", "unsuccessful")]
    {
        let proxy = ConnectProxy::start(Some(refusal)).await?;
        let server = Server { proxy: proxy.url("kim:s3cret@").parse()?, ..server(&host) };
        let fault = enroll(&server, &token, "AGENT").await.expect_err("the proxy refuses").to_string();
        assert!(fault.contains(expected) && !fault.contains("s3cret"), "{fault}");
        assert!(!format!("{server:?}").contains("s3cret"));
        assert_eq!(proxy.asked().len(), 1);
    }
    Ok(())
}
