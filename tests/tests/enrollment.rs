//! A token becomes an identity, an identity renews itself, a revoked one is out: at the real doors, over real TLS.

#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test that called it")]

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::TimeDelta;
use portreeve_server::{
    clock, coded,
    db::{self, Scope, identity::NewCertificate},
    identity::{
        authority::{read_request, serial_of},
        token::FreshToken,
    },
};
use proto::fleet::v1::{AgentMessage, EnrollRequest, RenewRequest};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use rustls::pki_types::CertificateDer;
use tests::doors::{Credentials, Doors, new_key, request_for};
use tokio::net::TcpStream;
use tonic::{Code, Status};

const HOUR: TimeDelta = TimeDelta::hours(1);

/// What the door for streams says: `Unimplemented` means that the agent was let in to a Fleet service that is not there.
async fn knock(doors: &Doors, credentials: &Credentials) -> Result<Status> {
    let mut client = doors.fleet_client(credentials).await?;
    let call = client.stream(tokio_stream::empty::<AgentMessage>()).await;
    match call {
        Ok(_) => bail!("the Fleet service is empty, and answered"),
        Err(status) => Ok(status),
    }
}

/// Whether the handshake lets one in. In TLS 1.3 the client learns of a refusal with its first read, so either the
/// connection or the first call fails.
async fn is_let_in(doors: &Doors, credentials: &Credentials) -> bool {
    knock(doors, credentials).await.is_ok_and(|status| status.code() == Code::Unimplemented)
}

fn code(status: &Status) -> &str {
    coded::code_of(status).unwrap_or_default()
}

fn renewal(credentials: &Credentials, request: Vec<u8>) -> RenewRequest {
    let random = SystemRandom::new();
    let der = credentials.key.serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &random).unwrap();
    let message = [b"portreeve renew v1\0".as_slice(), &request].concat();
    let signature = key.sign(&random, &message).unwrap().as_ref().to_vec();
    RenewRequest { certificate: credentials.chain[0].to_vec(), certificate_request: request, signature }
}

/// A host whose only certificate was issued `ago`.
async fn enrolled_long_ago(doors: &Doors, ago: TimeDelta) -> Result<(Credentials, i32, i64)> {
    let site = doors.site("Long ago").await?;
    let (key, then) = (new_key(), clock::now() - ago);
    let mut transaction = doors.app.db.begin(&Scope::default()).await?;
    let host_id = db::identity::insert_host(&mut transaction, site, "OLD", then).await?;
    let requested = read_request(&request_for(&key))?;
    let issued = doors.app.identity.authority.issue(&requested, site.client_id, host_id, then)?;
    let row = NewCertificate {
        serial: &issued.serial.0,
        client_id: site.client_id,
        host_id,
        public_key_hash: &issued.public_key_hash,
        expires_at: issued.expires_at,
    };
    db::identity::insert_certificate(&mut transaction, &row, then).await?;
    transaction.commit().await?;
    Ok((Credentials { key, chain: vec![issued.der] }, site.client_id, host_id))
}

#[tokio::test]
async fn a_token_admits_as_many_hosts_as_it_has_uses() -> Result<()> {
    let doors = Doors::open().await?;
    let site = doors.site("ACME").await?;
    let token = doors.token(site, 2, HOUR).await?;

    let first = doors.enroll(&token, "DC01").await?;
    let second = doors.enroll(&token, "<b>\u{0}X").await?;
    let third = doors.enroll(&token, "DC03").await.unwrap_err();
    assert_eq!((third.code(), code(&third)), (Code::PermissionDenied, "token.used-up"));

    for credentials in [&first, &second] {
        assert_eq!(credentials.chain.len(), 2);
        assert_eq!(&credentials.chain[1], doors.app.identity.authority.certificate());
        assert_eq!(knock(&doors, credentials).await?.code(), Code::Unimplemented);
    }
    let serial = serial_of(&first.chain[0]).unwrap();
    let host = db::identity::host_of_certificate(&doors.app.db, &serial.0).await?.unwrap();
    assert_eq!(host.client_id, site.client_id);
    let days = (host.expires_at - clock::now()).num_hours();
    assert!((30 * 24 - 1..=30 * 24).contains(&days), "{days} h");

    let mut transaction = doors.app.db.begin(&Scope::of(site.client_id)).await?;
    let names: Vec<String> =
        sqlx::query_scalar("select name from host order by host_id").fetch_all(&mut *transaction).await?;
    assert_eq!(names[0], "DC01");
    assert!(!names[1].contains('\0') && names[1].starts_with("<b>"), "{names:?}");
    assert_eq!(names.len(), 2, "a refused enrollment leaves no host");
    Ok(())
}

