//! Getting an identity with a token, and keeping it: renewal with the present key, before and after the end of the
//! certificate.
//!
//! Invariant: nothing is said to a server that has not shown the authority with the pin.

use anyhow::Context as _;
use proto::fleet::v1::enroll_client::EnrollClient;
use proto::fleet::v1::{EnrollRequest, RenewRequest};
use rcgen::{CertificateParams, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::ClientConfig;
use tonic::Status;
use tonic::transport::Channel;

use crate::identity::{Identity, Server, pin_of};
use crate::tls::{self, Listener};
use crate::token::Token;
use crate::transport;

/// What a renewal signs before the request; see enroll.proto.
const RENEWAL_CONTEXT: &[u8] = b"portreeve renew v1\0";

#[derive(Debug, thiserror::Error)]
pub enum EnrollFault {
    /// The server said no: trying again does not help.
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    /// Another time it may work.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

/// Burns one use of `token` and returns what to keep. `host_name` is shown until the first report names the host.
pub async fn enroll(server: &Server, token: &Token, host_name: &str) -> Result<Identity, EnrollFault> {
    let (key, certificate_request) = fresh_key().map_err(EnrollFault::Failed)?;
    let config = tls::pinned(token.pin).map_err(|error| EnrollFault::Failed(error.into()))?;
    let request = EnrollRequest {
        token_id: token.id.clone(),
        token_secret: token.secret.clone(),
        certificate_request,
        host_name: host_name.to_owned(),
    };
    let answer = client(server, config).await?.enroll(request).await.map_err(|status| fault(&status))?;
    let chain = answer.into_inner().certificate_chain;
    let identity = Identity::new(server.clone(), key, chain).map_err(EnrollFault::Failed)?;
    if pin_of(identity.authority()) != Some(token.pin) {
        let text = "the server answered with an authority that is not the one in the token";
        return Err(EnrollFault::Failed(anyhow::anyhow!(text)));
    }
    Ok(identity)
}

/// A new key and certificate for the holder of `present`, whose certificate may have ended.
pub async fn renew(present: &Identity) -> Result<Identity, EnrollFault> {
    let (key, certificate_request) = fresh_key().map_err(EnrollFault::Failed)?;
    let signature = sign_renewal(present, &certificate_request).map_err(EnrollFault::Failed)?;
    let config = tls::anonymous(present).map_err(|error| EnrollFault::Failed(error.into()))?;
    let request = RenewRequest { certificate: present.certificate().to_vec(), certificate_request, signature };
    let answer = client(&present.server, config).await?.renew(request).await.map_err(|status| fault(&status))?;
    let chain = answer.into_inner().certificate_chain;
    let identity = Identity::new(present.server.clone(), key, chain).map_err(EnrollFault::Failed)?;
    if identity.authority() != present.authority() {
        let text = "the server answered with an authority that is not the one this agent knows";
        return Err(EnrollFault::Failed(anyhow::anyhow!(text)));
    }
    Ok(identity)
}

async fn client(server: &Server, config: ClientConfig) -> Result<EnrollClient<Channel>, EnrollFault> {
    let (channel, _) = transport::open(server, Listener::Enroll, config).await.map_err(EnrollFault::Failed)?;
    Ok(EnrollClient::new(channel))
}

/// PKCS#8 and PKCS#10, DER. The server takes nothing but the key of the request.
fn fresh_key() -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?;
    Ok((key.serialize_der(), request.der().to_vec()))
}

fn sign_renewal(present: &Identity, certificate_request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, present.key(), &random)
        .ok()
        .context("the agent's key is damaged: enroll this agent again")?;
    let signed = key.sign(&random, &[RENEWAL_CONTEXT, certificate_request].concat()).ok();
    Ok(signed.context("signing with the agent's key failed")?.as_ref().to_vec())
}

/// Only the number of a status decides; its code and text are for people.
fn fault(status: &Status) -> EnrollFault {
    let code = transport::code_of(status);
    let message = status.message().to_owned();
    match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied | tonic::Code::InvalidArgument => {
            EnrollFault::Refused { code, message }
        }
        _ => EnrollFault::Failed(transport::describe(status)),
    }
}
