//! A catalog that changes reaches every host, also one that says nothing; what was tried on the fleet is what happens
//! then; and nothing counts that nobody trusted has signed.

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::catalog::bundle::{self, Bundle};
use portreeve_server::catalog::release::{self, Brought, Order, ReleaseFault};
use portreeve_server::catalog::signature::{PrivateKey, generate};
use portreeve_server::catalog::{entries, entries::EntryFault};
use portreeve_server::clock;
use portreeve_server::db::catalog::releases::ReleaseRow;
use portreeve_server::db::catalog::{TrustedKey, releases, trust_key};
use portreeve_server::db::{Db, Scope};
use portreeve_server::people::Role;
use portreeve_server::rulebook::{self, rejudge};
use rules::catalog::{Catalog, Kind};
use rules::facts::Facts;
use rules::finding::Severity;
use rules::overrides::{Decision, Override};
use serde_json::{Value, json};
use tests::http_door::{Answer, HttpDoor};
use tests::raw_agent::{full, hello};
use tests::reporting_host::{Host, blocked, case};
use uuid::Uuid;

const ENTRY: &str = "dotnet20sp2-exchange2007-autodiscover";

/// A host on which one bad update does harm.
fn harmed() -> Facts {
    case("bad-update-dotnet20sp2-exchange2007-autodiscover/installed-on-sp1")
}

/// The built-in entry that the host has a finding of, with some words replaced.
fn entry(changes: &[(&str, &str)]) -> String {
    let name = format!("bad-updates/{ENTRY}.toml");
    let text = Catalog::builtin_files().iter().find(|(file, _)| *file == name).map_or("", |(_, text)| text);
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the entry says {from}");
        text.replace(from, to)
    })
}

/// The same fault under an id of our own.
fn own_entry() -> String {
    entry(&[(ENTRY, "own-autodiscover")])
}

async fn settle(host: &Host, clock: fn() -> DateTime<Utc>) -> Result<usize> {
    rulebook::refresh(&host.doors.app).await?;
    rejudge::pass(&host.doors.app, &mut rejudge::Progress::default(), clock).await
}

/// `rule severity state` of each finding.
async fn findings(host: &Host) -> Result<Vec<String>> {
    host.texts("select rule || ' ' || severity || ' ' || state from finding order by rule").await
}