#[tokio::test]
async fn wrong_expired_and_revoked_tokens_are_told_apart_only_by_their_holder() -> Result<()> {
    let doors = Doors::open().await?;
    let site = doors.site("ACME").await?;
    let token = doors.token(site, 1, HOUR).await?;

    let strangers = [
        FreshToken { id: "nobody".to_owned(), secret: token.secret.clone() },
        FreshToken { id: token.id.clone(), secret: "guess".to_owned() },
        FreshToken { id: String::new(), secret: String::new() },
        FreshToken { id: "'; drop table host; --".to_owned(), secret: "\u{ffff}".to_owned() },
    ];
    for stranger in &strangers {
        let refused = doors.enroll(stranger, "DC01").await.unwrap_err();
        assert_eq!((refused.code(), code(&refused)), (Code::Unauthenticated, "token.unknown"));
    }

    let expired = doors.token(site, 1, -HOUR).await?;
    assert_eq!(code(&doors.enroll(&expired, "DC01").await.unwrap_err()), "token.expired");

    let revoked = doors.token(site, 1, HOUR).await?;
    sqlx::query("update enroll_token set revoked_at = now() where enroll_token_id = $1")
        .bind(&revoked.id)
        .execute(&doors.app.db.pool)
        .await?;
    assert_eq!(code(&doors.enroll(&revoked, "DC01").await.unwrap_err()), "token.revoked");

    // None of these cost a use.
    doors.enroll(&token, "DC01").await?;
    Ok(())
}

#[tokio::test]
async fn a_malformed_request_costs_no_use() -> Result<()> {
    let doors = Doors::open().await?;
    let token = doors.token(doors.site("ACME").await?, 1, HOUR).await?;
    let good = request_for(&new_key());
    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let cases = [
        (Vec::new(), "DC01".to_owned()),
        (vec![0x30; 9000], "DC01".to_owned()),
        (broken, "DC01".to_owned()),
        (good.clone(), " ".to_owned()),
        (good, "X".repeat(256)),
    ];
    for (certificate_request, host_name) in cases {
        let request = EnrollRequest {
            token_id: token.id.clone(),
            token_secret: token.secret.clone(),
            certificate_request,
            host_name,
        };
        let refused = doors.enroll_client().await.enroll(request).await.unwrap_err();
        assert_eq!((refused.code(), code(&refused)), (Code::InvalidArgument, "request.malformed"));
    }
    doors.enroll(&token, "DC01").await?;
    Ok(())
}

#[tokio::test]
async fn an_address_that_enrolls_too_fast_is_slowed_down() -> Result<()> {
    let doors = Doors::open().await?;
    let mut client = doors.enroll_client().await;
    for _ in 0..200 {
        let refused = client.enroll(EnrollRequest::default()).await.unwrap_err();
        if refused.code() == Code::ResourceExhausted {
            assert_eq!(code(&refused), "request.too-many");
            return Ok(());
        }
    }
    panic!("200 attempts at once were all heard");
}

#[tokio::test]
async fn a_certificate_renews_before_and_after_its_end_and_keeps_its_host() -> Result<()> {
    let doors = Doors::open().await?;
    let (expired, client_id, host_id) = enrolled_long_ago(&doors, TimeDelta::days(31 + 80)).await?;
    assert!(!is_let_in(&doors, &expired).await);

    let key = new_key();
    let renewed = doors.enroll_client().await.renew(renewal(&expired, request_for(&key))).await?.into_inner();
    let chain = renewed.certificate_chain.into_iter().map(CertificateDer::from).collect();
    let fresh = Credentials { key, chain };
    assert!(is_let_in(&doors, &fresh).await);
    let serial = serial_of(&fresh.chain[0]).unwrap();
    let host = db::identity::host_of_certificate(&doors.app.db, &serial.0).await?.unwrap();
    assert_eq!((host.client_id, host.host_id), (client_id, host_id));

    // Long before its end, too.
    doors.enroll_client().await.renew(renewal(&fresh, request_for(&new_key()))).await?;
    Ok(())
}

