//! An entry of an event log as an English sentence, from its id and data alone.
//!
//! Sources: the manifests of the providers, by id; which datum is what stands beside each id. Data are hostile text and
//! are only ever inserted.

use rules::events::{SERVICE_CONTROL_MANAGER, ServiceNews, codes, datum, error_code, is_from, parameter, service_news};
use rules::facts::Event;

/// `None`: an entry without a template of ours; show its provider, id and data.
pub fn sentence(event: &Event) -> Option<String> {
    let templates: &[(&str, Template)] = &[
        (SERVICE_CONTROL_MANAGER, service_control_manager),
        ("HttpEvent", http),
        ("DNS-Server-Service", dns),
        ("DNS", dns),
        ("Tcpip", tcpip),
        ("WindowsUpdateClient", update_client),
        ("Servicing", servicing),
        ("Kernel-General", kernel),
        ("EventLog", event_log),
        ("User32", user32),
    ];
    let (_, template) = templates.iter().find(|(provider, _)| is_from(event, provider))?;
    template(event)
}

/// `None`: it has no sentence for this id.
type Template = fn(&Event) -> Option<String>;

fn service_control_manager(event: &Event) -> Option<String> {
    let service = parameter(event, 1).or(event.service.as_deref()).unwrap_or("A service");
    let code =
        || parameter(event, 2).and_then(error_code).map_or("an error that is not known".to_owned(), codes::words);
    let seconds = |number| {
        let milliseconds: u64 = parameter(event, number)?.parse().ok()?;
        Some(format!("{} s", milliseconds.div_ceil(1000)))
    };
    Some(match event.id {
        7000 => format!("{service} did not start: {}.", code()),
        7001 => {
            let dependency = parameter(event, 2).unwrap_or("another service");
            let code = parameter(event, 3)
                .and_then(error_code)
                .map_or_else(String::new, |code| format!(", which failed with {}", codes::words(code)));
            format!("{service} did not start, because it depends on {dependency}{code}.")
        }
        7003 => format!("{service} depends on {}, which does not exist.", parameter(event, 2).unwrap_or("a service")),
        7009 => format!(
            "{} did not connect within {}.",
            parameter(event, 2).unwrap_or("A service"),
            seconds(1).unwrap_or_else(|| "its time".to_owned())
        ),
        7011 => format!(
            "{} did not answer within {}.",
            parameter(event, 2).unwrap_or("A service"),
            seconds(1).unwrap_or_else(|| "its time".to_owned())
        ),
        7022 => format!("{service} hung while it started."),
        7023 => format!("{service} stopped with {}.", code()),
        7024 => format!("{service} stopped with a code of its own: {}.", code()),
        7026 => format!("These boot drivers did not load: {}.", parameter(event, 1).unwrap_or("not said")),
        7031 => {
            let again =
                seconds(3).map_or_else(String::new, |delay| format!(" Its recovery action follows in {delay}."));
            format!("{service} ended unexpectedly, {}.{again}", times(parameter(event, 2)))
        }
        7034 => format!("{service} ended unexpectedly, {}.", times(parameter(event, 2))),
        7036 => match service_news(event)? {
            ServiceNews::Runs => format!("{service} runs."),
            ServiceNews::Stopped => format!("{service} stopped."),
            ServiceNews::Failed(_) => return None,
        },
        7038 => format!("{service} could not log on as {}.", parameter(event, 2).unwrap_or("its account")),
        7040 => format!(
            "The start of {service} was changed from {} to {}.",
            parameter(event, 2).unwrap_or("something"),
            parameter(event, 3).unwrap_or("something else")
        ),
        7043 => format!("{service} did not shut down properly."),
        7045 => format!(
            "The service {} was installed: {}.",
            datum(event, "ServiceName").or(parameter(event, 1)).unwrap_or("of unknown name"),
            datum(event, "ImagePath").or(parameter(event, 2)).unwrap_or("its program is not said")
        ),
        _ => return None,
    })
}

