//! The proxy that the system is set to. Windows has one setting for the machine, which services use; the settings of its
//! users are not ours. Elsewhere it stands in the environment, as for other programs.

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(super) fn proxy_towards(destination: &Uri) -> Option<Intercept> {
    Matcher::from_env().intercept(destination)
}

#[cfg(windows)]
pub(super) fn proxy_towards(destination: &Uri) -> Option<Intercept> {
    let (proxy, bypass) = windows::configured()?;
    from_windows(&proxy, &bypass, destination)
}

/// `proxy` is `HOST:PORT`, or such for schemes as in `http=HOST:PORT;https=HOST:PORT`; `bypass` names hosts, with `*`
/// for any text and `<local>` for names without a dot, apart by `;` or blanks
/// (<https://learn.microsoft.com/windows/win32/api/winhttp/ns-winhttp-winhttp_proxy_info>).
#[cfg(any(windows, test))]
fn from_windows(proxy: &str, bypass: &str, destination: &Uri) -> Option<Intercept> {
    let host = destination.host()?.trim_matches(['[', ']']);
    let is_bypassed = |pattern: &str| match pattern {
        "<local>" => !host.contains(['.', ':']),
        pattern => matches(&pattern.to_ascii_lowercase(), &host.to_ascii_lowercase()),
    };
    if words(bypass).any(is_bypassed) {
        return None;
    }
    let of_scheme = |scheme: &str| words(proxy).find_map(|word| word.strip_prefix(scheme)?.strip_prefix('='));
    let for_all = || words(proxy).find(|word| !word.contains('='));
    let address = of_scheme("https").or_else(for_all).or_else(|| of_scheme("http"))?;
    Matcher::builder().all(address).build().intercept(destination)
}

#[cfg(any(windows, test))]
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty())
}

/// `*` stands for any text.
#[cfg(any(windows, test))]
fn matches(pattern: &str, host: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == host };
    let Some(rest) = host.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::from_windows;

    fn proxy(proxy: &str, bypass: &str, host: &str) -> Option<String> {
        let found = from_windows(proxy, bypass, &format!("https://{host}:8443/").parse().unwrap())?;
        Some(found.uri().authority()?.to_string())
    }

    #[test]
    fn takes_the_proxy_for_https_or_for_all() {
        let some = |address: &str| Some(address.to_owned());
        assert_eq!(proxy("proxy:8080", "", "s.example"), some("proxy:8080"));
        assert_eq!(proxy("http=a:1;https=b:2", "", "s.example"), some("b:2"));
        assert_eq!(proxy("ftp=a:1 c:3", "", "s.example"), some("c:3"));
        assert_eq!(proxy("http=a:1", "", "s.example"), some("a:1"));
        assert_eq!(proxy("http://proxy:8080", "", "s.example"), some("proxy:8080"));
        assert_eq!(proxy("ftp=a:1", "", "s.example"), None);
        assert_eq!(proxy("", "", "s.example"), None);
    }

    #[test]
    fn leaves_out_what_the_list_names() {
        let bypass = "<local>;*.Contoso.example 10.*;192.168.1.5";
        for direct in ["portreeve", "a.contoso.example", "10.1.2.3", "192.168.1.5"] {
            assert_eq!(proxy("proxy:8080", bypass, direct), None, "{direct}");
        }
        for through in ["contoso.example", "a.example", "110.1.2.3", "192.168.1.50", "[2001:db8::1]"] {
            assert!(proxy("proxy:8080", bypass, through).is_some(), "{through}");
        }
        assert_eq!(proxy("proxy:8080", "*", "a.example"), None);
    }
}
