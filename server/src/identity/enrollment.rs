//! The Enroll service: a token becomes an identity, an identity renews itself.
//!
//! Invariants: a use of a token, the host and its certificate commit together or not at all; a revoked identity never
//! renews; refusals are coded and never say which part of a token was wrong.

use std::{net::IpAddr, num::NonZeroU32, sync::Arc};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use proto::fleet::v1::{EnrollRequest, Identity as IdentityMessage, RenewRequest, enroll_server::Enroll};
use rules::text::Text;
use tonic::{Code, Request, Response, Status};
use tracing::{error, info};

use crate::{
    app::App,
    clock, coded,
    db::{
        Scope,
        identity::{self as rows, NewCertificate, TokenRefusal},
    },
    identity::{
        authority::{BadRequest, IssuedCertificate, RENEWABLE_AFTER_END, RequestedKey, read_request},
        token::secret_hash,
    },
    listeners::PeerAddress,
};

/// Of all agents together, per second.
const OVERALL: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Addresses that are remembered before idle ones are forgotten.
const REMEMBERED_ADDRESSES: usize = 10_000;

/// Serves the enrollment listener.
#[derive(Debug)]
pub struct Enrollment {
    app: Arc<App>,
    overall: DefaultDirectRateLimiter,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
}

impl Enrollment {
    pub fn new(app: Arc<App>) -> Self {
        let by_address = Quota::per_second(NonZeroU32::MIN).allow_burst(app.config.enroll_burst);
        Self {
            app,
            overall: RateLimiter::direct(Quota::per_second(OVERALL)),
            by_address: RateLimiter::keyed(by_address),
        }
    }

    fn admit_overall(&self) -> Result<(), Status> {
        self.overall.check().map_err(|_| too_many())
    }

    fn admit_address(&self, address: Option<&PeerAddress>) -> Result<(), Status> {
        let Some(PeerAddress(address)) = address else { return Ok(()) };
        if self.by_address.len() > REMEMBERED_ADDRESSES {
            self.by_address.retain_recent();
        }
        self.by_address.check_key(&address.ip().to_canonical()).map_err(|_| too_many())
    }

    fn sign(
        &self,
        key: &RequestedKey,
        client_id: i32,
        host_id: i64,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<IssuedCertificate, Status> {
        self.app.identity.authority.issue(key, client_id, host_id, now).map_err(|cause| {
            error!(error = format!("{cause:#}"), "Cannot sign a certificate");
            coded::status(Code::Internal, "server.failed", "the server cannot sign certificates; see its log")
        })
    }

    fn answer(&self, certificate: &IssuedCertificate) -> Response<IdentityMessage> {
        let chain = [&certificate.der, self.app.identity.authority.certificate()];
        Response::new(IdentityMessage { certificate_chain: chain.map(|der| der.to_vec()).into() })
    }
}

#[tonic::async_trait]
impl Enroll for Enrollment {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<IdentityMessage>, Status> {
        // The address first: one that asks too often must not use up what is for all.
        self.admit_address(request.extensions().get())?;
        self.admit_overall()?;
        let request = request.into_inner();
        let key = read_request(&request.certificate_request).map_err(malformed)?;
        let name = display_name(&request.host_name)?;
        let now = clock::now();

        let database = |cause: sqlx::Error| coded::unavailable(&cause);
        let mut transaction = self.app.db.begin(&Scope::default()).await.map_err(database)?;
        let hash = secret_hash(&request.token_secret);
        let site = rows::use_enroll_token(&mut transaction, &request.token_id, &hash, now)
            .await
            .map_err(database)?
            .map_err(token_refused)?;
        let host_id = rows::insert_host(&mut transaction, site, name.as_str(), now).await.map_err(database)?;
        let certificate = self.sign(&key, site.client_id, host_id, now)?;
        let row = new_certificate(&certificate, site.client_id, host_id);
        rows::insert_certificate(&mut transaction, &row, now).await.map_err(database)?;
        transaction.commit().await.map_err(database)?;