#[tokio::test]
async fn renewal_is_refused_to_whoever_is_not_the_living_holder() -> Result<()> {
    let doors = Doors::open().await?;
    let elsewhere = Doors::open().await?;
    let token = doors.token(doors.site("ACME").await?, 1, HOUR).await?;
    let ours = doors.enroll(&token, "DC01").await?;
    let mut client = doors.enroll_client().await;

    let mut stolen = renewal(&ours, request_for(&new_key()));
    stolen.certificate_request = request_for(&new_key());
    assert_eq!(code(&client.renew(stolen).await.unwrap_err()), "certificate.not-yours");

    let (foreign, ..) = enrolled_long_ago(&elsewhere, TimeDelta::days(1)).await?;
    let refused = client.renew(renewal(&foreign, request_for(&new_key()))).await.unwrap_err();
    assert_eq!((refused.code(), code(&refused)), (Code::Unauthenticated, "certificate.unknown"));

    let (ancient, ..) = enrolled_long_ago(&doors, TimeDelta::days(30 + 91)).await?;
    assert_eq!(
        code(&client.renew(renewal(&ancient, request_for(&new_key()))).await.unwrap_err()),
        "certificate.too-old"
    );

    let mut garbage = renewal(&ours, request_for(&new_key()));
    garbage.certificate.truncate(100);
    assert_eq!(code(&client.renew(garbage).await.unwrap_err()), "request.malformed");
    Ok(())
}

#[tokio::test]
async fn the_door_for_streams_opens_to_certificates_of_this_authority_only() -> Result<()> {
    let doors = Doors::open().await?;
    let elsewhere = Doors::open().await?;
    let token = elsewhere.token(elsewhere.site("Other MSP").await?, 1, HOUR).await?;
    let foreign = elsewhere.enroll(&token, "DC01").await?;

    let anonymous = async {
        let mut client = doors.anonymous_fleet_client().await.map_err(|error| format!("{error:#}"))?;
        client.stream(tokio_stream::empty::<AgentMessage>()).await.map(drop).map_err(|status| format!("{status:?}"))
    };
    let refusal = anonymous.await.unwrap_err();
    assert!(!refusal.contains("Unimplemented"), "{refusal}");

    assert!(!is_let_in(&doors, &foreign).await);
    assert!(is_let_in(&elsewhere, &foreign).await);
    Ok(())
}

#[tokio::test]
async fn connections_that_say_nothing_keep_no_agent_waiting() -> Result<()> {
    let doors = Doors::open().await?;
    let token = doors.token(doors.site("ACME").await?, 1, HOUR).await?;
    let credentials = doors.enroll(&token, "DC01").await?;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(doors.agents).await?);
    }
    let heard = tokio::time::timeout(Duration::from_secs(5), knock(&doors, &credentials)).await??;
    assert_eq!(heard.code(), Code::Unimplemented);
    drop(silent);
    Ok(())
}

#[tokio::test]
async fn a_revocation_made_elsewhere_counts_here_within_five_seconds() -> Result<()> {
    let doors = Doors::open().await?;
    let token = doors.token(doors.site("ACME").await?, 1, HOUR).await?;
    let credentials = doors.enroll(&token, "DC01").await?;
    let serial = serial_of(&credentials.chain[0]).unwrap();
    assert_eq!(knock(&doors, &credentials).await?.code(), Code::Unimplemented);

    let host = db::identity::host_of_certificate(&doors.app.db, &serial.0).await?.unwrap();
    // As another process does: only the row tells.
    let everything = doors.app.db.everything().await?;
    let revoked = db::identity::revoke_host(&doors.app.db, &everything, host.host_id, clock::now()).await?;
    assert_eq!(revoked, Some(1));
    tokio::time::timeout(Duration::from_secs(5), doors.app.identity.revocations.revoked(&serial)).await?;

    let refused = knock(&doors, &credentials).await?;
    assert_eq!((refused.code(), code(&refused)), (Code::PermissionDenied, "certificate.revoked"));
    let renewal = doors.enroll_client().await.renew(renewal(&credentials, request_for(&new_key()))).await;
    assert_eq!(code(&renewal.unwrap_err()), "certificate.revoked");

    let scope = Scope::of(host.client_id + 1);
    assert_eq!(db::identity::revoke_host(&doors.app.db, &scope, host.host_id, clock::now()).await?, None);
    Ok(())
}