async fn quiet_host() -> Result<Host> {
    let host = Host::new("MAIL1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &harmed())).await?;
    assert_eq!(findings(&host).await?, [format!("bad-update/{ENTRY} 3 open")]);
    Ok(host)
}

#[tokio::test]
async fn a_host_that_says_nothing_is_judged_again() -> Result<()> {
    let host = quiet_host().await?;
    assert_eq!(settle(&host, clock::now).await?, 0, "it was judged by the catalog of now");
    let added = entries::add(host.db(), &own_entry(), "ada", clock::now()).await?;
    assert_eq!(added, (Kind::BadUpdate, "own-autodiscover".to_owned()));
    assert_eq!(settle(&host, clock::now).await?, 1);
    let both = [format!("bad-update/{ENTRY} 3 open"), "bad-update/own-autodiscover 3 open".to_owned()];
    assert_eq!(findings(&host).await?, both);
    assert_eq!(settle(&host, clock::now).await?, 0, "once is enough");

    assert!(entries::remove(host.db(), Kind::BadUpdate, "own-autodiscover", "ada").await?);
    assert_eq!(settle(&host, clock::now).await?, 1);
    assert_eq!(findings(&host).await?[1], "bad-update/own-autodiscover 3 resolved");
    Ok(())
}

#[tokio::test]
async fn a_live_stream_and_the_sweep_agree() -> Result<()> {
    let host = Host::new("MAIL1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &harmed())).await?;
    entries::add(host.db(), &own_entry(), "ada", clock::now()).await?;
    rulebook::refresh(&host.doors.app).await?;
    // Reports and passes in turn and at once; whoever comes first, each finding opens once.
    let mut progress = rejudge::Progress::default();
    for seq in 2..12 {
        let facts = if seq % 2 == 0 { blocked() } else { harmed() };
        let pass = rejudge::pass(&host.doors.app, &mut progress, clock::now);
        let report = full(seq, &facts);
        let (passed, reported) = tokio::join!(pass, agent.report(&report));
        passed?;
        reported?;
    }
    assert_eq!(settle(&host, clock::now).await?, 0);
    let open = host.texts("select rule from finding where state = 'open' order by rule").await?;
    assert_eq!(open, [format!("bad-update/{ENTRY}"), "bad-update/own-autodiscover".to_owned()]);
    let twice = host.number("select count(*) - count(distinct (finding_id, episode, transition)) from finding_event");
    assert_eq!(twice.await?, 0, "no transition is told twice");
    Ok(())
}

fn in_a_week() -> DateTime<Utc> {
    clock::now() + TimeDelta::days(7)
}

fn decided(entry: &str, decision: Decision) -> Override {
    let until = clock::now() + TimeDelta::days(6);
    Override { entry: entry.to_owned(), decision, reason: "Nobody uses it".to_owned(), by: "ada".to_owned(), until }
}

async fn decide(host: &Host, client_id: i32, decided: Override) -> Result<Uuid, EntryFault> {
    let catalog = host.doors.app.catalog();
    entries::decide(host.db(), &Scope::of(client_id), &catalog, decided, clock::now()).await
}

#[tokio::test]
async fn an_override_counts_for_its_client_until_it_ends() -> Result<()> {
    let host = quiet_host().await?;
    decide(&host, host.stranger, decided(ENTRY, Decision::NotApplicable)).await?;
    assert_eq!(settle(&host, clock::now).await?, 0, "it is another client's");

    decide(&host, host.site.client_id, decided(ENTRY, Decision::Severity(Severity::Info))).await?;
    assert_eq!(settle(&host, clock::now).await?, 1);
    assert_eq!(findings(&host).await?, [format!("bad-update/{ENTRY} 1 open")]);
    let evidence = host.texts("select evidence::text from finding").await?;
    assert!(evidence[0].contains("lowered from critical to info by ada"), "{evidence:?}");

    // A later one takes its place.
    decide(&host, host.site.client_id, decided(ENTRY, Decision::NotApplicable)).await?;
    assert_eq!(settle(&host, clock::now).await?, 1);
    assert_eq!(findings(&host).await?, [format!("bad-update/{ENTRY} 1 resolved")]);
    assert_eq!(settle(&host, in_a_week).await?, 1, "it has ended by then");
    assert_eq!(findings(&host).await?, [format!("bad-update/{ENTRY} 3 open")]);
    assert_eq!(host.count_as(host.stranger, "catalog_override").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_override_names_an_entry_a_reason_and_an_end() -> Result<()> {
    let host = Host::new("MAIL1").await?;
    let sound = decided(ENTRY, Decision::NotApplicable);
    let client = host.site.client_id;
    let unknown = decide(&host, client, decided("no-such-entry", Decision::NotApplicable)).await;
    assert!(matches!(unknown, Err(EntryFault::NoSuchEntry(_))));
    let silent = decide(&host, client, Override { reason: " ".to_owned(), ..sound.clone() }).await;
    assert!(matches!(silent, Err(EntryFault::NoReason)));
    for days in [-1, 400] {
        let until = clock::now() + TimeDelta::days(days);
        assert!(matches!(decide(&host, client, Override { until, ..sound.clone() }).await, Err(EntryFault::BadEnd)));
    }
    assert_eq!(host.count("catalog_override").await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_own_entry_is_read_before_it_is_kept() -> Result<()> {
    let host = Host::new("MAIL1").await?;
    let fault = entries::add(host.db(), &entry(&[("severity", "weight")]), "ada", clock::now()).await;
    let Err(EntryFault::Faulty(text)) = fault else { anyhow::bail!("{fault:?}") };
    assert!(text.starts_with("bad-updates/entry.toml:"), "{text}");
    let claim = "[[claim]]\nid = \"ID\"\nservices = [\"X\"]\nproduct = \"X\"\nports = [\"udp/7\"]\ngrounding = \"recalled\"\nsources = []\n";
    let two = format!("{}{}", claim.replace("ID", "one"), claim.replace("ID", "two"));
    assert!(matches!(entries::add(host.db(), &two, "ada", clock::now()).await, Err(EntryFault::NotOne(2))));
    assert!(entries::add(host.db(), &claim.replace("ID", "one"), "ada", clock::now()).await.is_ok());
    rulebook::refresh(&host.doors.app).await?;
    assert!(host.doors.app.catalog().claims_of("X", None).next().is_some());
    Ok(())
}

/// Somebody who publishes releases, and is trusted.
struct Publisher(PrivateKey);

impl Publisher {
    async fn trusted(db: &Db) -> Result<Self> {
        let key = PrivateKey::from_pem(&generate()?)?;
        let public = key.public()?;
        let trusted = TrustedKey {
            key_id: public.id(),
            name: "Publisher".to_owned(),
            public_key: public.as_bytes().to_vec(),
            trusted_at: clock::now(),
            trusted_by: "ada".to_owned(),
        };
        trust_key(&db.pool, &trusted).await?;
        Ok(Self(key))
    }

    /// (text, signature).
    fn release(&self, version: i64, texts: &[String]) -> Result<(String, String)> {
        let files = texts.iter().enumerate().map(|(at, text)| (format!("bad-updates/{at}.toml"), text.clone()));
        let text = bundle::write(&Bundle { version, title: "November".to_owned(), files: files.collect() })?;
        let signature = self.0.sign(text.as_bytes());
        Ok((text, signature))
    }
}

fn brought((text, signature): &(String, String), hold_above: i32) -> Brought<'_> {
    Brought { text, signature, hold_above, order: Order::Newer, by: "ada" }
}

async fn newest(db: &Db) -> Result<ReleaseRow> {
    releases::list(&db.pool).await?.into_iter().next().context("a release")
}

#[tokio::test]
async fn what_was_tried_on_the_fleet_is_what_happens() -> Result<()> {
    let host = quiet_host().await?;
    let publisher = Publisher::trusted(host.db()).await?;
    let milder = entry(&[("severity = \"critical\"", "severity = \"info\"")]);
    let first = publisher.release(1, &[own_entry(), milder])?;
    let id = release::import(host.db(), &brought(&first, 0), clock::now()).await?;
    release::finish(host.db(), clock::now).await?;
    let tried = newest(host.db()).await?;
    assert_eq!(tried.state, "held", "it opens more than nothing");
    assert_eq!((tried.hosts, tried.opens, tried.resolves, tried.changes), (Some(1), Some(1), Some(0), Some(1)));
    assert_eq!(settle(&host, clock::now).await?, 0, "it does not count yet");

    let (sums, listed) = releases::shadow(&Scope::of(host.site.client_id), host.db(), id, 10).await?;
    let said: Vec<_> = sums.iter().map(|sum| (sum.rule.as_str(), sum.transition.as_str(), sum.hosts)).collect();
    assert_eq!(said, [("bad-update/own-autodiscover", "opened", 1), (&format!("bad-update/{ENTRY}"), "changed", 1)]);
    assert_eq!(listed[0].host_name, host.row().await?.0);
    let (sums, listed) = releases::shadow(&Scope::of(host.stranger), host.db(), id, 10).await?;
    assert!(sums.is_empty() && listed.is_empty(), "another client's findings are nobody's business");

    assert!(release::approve(host.db(), id, "kim", clock::now()).await?);
    assert!(!release::approve(host.db(), id, "kim", clock::now()).await?, "it is not held any more");
    assert_eq!(settle(&host, clock::now).await?, 1);
    let after = [format!("bad-update/{ENTRY} 1 open"), "bad-update/own-autodiscover 3 open".to_owned()];
    assert_eq!(findings(&host).await?, after);

    // The next one takes both back. It opens nothing, and so nobody is asked.
    let second = publisher.release(2, &[])?;
    release::import(host.db(), &brought(&second, 0), clock::now()).await?;
    release::finish(host.db(), clock::now).await?;
    let tried = newest(host.db()).await?;
    assert_eq!((tried.state.as_str(), tried.opens, tried.resolves), ("in-force", Some(0), Some(1)));
    assert_eq!(settle(&host, clock::now).await?, 1);
    let after = [format!("bad-update/{ENTRY} 3 open"), "bad-update/own-autodiscover 3 resolved".to_owned()];
    assert_eq!(findings(&host).await?, after);
    Ok(())
}

#[tokio::test]
async fn what_nobody_trusted_has_signed_is_refused() -> Result<()> {
    let host = Host::new("MAIL1").await?;
    let publisher = Publisher::trusted(host.db()).await?;
    let stranger = Publisher(PrivateKey::from_pem(&generate()?)?);
    let signed = publisher.release(1, &[own_entry()])?;
    let altered = (signed.0.replace("own-autodiscover", "our-autodiscover"), signed.1.clone());
    let unsigned = (signed.0.clone(), String::new());
    for release in [stranger.release(1, &[own_entry()])?, altered, unsigned] {
        let refused = release::import(host.db(), &brought(&release, 50), clock::now()).await;
        assert!(matches!(refused, Err(ReleaseFault::BadSignature)), "{refused:?}");
    }
    let faulty = publisher.release(1, &[entry(&[("severity", "weight")])])?;
    let refused = release::import(host.db(), &brought(&faulty, 50), clock::now()).await;
    assert!(
        matches!(&refused, Err(ReleaseFault::Faulty(text)) if text.starts_with("bad-updates/0.toml:")),
        "{refused:?}"
    );
    assert!(releases::list(&host.db().pool).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_older_release_takes_no_place_unless_told_so() -> Result<()> {
    let host = Host::new("MAIL1").await?;
    let publisher = Publisher::trusted(host.db()).await?;
    let newer = publisher.release(7, &[])?;
    release::import(host.db(), &brought(&newer, 50), clock::now()).await?;
    let impatient = release::import(host.db(), &brought(&publisher.release(8, &[])?, 50), clock::now()).await;
    assert!(matches!(impatient, Err(ReleaseFault::OneWaits)), "{impatient:?}");
    release::finish(host.db(), clock::now).await?;
    for version in [7, 6] {
        let older = publisher.release(version, &[])?;
        let refused = release::import(host.db(), &brought(&older, 50), clock::now()).await;
        assert!(matches!(refused, Err(ReleaseFault::Older { in_force: 7, .. })), "{refused:?}");
    }
    let older = publisher.release(6, &[])?;
    let id = release::import(host.db(), &Brought { order: Order::Any, ..brought(&older, 50) }, clock::now()).await?;
    assert!(release::discard(host.db(), id, "kim", clock::now()).await?);
    release::finish(host.db(), clock::now).await?;
    assert_eq!(newest(host.db()).await?.state, "discarded");
    Ok(())
}

/// The door of the API, and the headers of an admin who may see everything.
async fn api(host: &Host) -> Result<(HttpDoor, String)> {
    let http = HttpDoor::open(&host.doors.app)?;
    let admin = http.token("ada", Role::Admin, None).await?;
    Ok((http, admin))
}

async fn post(http: &HttpDoor, admin: &str, path: &str, body: &Value) -> Result<Answer> {
    let headers = [("authorization", admin), ("content-type", "application/json")];
    http.send("POST", &format!("/api/v1/catalog/{path}"), &headers, &body.to_string()).await
}

#[tokio::test]
async fn the_api_changes_the_catalog_and_says_why_not() -> Result<()> {
    let host = quiet_host().await?;
    let (http, admin) = api(&host).await?;
    let added = post(&http, &admin, "own-entries", &json!({ "text": own_entry() })).await?;
    assert_eq!((added.status, added.json()), (201, json!({ "kind": "bad-update", "id": "own-autodiscover" })));
    rulebook::refresh(&host.doors.app).await?;
    let found = http.get("/api/v1/catalog/entries?q=kb948609%20own&kind=bad-update", &admin).await?.json();
    let found: Vec<_> = found["items"].as_array().into_iter().flatten().collect();
    assert_eq!((found.len(), &found[0]["origin"], &found[0]["kb"]), (1, &json!("own"), &json!("KB948609")));

    let until = clock::now() + TimeDelta::days(30);
    let client = host.site.client_id;
    let decided = json!({ "client": client, "entry": ENTRY, "severity": "info", "reason": "Known", "until": until });
    let made = post(&http, &admin, "overrides", &decided).await?;
    assert_eq!(made.status, 201, "{}", made.body);
    let listed = http.get("/api/v1/catalog/overrides", &admin).await?.json();
    assert_eq!((&listed[0]["decided_by"], &listed[0]["client"]["id"]), (&json!("ada"), &json!(client)));
    assert_eq!(settle(&host, clock::now).await?, 1);
    let id = made.json()["id"].as_str().map(str::to_owned).context("an id")?;
    let gone =
        http.send("DELETE", &format!("/api/v1/catalog/overrides/{id}"), &[("authorization", &admin)], "").await?;
    assert_eq!(gone.status, 204);

    let faulty = json!({ "text": entry(&[("severity", "weight")]) });
    let endless = json!({ "client": client, "entry": ENTRY, "reason": "Known", "until": until + TimeDelta::days(400) });
    let unsigned = json!({ "text": "x", "signature": "AAAA" });
    for (path, body, code) in [
        ("own-entries", faulty, "catalog.bad-entry"),
        ("overrides", endless, "catalog.bad-override"),
        ("releases", unsigned, "catalog.bad-signature"),
        (&format!("releases/{}/approval", Uuid::nil()), json!({}), "catalog.not-held"),
    ] {
        assert_eq!(post(&http, &admin, path, &body).await?.code().as_deref(), Some(code), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn who_may_see_some_clients_changes_nothing_for_all() -> Result<()> {
    let host = Host::new("MAIL1").await?;
    let http = HttpDoor::open(&host.doors.app)?;
    let client = host.site.client_id;
    let operator = http.token("olaf", Role::Operator, None).await?;
    let confined = http.token("kim", Role::Admin, Some(&[client])).await?;
    let text = json!({ "text": own_entry() });
    for who in [&operator, &confined] {
        let refused = post(&http, who, "own-entries", &text).await?;
        assert_eq!(refused.code().as_deref(), Some("access.role-too-low"));
    }
    let until = clock::now() + TimeDelta::days(30);
    let strangers = json!({ "client": host.stranger, "entry": ENTRY, "reason": "Known", "until": until });
    assert_eq!(post(&http, &confined, "overrides", &strangers).await?.code().as_deref(), Some("resource.not-found"));
    let everywhere = json!({ "entry": ENTRY, "reason": "Known", "until": until });
    assert_eq!(post(&http, &confined, "overrides", &everywhere).await?.status, 201);
    assert_eq!(host.count("catalog_override").await?, 1);
    assert_eq!(host.count_as(host.stranger, "catalog_override").await?, 0, "everywhere is what one may see");
    Ok(())
}
