//! What stands between a stranger and the passwords: limits on attempts, and a bound on what checking them costs.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::listeners::PeerAddress;
use crate::people;

/// Attempts of one address: 20 at once, then one every 3 seconds.
const PER_ADDRESS: (u32, u32) = (20, 20);
/// Attempts on one name from wherever: wide enough that a stranger who uses it up locks nobody out for long.
const PER_NAME: (u32, u32) = (30, 60);
/// Keys after which those that are full again are forgotten.
const MANY_KEYS: usize = 10_000;

/// Shared by all sign-ins of this process.
pub struct SignIn {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    /// By the SHA-256 of the name: names of any length take the same space.
    by_name: DefaultKeyedRateLimiter<[u8; 32]>,
    /// Each check takes 19 MiB.
    checks: Semaphore,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SignIn").finish_non_exhaustive()
    }
}

impl Default for SignIn {
    fn default() -> Self {
        Self {
            by_address: RateLimiter::keyed(quota(PER_ADDRESS)),
            by_name: RateLimiter::keyed(quota(PER_NAME)),
            checks: Semaphore::new(2),
        }
    }
}

fn quota((burst, per_minute): (u32, u32)) -> Quota {
    let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_minute(at_least_one(per_minute)).allow_burst(at_least_one(burst))
}

impl SignIn {
    /// Counts an attempt, and refuses it when there were too many.
    pub fn admit(&self, name: &str, address: IpAddr) -> Result<(), Problem> {
        if self.by_address.len() > MANY_KEYS {
            self.by_address.retain_recent();
        }
        if self.by_name.len() > MANY_KEYS {
            self.by_name.retain_recent();
        }
        let name: [u8; 32] = Sha256::digest(name).into();
        if self.by_address.check_key(&address).is_ok() && self.by_name.check_key(&name).is_ok() {
            return Ok(());
        }
        tracing::warn!(%address, "Refused a sign-in: too many attempts");
        Err(Problem::new(Code::TooManyAttempts, "Wait a few seconds before the next attempt.").retry_after(5))
    }

    /// Whether the password fits; takes as long when there is no hash to fit.
    pub async fn verify(&self, password: String, hash: Option<String>) -> anyhow::Result<bool> {
        if password.len() > people::MAX_PASSWORD {
            return Ok(false);
        }
        let _permit = self.checks.acquire().await?;
        Ok(tokio::task::spawn_blocking(move || people::verify_password(&password, hash.as_deref())).await?)
    }
}

/// Address of whoever asks: the other end of the connection or, behind a proxy of ours, whom that proxy names.
#[derive(Clone, Copy, Debug)]
pub struct PeerIp(pub IpAddr);

impl<S> FromRequestParts<S> for PeerIp
where
    S: Send + Sync,
    Arc<App>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let app = Arc::<App>::from_ref(state);
        let peer = parts.extensions.get::<ConnectInfo<PeerAddress>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.0.ip());
        Ok(Self(behind_proxies(peer, &parts.headers, &app.config.behind_proxy)))
    }
}

/// The last address in the chain that is not a proxy of ours: what stands left of it is anyone's claim.
fn behind_proxies(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let is_ours = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut address = peer.to_canonical();
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for claim in lines.iter().flat_map(|line| line.split(',')).rev() {
        if !is_ours(&address) {
            break;
        }
        let Ok(claimed) = claim.trim().parse::<IpAddr>() else { break };
        address = claimed.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::{SignIn, behind_proxies};
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn believes_only_its_own_proxies() {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1, 203.0.113.9, 10.0.0.2"));
        let address = |peer: &str| behind_proxies(peer.parse().unwrap(), &headers, &proxies).to_string();
        assert_eq!(address("10.0.0.1"), "203.0.113.9");
        assert_eq!(address("::ffff:10.0.0.1"), "203.0.113.9");
        assert_eq!(address("198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn limits_attempts_by_name_and_by_address() {
        let sign_in = SignIn::default();
        let address = |last| std::net::IpAddr::from([192, 0, 2, last]);
        let one_address = (0..100).filter(|n| sign_in.admit(&format!("name{n}"), address(1)).is_ok()).count();
        assert!((20..25).contains(&one_address), "{one_address}");
        let one_name = (0..100).filter(|n| sign_in.admit("admin", address(100 + n)).is_ok()).count();
        assert!((30..40).contains(&one_name), "{one_name}");
    }
}
