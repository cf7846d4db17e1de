//! What a problem is called: the sentence that all findings of one cause share. Pure.

use crate::catalog::{BadUpdate, Catalog, Taker};

/// The title of the problem with this key (`Finding::problem`), without a word about how many hosts it concerns. `None`:
/// neither the key nor the catalog says more than its findings do.
pub fn title(problem: &str, catalog: &Catalog) -> Option<String> {
    let (family, id) = problem.split_once('/')?;
    match family {
        "bad-update" => catalog.bad_update(id).map(of_update),
        "taker" => catalog.takers().iter().find(|taker| taker.id == id).map(of_taker),
        "suspect-update" => Some(format!("Services fail more often after {id}")),
        "holder" => Some(format!("{id} holds ports that other services need")),
        _ => None,
    }
}

fn of_update(entry: &BadUpdate) -> String {
    match &entry.kb {
        // An update that has another number on each system goes by none.
        Some(kb) if entry.own_kbs().count() == 1 && !entry.title.contains(kb.as_str()) => {
            format!("{kb}: {}", entry.title)
        }
        _ => entry.title.clone(),
    }
}

fn of_taker(taker: &Taker) -> String {
    format!("Services lose their ports to {}", taker.name)
}

#[cfg(test)]
mod tests {
    use super::title;
    use crate::catalog::Catalog;

    #[test]
    fn names_what_its_findings_have_in_common() {
        let catalog = Catalog::builtin();
        for (problem, expected) in [
            (
                "bad-update/dotnet20sp2-exchange2007-autodiscover",
                Some("KB948609: .NET Framework 2.0 SP2 breaks Autodiscover of Exchange 2007 SP1"),
            ),
            (
                "bad-update/ms08-037-dns-socket-pool",
                Some("The DNS server's socket pool takes about 2,500 random UDP ports"),
            ),
            ("taker/dns-socket-pool", Some("Services lose their ports to the DNS server's socket pool")),
            ("suspect-update/KB5034439", Some("Services fail more often after KB5034439")),
            ("holder/w3svc", Some("w3svc holds ports that other services need")),
            ("holder/a/b.exe", Some("a/b.exe holds ports that other services need")),
            ("bad-update/no-such-entry", None),
            ("taker/", None),
            ("", None),
        ] {
            assert_eq!(title(problem, &catalog).as_deref(), expected, "{problem}");
        }
    }
}
