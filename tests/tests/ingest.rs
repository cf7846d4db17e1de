//! What an agent says arrives in the tables as it is; what it should not say is refused, kept for people and never in
//! the way of what comes next.

use anyhow::Result;
use prost::Message as _;
use proto::fleet::v1::{Gap, Outcome, Section, SectionReport};
use proto::wire::Report;
use rules::facts::{Facts, Section as Known};
use tests::raw_agent::{RawMessage, changes, full, hello};

use tests::reporting_host::{Host, blocked, case, mended, with_sockets};

#[tokio::test]
async fn a_full_report_and_changed_rows_arrive_as_they_are() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    assert_eq!(agent.welcome.committed_seq, 0);
    assert!(agent.welcome.send_full.is_empty(), "nothing was collected yet");
    assert_eq!(agent.report(&full(1, &blocked())).await?, Outcome::Applied);
    host.holds(&blocked()).await?;
    assert_eq!(agent.report(&changes(2, &blocked(), &mended())).await?, Outcome::Applied);
    host.holds(&mended()).await?;
    assert_eq!(agent.report(&full(3, &blocked())).await?, Outcome::Applied);
    host.holds(&blocked()).await?;
    let (name, os, build) = host.row().await?;
    assert_eq!((name.as_str(), os.as_str(), build.as_str()), ("SRV1", "server-2019", "10.0.17763"));
    Ok(())
}

#[tokio::test]
async fn a_finding_opens_resolves_and_returns_as_another_episode() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    assert_eq!(host.findings().await?, [("open".to_owned(), 1, None)]);
    agent.report(&changes(2, &blocked(), &mended())).await?;
    assert_eq!(host.findings().await?, [("resolved".to_owned(), 1, None)]);
    agent.report(&changes(3, &mended(), &blocked())).await?;
    assert_eq!(host.findings().await?, [("open".to_owned(), 2, None)]);
    assert_eq!(host.timeline().await?, ["opened 1", "resolved 1", "reopened 2"]);
    Ok(())
}

#[tokio::test]
async fn a_source_that_cannot_be_read_neither_opens_nor_resolves() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let unread = Facts { services: Known::Unknown("access denied".into()), ..blocked() };
    agent.report(&changes(2, &blocked(), &unread)).await?;
    let findings = host.findings().await?;
    assert!(matches!(&findings[..], [(state, 1, Some(_))] if state == "open"), "{findings:?}");
    assert_eq!(host.count("service_now").await?, 2, "what was known is still there");
    agent.report(&full(3, &mended())).await?;
    assert_eq!(host.findings().await?, [("resolved".to_owned(), 1, None)]);
    assert_eq!(host.timeline().await?, ["opened 1", "resolved 1"]);
    Ok(())
}

#[tokio::test]
async fn what_is_repeated_is_acknowledged_and_changes_nothing() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    agent.report(&changes(2, &blocked(), &mended())).await?;
    assert_eq!(agent.report(&full(1, &blocked())).await?, Outcome::Applied);
    host.holds(&mended()).await?;
    assert_eq!(host.cursor().await?, (2, 0));
    drop(agent);
    let again = host.connect(&hello(1)).await?;
    assert_eq!(again.welcome.committed_seq, 2);
    Ok(())
}

#[tokio::test]
async fn a_report_out_of_order_is_refused_and_the_right_one_applies() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    agent.say_report(&full(5, &mended())).await?;
    assert_eq!(agent.ended().await?, "report.out-of-order");
    host.holds(&blocked()).await?;
    let mut agent = host.connect(&hello(1)).await?;
    assert_eq!(agent.welcome.committed_seq, 1);
    agent.report(&full(2, &mended())).await?;
    host.holds(&mended()).await
}

#[tokio::test]
async fn a_gap_is_counted() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let gap = Some(Gap { from_seq: 2, to_seq: 6 });
    agent.report(&Report { gap, ..full(7, &mended()) }).await?;
    let gaps = host.number("select gaps from agent_stream").await?;
    assert_eq!(gaps, 5);
    host.holds(&mended()).await
}

#[tokio::test]
async fn changed_rows_that_do_not_fit_are_quarantined_until_the_section_comes_in_full() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    // Takes away a socket that was never there.
    let stranger = changes(2, &with_sockets(3), &with_sockets(2));
    assert_eq!(agent.report(&stranger).await?, Outcome::Quarantined);
    assert_eq!(agent.asked_for().await?, [Section::Sockets]);
    assert_eq!(host.quarantined().await?, ["report.misfit"]);
    assert_eq!(host.cursor().await?, (2, 1));
    assert!(host.unknown_reason("sockets").await?.is_some_and(|reason| reason.contains("report.misfit")));
    let findings = host.findings().await?;
    assert!(matches!(&findings[..], [(state, 1, Some(_))] if state == "open"), "{findings:?}");
    agent.report(&full(3, &blocked())).await?;
    host.holds(&blocked()).await?;
    assert_eq!(host.findings().await?, [("open".to_owned(), 1, None)]);
    Ok(())
}