        info!(
            client.id = site.client_id,
            host.id = host_id,
            token.id = request.token_id,
            "Enrolled {name}",
            name = name.as_str()
        );
        Ok(self.answer(&certificate))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<IdentityMessage>, Status> {
        let request = request.into_inner();
        let key = read_request(&request.certificate_request).map_err(malformed)?;
        let proven = self
            .app
            .identity
            .authority
            .verify_renewal(&request.certificate, &request.certificate_request, &request.signature)
            .map_err(malformed)?;
        // Only after the proof, so that strangers cannot keep hosts from renewing.
        self.admit_overall()?;
        let now = clock::now();

        let database = |cause: sqlx::Error| coded::unavailable(&cause);
        let mut transaction = self.app.db.begin(&Scope::default()).await.map_err(database)?;
        let present = rows::lock_for_renewal(&mut transaction, &proven.serial.0)
            .await
            .map_err(database)?
            .filter(|present| present.public_key_hash == proven.public_key_hash)
            .ok_or_else(|| {
                // Ours by signature, and yet no row: the database was restored from before it was issued.
                coded::status(Code::Unauthenticated, "certificate.unknown", "this certificate is not on record here")
            })?;
        if present.is_revoked {
            let text = "this host's identity was revoked; enroll it again";
            return Err(coded::status(Code::PermissionDenied, "certificate.revoked", text));
        }
        if now > present.expires_at + RENEWABLE_AFTER_END {
            let text = "this certificate ended more than 90 days ago; enroll the host again";
            return Err(coded::status(Code::PermissionDenied, "certificate.too-old", text));
        }
        let certificate = self.sign(&key, present.client_id, present.host_id, now)?;
        let row = new_certificate(&certificate, present.client_id, present.host_id);
        rows::insert_certificate(&mut transaction, &row, now).await.map_err(database)?;
        transaction.commit().await.map_err(database)?;

        info!(client.id = present.client_id, host.id = present.host_id, "Renewed a host's certificate");
        Ok(self.answer(&certificate))
    }
}

fn new_certificate(certificate: &IssuedCertificate, client_id: i32, host_id: i64) -> NewCertificate<'_> {
    NewCertificate {
        serial: &certificate.serial.0,
        client_id,
        host_id,
        public_key_hash: &certificate.public_key_hash,
        expires_at: certificate.expires_at,
    }
}

/// Cleaned, and never empty: it stands in lists until the first report.
fn display_name(raw: &str) -> Result<Text, Status> {
    if raw.len() > 255 || raw.trim().is_empty() {
        let text = "host_name must have 1 to 255 bytes";
        return Err(coded::status(Code::InvalidArgument, "request.malformed", text));
    }
    Ok(Text::new(raw))
}

fn malformed(bad: BadRequest) -> Status {
    match bad {
        BadRequest::Foreign => coded::status(Code::Unauthenticated, "certificate.unknown", bad.to_string()),
        BadRequest::Signature => coded::status(Code::Unauthenticated, "certificate.not-yours", bad.to_string()),
        BadRequest::Request | BadRequest::Certificate => {
            coded::status(Code::InvalidArgument, "request.malformed", bad.to_string())
        }
    }
}

fn token_refused(refusal: TokenRefusal) -> Status {
    let (kind, code, text) = match refusal {
        TokenRefusal::Unknown => (Code::Unauthenticated, "token.unknown", "this enrollment token is not known here"),
        TokenRefusal::Revoked => (Code::PermissionDenied, "token.revoked", "this enrollment token was revoked"),
        TokenRefusal::Expired => (Code::PermissionDenied, "token.expired", "this enrollment token has expired"),
        TokenRefusal::UsedUp => (Code::PermissionDenied, "token.used-up", "this enrollment token has no uses left"),
    };
    coded::status(kind, code, text)
}

fn too_many() -> Status {
    coded::status(Code::ResourceExhausted, "request.too-many", "too many requests; try again later")
}