fn times(count: Option<&str>) -> String {
    match count {
        Some("1") | None => "for the first time".to_owned(),
        Some(count) => format!("for the {count}th time").replace(" 2th", " 2nd").replace(" 3th", " 3rd"),
    }
}

fn http(event: &Event) -> Option<String> {
    let address = || datum(event, "Address").or(parameter(event, 2)).unwrap_or("an address that is not said");
    (event.id == 15005)
        .then(|| format!("HTTP.sys could not bind {}: something else holds it, or it is denied.", address()))
}

fn dns(event: &Event) -> Option<String> {
    let first = parameter(event, 1).or(event.data.first().map(|datum| datum.value.as_str()));
    Some(match event.id {
        404 => format!("The DNS server could not bind a TCP socket to {}.", first.unwrap_or("its address")),
        407 => format!("The DNS server could not bind a UDP socket to {}.", first.unwrap_or("its address")),
        408 => format!("The DNS server could not open a socket for {}.", first.unwrap_or("its address")),
        411 => format!(
            "The DNS server had to bind sockets of its pool to ports of its exclusion range {}.",
            first.unwrap_or("")
        )
        .replace(" .", "."),
        _ => return None,
    })
}

fn tcpip(event: &Event) -> Option<String> {
    Some(
        match event.id {
            4227 => {
                "TCP/IP refused an outgoing connection, because its local port was used for the same peer a moment ago."
            }
            4231 => "All dynamic TCP ports are in use.",
            4266 => "All dynamic UDP ports are in use.",
            _ => return None,
        }
        .to_owned(),
    )
}

fn update_client(event: &Event) -> Option<String> {
    // 20 says why first; the others begin with the title.
    let title = datum(event, "updateTitle").or_else(|| parameter(event, if event.id == 20 { 2 } else { 1 }));
    let title = title.unwrap_or("an update");
    Some(match event.id {
        19 => format!("Installed {title}."),
        20 => {
            let code = datum(event, "errorCode").or_else(|| parameter(event, 1)).and_then(error_code);
            let code = code.map_or_else(String::new, |code| format!(": {}", codes::words(code)));
            format!("Could not install {title}{code}.")
        }
        43 => format!("Began to install {title}."),
        44 => format!("Began to download {title}."),
        _ => return None,
    })
}

fn servicing(event: &Event) -> Option<String> {
    let package =
        datum(event, "PackageIdentifier").or_else(|| datum(event, "identifier")).or_else(|| parameter(event, 1));
    let package = package.unwrap_or("A package");
    let target = datum(event, "IntendedPackageState").or_else(|| datum(event, "targetPackageState"));
    Some(match event.id {
        1 => format!("{package} is being changed{}.", target.map_or_else(String::new, |state| format!(" to {state}"))),
        2 => format!("{package} was changed{}.", target.map_or_else(String::new, |state| format!(" to {state}"))),
        3 => format!("{package} could not be changed."),
        4 => format!("{package} will be changed at the next restart."),
        _ => return None,
    })
}

fn kernel(event: &Event) -> Option<String> {
    Some(
        match event.id {
            12 => "The system started.",
            13 => "The system shuts down.",
            _ => return None,
        }
        .to_owned(),
    )
}

fn event_log(event: &Event) -> Option<String> {
    Some(match event.id {
        6005 => "The event log began.".to_owned(),
        6006 => "The event log ended: the system shuts down.".to_owned(),
        6008 => "The shutdown before this boot was unexpected.".to_owned(),
        _ => return None,
    })
}

/// param1 process, param2 computer, param3 reason, param4 code, param5 kind, param6 comment, param7 user.
fn user32(event: &Event) -> Option<String> {
    if event.id != 1074 {
        return None;
    }
    let process = parameter(event, 1).unwrap_or("A program");
    let user = parameter(event, 7).filter(|user| !user.trim().is_empty());
    let user = user.map_or_else(String::new, |user| format!(" for {user}"));
    Some(format!("{process} asked for a shutdown or restart{user}."))
}