#[tokio::test]
async fn a_report_of_another_section_s_rows_is_quarantined() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let mut part = proto::wire::to_report_parts(&full(1, &blocked()))?.remove(0);
    let sockets = part.sections.iter().position(|section| section.section() == Section::Sockets).expect("is there");
    part.sections[sockets].section = Section::Updates.into();
    part.sections = vec![part.sections.swap_remove(sockets)];
    agent.say_part(&part).await?;
    assert_eq!(agent.acknowledged(1).await?, Outcome::Quarantined);
    assert_eq!(agent.asked_for().await?, [Section::Updates]);
    assert_eq!(host.quarantined().await?, ["report.malformed"]);
    assert_eq!(host.count("socket_now").await?, 0);
    agent.report(&full(2, &blocked())).await?;
    host.holds(&blocked()).await
}

#[tokio::test]
async fn a_section_of_a_newer_agent_is_passed_over() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.say(RawMessage { unknown: Some(vec![1, 2, 3]), ..RawMessage::default() }).await?;
    let mut part = proto::wire::to_report_parts(&full(1, &blocked()))?.remove(0);
    part.sections.push(SectionReport { section: 77, ..SectionReport::default() });
    agent.say_part(&part).await?;
    assert_eq!(agent.acknowledged(1).await?, Outcome::Applied);
    host.holds(&blocked()).await
}

#[tokio::test]
async fn too_many_rows_are_quarantined() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let mut part = proto::wire::to_report_parts(&full(2, &blocked()))?.remove(0);
    let group =
        proto::fleet::v1::SocketGroup { port_steps: vec![0; 60_000], address: vec![0; 4], ..Default::default() };
    part.parts = 5;
    part.sections = vec![SectionReport {
        section: Section::Sockets.into(),
        digest: vec![1],
        body: Some(proto::fleet::v1::section_report::Body::Full(proto::fleet::v1::Rows {
            sockets: vec![group],
            ..Default::default()
        })),
    }];
    for number in 0..5 {
        part.part = number;
        agent.say_part(&part).await?;
    }
    assert_eq!(agent.acknowledged(2).await?, Outcome::Quarantined);
    assert!(agent.asked_for().await?.contains(&Section::Sockets));
    assert_eq!(host.quarantined().await?, ["report.too-many-rows"]);
    agent.report(&full(3, &mended())).await?;
    host.holds(&mended()).await
}

#[tokio::test]
async fn what_cannot_be_decoded_is_quarantined_and_does_not_come_between() -> Result<()> {
    for (bytes, code) in [(vec![0xff; 20], "report.malformed"), (vec![0; 300 * 1024], "report.too-large")] {
        let host = Host::new("SRV1").await?;
        let mut agent = host.connect(&hello(1)).await?;
        agent.report(&full(1, &blocked())).await?;
        agent.say(RawMessage { report: Some(bytes), ..RawMessage::default() }).await?;
        assert_eq!(agent.ended().await?, code);
        assert_eq!(host.quarantined().await?, [code]);
        assert_eq!(host.count("socket_now").await?, 1, "what is stored stays");
        // The agent still holds the report; the server is past it and wants everything anew.
        let digests = proto::wire::digests_to_wire(&full(1, &mended()).digests);
        let greeting = proto::fleet::v1::Hello { digests, pending_from: 2, pending_to: 2, ..hello(1) };
        let mut agent = host.connect(&greeting).await?;
        assert_eq!(agent.welcome.committed_seq, 2);
        assert_eq!(agent.welcome.send_full.len(), 7);
        agent.report(&full(3, &mended())).await?;
        host.holds(&mended()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_fails_loses_and_doubles_nothing() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    host.meddle("alter table service_now rename to away").await?;
    agent.say_report(&changes(2, &blocked(), &mended())).await?;
    assert_eq!(agent.ended().await?, "store.unavailable");
    host.meddle("alter table away rename to service_now").await?;
    host.holds(&blocked()).await?;
    let mut agent = host.connect(&hello(1)).await?;
    assert_eq!(agent.welcome.committed_seq, 1);
    agent.report(&changes(2, &blocked(), &mended())).await?;
    host.holds(&mended()).await?;
    assert_eq!(host.timeline().await?, ["opened 1", "resolved 1"]);
    Ok(())
}

#[tokio::test]
async fn what_the_database_refuses_does_not_come_again_for_ever() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    host.meddle("alter table socket_now add constraint refusal check (pid <> 900)").await?;
    assert_eq!(agent.report(&full(2, &mended())).await?, Outcome::Quarantined);
    assert_eq!(agent.asked_for().await?.len(), 7);
    assert_eq!(host.quarantined().await?, ["report.unstorable"]);
    host.meddle("alter table socket_now drop constraint refusal").await?;
    agent.report(&full(3, &mended())).await?;
    host.holds(&mended()).await
}

#[tokio::test]
async fn a_stream_that_begins_wrongly_is_refused() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let part = proto::wire::to_report_parts(&full(1, &blocked()))?.remove(0).encode_to_vec();
    let short = proto::fleet::v1::Hello { stream_id: vec![1; 3], ..hello(1) }.encode_to_vec();
    for (first, code) in [
        (RawMessage { report: Some(part), ..RawMessage::default() }, "stream.hello-missing"),
        (RawMessage { hello: Some(short), ..RawMessage::default() }, "stream.hello-malformed"),
        (RawMessage { hello: Some(vec![0xff; 9]), ..RawMessage::default() }, "report.malformed"),
    ] {
        assert_eq!(host.refusal(first).await?, code);
    }
    let agent = host.connect(&hello(1)).await?;
    agent.say(RawMessage { hello: Some(hello(1).encode_to_vec()), ..RawMessage::default() }).await?;
    assert_eq!(agent.ended().await?, "stream.hello-repeated");
    Ok(())
}

