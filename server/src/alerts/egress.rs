//! The one door out: every outgoing HTTP request is built and sent here.
//!
//! Invariant: no connection is made to an address that is not public, unless the operator of the server named its
//! network (`--egress-allow`). Names are resolved once and the very addresses that were checked are connected to, so a
//! name that changes between check and use gains nothing. No redirects, no proxies, http and https only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

/// From the first byte sent to the last byte read.
const TIMEOUT: Duration = Duration::from_secs(15);
/// What is read of an answer; the rest is not waited for.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum EgressFault {
    #[error("`{0}` is not an address of the form http://… or https://…")]
    BadUrl(String),
    #[error("{0} is not a public address; name its network with --egress-allow if it is meant")]
    Refused(IpAddr),
    #[error("{0}")]
    Failed(String),
}

impl EgressFault {
    /// Stable, for attempts and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadUrl(_) => "egress.bad-url",
            Self::Refused(_) => "egress.refused",
            Self::Failed(_) => "egress.failed",
        }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// How long the receiver asks to be left alone, where it says so in seconds.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Egress {
    client: Client,
    allowed: Arc<[IpNet]>,
}

impl Egress {
    /// `allowed` are networks that are not public and may be reached nevertheless.
    pub fn new(allowed: &[IpNet]) -> anyhow::Result<Self> {
        let allowed: Arc<[IpNet]> = allowed.into();
        #[expect(clippy::disallowed_methods, reason = "this module is where outgoing HTTP is built")]
        let client = Client::builder()
            .dns_resolver(Arc::new(CheckedResolver { allowed: allowed.clone() }))
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(concat!("portreeve/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, allowed })
    }

    /// Whether `url` may be asked for at all; an address that stands in it is checked here, a name when it is resolved.
    pub fn check(&self, url: &str) -> Result<Url, EgressFault> {
        let bad = || EgressFault::BadUrl(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| bad())?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.username().is_empty() || parsed.password().is_some()
        {
            return Err(bad());
        }
        // The resolver never sees an address that is written as such.
        let host = parsed.host_str().ok_or_else(bad)?;
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            check_address(address, &self.allowed)?;
        }
        Ok(parsed)
    }

    /// One POST of JSON, without retries.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: String) -> Result<Answer, EgressFault> {
        let url = self.check(url)?;
        let request =
            self.client.post(url).headers(headers).header(header::CONTENT_TYPE, "application/json").body(body);
        let mut response = request.send().await.map_err(|error| fault_of(&error))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse().ok())
            .map(Duration::from_secs);
        let mut bytes = Vec::new();
        // The status is the answer; a body that breaks off is kept as far as it came.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ANSWER - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if bytes.len() == MAX_ANSWER {
                break;
            }
        }
        Ok(Answer { status, retry_after, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

/// The refusal of our own resolver, if it is at the bottom of it; else the innermost cause, which says the most.
fn fault_of(error: &reqwest::Error) -> EgressFault {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
        if let Some(EgressFault::Refused(address)) = cause.downcast_ref() {
            return EgressFault::Refused(*address);
        }
    }
    let what = if error.is_timeout() {
        "no answer within 15 s"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the request failed"
    };
    EgressFault::Failed(format!("{what}: {cause}"))
}

#[derive(Debug)]
struct CheckedResolver {
    allowed: Arc<[IpNet]>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed.clone();
        Box::pin(async move {
            let mut refused = None;
            let mut addresses = Vec::new();
            for address in tokio::net::lookup_host((name.as_str(), 0)).await? {
                match check_address(address.ip(), &allowed) {
                    Ok(()) => addresses.push(address),
                    Err(fault) => refused = Some(fault),
                }
            }
            match refused {
                Some(fault) if addresses.is_empty() => Err(fault.into()),
                _ => Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send> as Addrs),
            }
        })
    }
}

fn check_address(address: IpAddr, allowed: &[IpNet]) -> Result<(), EgressFault> {
    let address = effective(address);
    if is_public(address) || allowed.iter().any(|network| network.contains(&address)) {
        return Ok(());
    }
    Err(EgressFault::Refused(address))
}

/// The address that is really reached: IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4) counts as that IPv4 address.
fn effective(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    let v4 = |start: usize| {
        IpAddr::V4(Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => v4(12),
        // ::/96 but for :: and ::1, which are refused as themselves.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => v4(12),
        [0x2002, ..] => v4(2),
        _ => address,
    }
}

/// Source: the IANA special-purpose address registries,
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and its IPv6 sibling.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

/// Only 2000::/3 is global unicast, and parts of it are special.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let special = matches!(
        address.segments(),
        // Protocol assignments (Teredo, ORCHID and others), documentation, 6to4 relays, SRv6 and the like.
        [0x2001, 0..=0x01ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..]
    );
    address.segments()[0] & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests;