#[cfg(test)]
mod tests {
    use rules::facts::{Event, EventDatum};

    use super::sentence;

    fn event(provider: &str, id: u32, data: &[(&str, &str)]) -> Event {
        let datum = |(name, value): &(&str, &str)| EventDatum {
            name: (!name.is_empty()).then(|| (*name).into()),
            value: (*value).into(),
        };
        Event {
            log: "System".into(),
            record_id: 1,
            at: None,
            provider: provider.into(),
            id,
            service: None,
            data: data.iter().map(datum).collect(),
        }
    }

    #[test]
    fn entries_are_sentences() {
        let manager = "Service Control Manager";
        let ias = ("param1", "Network Policy Server");
        for (provider, id, data, expected) in [
            (
                manager,
                7023,
                vec![ias, ("param2", "%%10048")],
                "Network Policy Server stopped with 10048 (address already in use).",
            ),
            (manager, 7023, vec![("", "IAS"), ("", "%%10048")], "IAS stopped with 10048 (address already in use)."),
            (
                manager,
                7001,
                vec![ias, ("param2", "RPC"), ("param3", "%%1068")],
                "Network Policy Server did not start, because it depends on RPC, which failed with 1068 (a service that it depends on failed).",
            ),
            (manager, 7009, vec![("param1", "30000"), ("param2", "Fax")], "Fax did not connect within 30 s."),
            (
                manager,
                7031,
                vec![ias, ("param2", "2"), ("param3", "60000")],
                "Network Policy Server ended unexpectedly, for the 2nd time. Its recovery action follows in 60 s.",
            ),
            (manager, 7036, vec![ias, ("param2", "ausgeführt"), ("Binary", "IAS/4")], "Network Policy Server runs."),
            (
                "Microsoft-Windows-HttpEvent",
                15005,
                vec![("DeviceObject", "\\Device\\Http"), ("Address", "0.0.0.0:443")],
                "HTTP.sys could not bind 0.0.0.0:443: something else holds it, or it is denied.",
            ),
            ("Tcpip", 4266, vec![], "All dynamic UDP ports are in use."),
            (
                "Microsoft-Windows-WindowsUpdateClient",
                20,
                vec![("errorCode", "0x80240022"), ("updateTitle", "Update (KB1)")],
                "Could not install Update (KB1): 0x80240022 (every update of the operation failed).",
            ),
            (
                "User32",
                1074,
                vec![("param1", "C:\\Windows\\system32\\shutdown.exe (DC2)"), ("param7", "CONTOSO\\ada")],
                "C:\\Windows\\system32\\shutdown.exe (DC2) asked for a shutdown or restart for CONTOSO\\ada.",
            ),
            ("EventLog", 6008, vec![], "The shutdown before this boot was unexpected."),
        ] {
            assert_eq!(sentence(&event(provider, id, &data)).as_deref(), Some(expected), "{provider} {id}");
        }
    }

    #[test]
    fn what_is_not_understood_has_no_sentence() {
        for (provider, id) in
            [("Contoso Agent", 7023), ("Service Control Manager", 9999), ("Service Control Manager", 7036)]
        {
            assert_eq!(sentence(&event(provider, id, &[])), None, "{provider} {id}");
        }
    }

    #[test]
    fn missing_data_leave_a_sentence() {
        for id in [7000, 7001, 7003, 7009, 7011, 7022, 7023, 7024, 7026, 7031, 7034, 7038, 7040, 7043, 7045] {
            let sentence = sentence(&event("Service Control Manager", id, &[])).unwrap();
            assert!(sentence.ends_with('.') && sentence.len() > 10, "{id}: {sentence}");
        }
    }
}