#[tokio::test]
async fn a_second_stream_of_an_agent_fences_the_first() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut first = host.connect(&hello(1)).await?;
    first.report(&full(1, &blocked())).await?;
    let mut second = host.connect(&hello(1)).await?;
    assert_eq!(second.welcome.committed_seq, 1);
    assert_eq!(first.ended().await?, "stream.fenced");
    second.report(&full(2, &mended())).await?;
    host.holds(&mended()).await?;
    assert_eq!(host.number("select count(*) from agent_stream where connected_at is not null").await?, 1);
    Ok(())
}

#[tokio::test]
async fn equal_digests_ask_for_nothing_and_a_differing_one_for_its_section() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let report = full(1, &blocked());
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&report).await?;
    drop(agent);
    let mut greeting = hello(1);
    greeting.digests = proto::wire::digests_to_wire(&report.digests);
    let agent = host.connect(&greeting).await?;
    assert!(agent.welcome.send_full.is_empty());
    drop(agent);
    greeting.digests[1].digest = vec![9];
    let mut agent = host.connect(&greeting).await?;
    assert_eq!(agent.welcome.send_full, [i32::from(Section::Sockets)]);
    let mut digests = report.digests.clone();
    digests.insert(Section::Services, vec![9]);
    agent.say_heartbeat(1, &digests).await?;
    assert_eq!(agent.asked_for().await?, [Section::Services]);
    Ok(())
}

#[tokio::test]
async fn revocation_cuts_a_live_stream() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    host.revoke().await?;
    assert_eq!(agent.ended().await?, "certificate.revoked");
    assert!(host.connect(&hello(1)).await.is_err());
    host.holds(&blocked()).await
}

#[tokio::test]
async fn a_host_whose_clock_is_wrong_is_set_right() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut greeting = hello(1);
    greeting.wall_clock_ms += 3_600_000;
    let mut agent = host.connect(&greeting).await?;
    agent.report(&full(1, &blocked())).await?;
    let skew = host.number("select clock_skew_ms from agent_stream").await?;
    assert!((3_590_000..3_610_000).contains(&skew), "{skew}");
    let late =
        "select count(*) from socket_now where bound_at between '2026-03-02T02:01:10Z' and '2026-03-02T02:01:30Z'";
    assert_eq!(host.number(late).await?, 1, "bound at 03:01:20 by a clock that is an hour ahead");
    // The same facts by a clock that was set right since: no socket is rewritten.
    let learned = "select count(distinct learned_at) from socket_now";
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(2, &blocked())).await?;
    assert_eq!((host.number(learned).await?, host.number(late).await?), (1, 1));
    Ok(())
}

#[tokio::test]
async fn one_client_never_sees_another_s_rows() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    for table in
        ["socket_now", "service_now", "host_section", "finding", "finding_event", "host_judgement", "agent_stream"]
    {
        assert!(host.count(table).await? > 0, "{table}");
        assert_eq!(host.count_as(host.stranger, table).await?, 0, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn five_thousand_sockets_arrive_and_then_only_what_changed() -> Result<()> {
    let host = Host::new("DC01").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let (all, more) = (full(1, &with_sockets(5_000)), changes(2, &with_sockets(5_000), &with_sockets(5_024)));
    let started = std::time::Instant::now();
    agent.report(&all).await?;
    println!("5,000 sockets in full, until acknowledged: {:?}", started.elapsed());
    assert_eq!(host.count("socket_now").await?, 5_000);
    let started = std::time::Instant::now();
    agent.report(&more).await?;
    println!("24 more, until acknowledged: {:?}", started.elapsed());
    assert_eq!(host.count("socket_now").await?, 5_024);
    Ok(())
}

#[tokio::test]
async fn hostile_names_are_stored_and_said_as_text() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let hostile = case("port-conflict-blocked/hostile-names");
    assert_eq!(agent.report(&full(1, &hostile)).await?, Outcome::Applied);
    host.holds(&hostile).await
}
