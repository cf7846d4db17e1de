//! What whoever installed the service told it, as text, and what it is to do about it.
//!
//! Invariant: an identity that may still be good is never given up for one that may not come. No input, no output.

use std::fmt;

use crate::identity::{Identity, Server, pin_of};
use crate::proxy::ProxyChoice;
use crate::token::Token;

/// Empty where nothing was said. Prints nothing of its token, nor of its proxy, whose address may hold a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) server: String,
    pub(crate) agents_port: String,
    pub(crate) proxy: String,
    pub(crate) token: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// There is an identity and no other order.
    Report,
    /// The token is of the installation that the identity is of: when that is renewed there, the token is not needed.
    Confirm {
        server: Server,
        token: Token,
    },
    Enroll {
        server: Server,
        token: Token,
    },
    /// The token cannot be used, ever, and why.
    Discard(String),
    /// There is no identity and no token; what to do about it.
    Wait(String),
}

impl Order {
    pub(crate) fn plan(&self, identity: Option<&Identity>) -> Plan {
        if self.token.is_empty() {
            return match identity {
                Some(_) => Plan::Report,
                None => Plan::Wait(NOT_ENROLLED.to_owned()),
            };
        }
        let server = match self.server() {
            Ok(server) => server,
            Err(why) => return Plan::Discard(why),
        };
        let token: Token = match self.token.parse() {
            Ok(token) => token,
            Err(why) => return Plan::Discard(format!("ENROLL_TOKEN is not usable: {why}")),
        };
        match identity {
            Some(identity) if pin_of(identity.authority()) == Some(token.pin) => Plan::Confirm { server, token },
            _ => Plan::Enroll { server, token },
        }
    }

    /// Whoever says nothing of a proxy means the one that is in use.
    pub(crate) fn names_proxy(&self) -> bool {
        !self.proxy.trim().is_empty()
    }

    fn server(&self) -> Result<Server, String> {
        let (host, enroll_port) =
            Server::parse_address(&self.server).map_err(|why| format!("SERVER_URL is not usable: {why}"))?;
        let agents_port = match self.agents_port.trim() {
            "" => Server::AGENTS_PORT,
            port => port.parse().map_err(|_| format!("AGENTS_PORT is not usable: `{port}` is not a port"))?,
        };
        let proxy = self.proxy()?.unwrap_or_default();
        Ok(Server { host, enroll_port, agents_port, proxy })
    }

    /// `None`: none was named. What was named is not in the reason, as it may hold a password.
    fn proxy(&self) -> Result<Option<ProxyChoice>, String> {
        match self.proxy.trim() {
            "" => Ok(None),
            proxy => proxy.parse().map(Some).map_err(|why| format!("PROXY is not usable: {why}")),
        }
    }
}

const NOT_ENROLLED: &str = "This host is not enrolled, and was given no token: install the package again with SERVER_URL \
                            and ENROLL_TOKEN, or run `portreeve-agent enroll`";

impl fmt::Debug for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Order({}, {}, ***)", self.server, self.agents_port)
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Plan};
    use crate::identity::{Identity, Server, pin_of};
    use crate::proxy::ProxyChoice;

    #[test]
    fn an_order_is_followed() {
        let identity = identity();
        let (ours, foreign) = (token(pin_of(identity.authority()).unwrap()), token([7; 32]));
        let server = Server {
            host: "ports.example.net".to_owned(),
            enroll_port: 8444,
            agents_port: 8443,
            proxy: ProxyChoice::System,
        };

        assert!(matches!(order("", "").plan(None), Plan::Wait(_)));
        assert!(matches!(order("ports.example.net", "").plan(None), Plan::Wait(_)));
        assert_eq!(order("", "").plan(Some(&identity)), Plan::Report);
        assert_eq!(order("elsewhere", "").plan(Some(&identity)), Plan::Report);
        let plan = order("ports.example.net", &ours).plan(None);
        assert_eq!(plan, Plan::Enroll { server: server.clone(), token: ours.parse().unwrap() });
        let plan = order("ports.example.net", &ours).plan(Some(&identity));
        assert_eq!(plan, Plan::Confirm { server: server.clone(), token: ours.parse().unwrap() });
        let plan = order("ports.example.net", &foreign).plan(Some(&identity));
        assert_eq!(plan, Plan::Enroll { server, token: foreign.parse().unwrap() });
    }

    #[test]
    fn what_can_never_be_used_is_discarded() {
        let token = token([7; 32]);
        for order in [order("", &token), order("http://a/b", &token), order("ports.example.net", "mistyped")] {
            let Plan::Discard(why) = order.plan(None) else { panic!("{order:?}") };
            assert!(!why.contains("s3cret"), "{why}");
        }
        let port = Order { agents_port: "x".to_owned(), ..order("ports.example.net", &token) };
        let proxy = Order { proxy: "socks://me:pa55@proxy".to_owned(), ..order("ports.example.net", &token) };
        for (order, name) in [(port, "AGENTS_PORT"), (proxy, "PROXY")] {
            let Plan::Discard(why) = order.plan(None) else { panic!("{order:?}") };
            assert!(why.starts_with(name) && !why.contains("pa55"), "{why}");
            let shown = format!("{order:?}");
            assert!(!shown.contains("s3cret") && !shown.contains("pa55"), "{shown}");
        }
    }

    #[test]
    fn the_proxy_that_was_named_is_used() {
        let token = token([7; 32]);
        for (text, proxy) in [
            ("", ProxyChoice::System),
            ("none", ProxyChoice::Direct),
            (" http://proxy:3128", ProxyChoice::Named("http://proxy:3128".to_owned())),
        ] {
            let order = Order { proxy: text.to_owned(), ..order("ports.example.net", &token) };
            let Plan::Enroll { server, .. } = order.plan(None) else { panic!("{order:?}") };
            assert_eq!((server.proxy, order.names_proxy()), (proxy, !text.is_empty()));
        }
    }

    fn order(server: &str, token: &str) -> Order {
        Order { server: server.to_owned(), token: token.to_owned(), ..Order::default() }
    }

    fn token(pin: [u8; 32]) -> String {
        format!("ptr_enr_a1b2_s3cret_{}", hex::encode(pin))
    }

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed([]).unwrap();
        let certificate = made.cert.der().to_vec();
        let server = Server { host: "before".to_owned(), enroll_port: 1, agents_port: 2, proxy: ProxyChoice::System };
        Identity::new(server, made.signing_key.serialize_der(), vec![certificate.clone(), certificate]).unwrap()
    }
}
