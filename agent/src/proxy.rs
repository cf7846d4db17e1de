//! Through which HTTP proxy the server is reached: the one that somebody named, or that of the system. Only a tunnel is
//! asked of it (CONNECT); TLS goes through it untouched, so that it learns an address and nothing else.
//!
//! Invariant: the password in a proxy's address is never printed.

mod system;

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tower::{Service as _, service_fn};

/// Whose proxy is used.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProxyChoice {
    /// On Windows the machine's own setting (`netsh winhttp show proxy`), elsewhere `HTTPS_PROXY` and `NO_PROXY`.
    #[default]
    System,
    /// The server is reached directly.
    Direct,
    /// `http://[USER:PASSWORD@]HOST:PORT`.
    Named(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, `system`, or `none`")]
pub struct BadProxy;

impl FromStr for ProxyChoice {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        match text {
            "system" => return Ok(Self::System),
            "none" => return Ok(Self::Direct),
            _ => {}
        }
        let uri: Uri = text.parse().map_err(|_| BadProxy)?;
        let is_usable = uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
        // A port that was forgotten would be 80, where no proxy listens.
        if is_usable && uri.port().is_some() && uri.path() == "/" {
            Ok(Self::Named(text.to_owned()))
        } else {
            Err(BadProxy)
        }
    }
}

impl TryFrom<String> for ProxyChoice {
    type Error = BadProxy;

    fn try_from(text: String) -> Result<Self, BadProxy> {
        text.parse()
    }
}

impl From<ProxyChoice> for String {
    fn from(choice: ProxyChoice) -> Self {
        match choice {
            ProxyChoice::System => "system".to_owned(),
            ProxyChoice::Direct => "none".to_owned(),
            ProxyChoice::Named(address) => address,
        }
    }
}

impl fmt::Debug for ProxyChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => formatter.write_str("System"),
            Self::Direct => formatter.write_str("Direct"),
            Self::Named(address) => {
                let shown = address.rsplit_once('@').map_or(address.as_str(), |(_, host)| host);
                write!(formatter, "Named({shown})")
            }
        }
    }
}

impl ProxyChoice {
    /// `None`: none is in the way.
    fn towards(&self, destination: &Uri) -> Option<Intercept> {
        match self {
            Self::Direct => None,
            Self::Named(address) => Matcher::builder().all(address.as_str()).build().intercept(destination),
            Self::System => system::proxy_towards(destination),
        }
    }
}

/// A connection to the server's port, directly or through a tunnel.
pub(crate) async fn dial(choice: &ProxyChoice, host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = match choice.towards(&destination(host, port)?) {
        None => TcpStream::connect((host, port)).await?,
        Some(proxy) => tunnel(&proxy, destination(host, port)?).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn tunnel(proxy: &Intercept, destination: Uri) -> io::Result<TcpStream> {
    let name = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
    if proxy.uri().scheme_str() != Some("http") {
        return Err(io::Error::other(format!("the proxy {name} is not an HTTP proxy, and no other can be used")));
    }
    let connect = service_fn(|proxy: Uri| async move {
        let host = proxy.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        TcpStream::connect((host, proxy.port_u16().unwrap_or(80))).await.map(TokioIo::new)
    });
    let mut tunnel = Tunnel::new(proxy.uri().clone(), connect);
    if let Some(credentials) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    let connected = tunnel.call(destination).await;
    connected.map(TokioIo::into_inner).map_err(|error| io::Error::other(explain(&name, &error)))
}

/// Names what refused: 407 is "proxy authorization required".
fn explain(name: &str, error: &(dyn Error + 'static)) -> String {
    match error.source() {
        Some(cause) => format!("no way through the proxy {name}: {error}: {cause}"),
        None => format!("no way through the proxy {name}: {error}"),
    }
}

fn destination(host: &str, port: u16) -> io::Result<Uri> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("https://{host}:{port}/").parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::{ProxyChoice, destination};

    #[test]
    fn reads_what_an_administrator_writes_and_prints_no_password() {
        for (text, shown) in [
            ("system", "System"),
            ("none", "Direct"),
            ("http://proxy.example:3128", "Named(http://proxy.example:3128)"),
            ("http://kim:s3cret@proxy.example:3128", "Named(proxy.example:3128)"),
        ] {
            let choice: ProxyChoice = text.parse().unwrap();
            assert_eq!(format!("{choice:?}"), shown);
            let kept = serde_json::to_string(&choice).unwrap();
            assert_eq!(serde_json::from_str::<ProxyChoice>(&kept).unwrap(), choice);
        }
        for wrong in
            ["", "proxy.example", "proxy.example:3128", "https://p:1", "socks5://p:1", "http://p", "http://p:1/x"]
        {
            assert!(wrong.parse::<ProxyChoice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_named_proxy_is_used_for_every_server_and_its_credentials_stand_in_a_header() {
        let choice: ProxyChoice = "http://kim:p%40ss@proxy.example:3128".parse().unwrap();
        for host in ["server.example", "10.0.0.5", "2001:db8::1"] {
            let proxy = choice.towards(&destination(host, 8443).unwrap()).unwrap();
            assert_eq!(proxy.uri().authority().unwrap(), "proxy.example:3128");
            assert_eq!(proxy.basic_auth().unwrap(), "Basic a2ltOnBAc3M=");
        }
        assert!(ProxyChoice::Direct.towards(&destination("server.example", 8443).unwrap()).is_none());
    }
}
