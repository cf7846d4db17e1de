//! Entries as `EvtRender` writes them. Forms are those of real logs; names of hosts are not.

use rules::facts::Event;
use rules::text::Text;

use super::{Window, event, query};

/// What `GetServiceKeyNameW` would find.
fn key_of(name: &str) -> Option<Text> {
    match name {
        "Internet Authentication Service" | "Internetauthentifizierungsdienst" => Some("IAS".into()),
        "Spooler" => Some("Spooler".into()),
        _ => None,
    }
}

fn read(xml: &str) -> Option<Event> {
    event(xml, key_of)
}

fn data(event: &Event) -> Vec<(Option<&str>, &str)> {
    event.data.iter().map(|datum| (datum.name.as_deref(), &*datum.value)).collect()
}

/// An entry of the service control manager.
fn service_event(id: u32, data: &str) -> String {
    format!(
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Service Control \
         Manager' Guid='{{555908d1-a6d7-4695-8e1e-26931d2012f4}}' EventSourceName='Service Control Manager'/><EventID \
         Qualifiers='49152'>{id}</EventID><Version>0</Version><Level>2</Level><Task>0</Task><Opcode>0</Opcode><Keywords>\
         0x8080000000000000</Keywords><TimeCreated SystemTime='2013-08-22T14:51:44.205667300Z'/><EventRecordID>3562\
         </EventRecordID><Correlation/><Execution ProcessID='516' ThreadID='1792'/><Channel>System</Channel><Computer>\
         dc1.example.net</Computer><Security/></System><EventData>{data}</EventData></Event>"
    )
}

#[test]
fn a_service_that_stopped_names_itself_in_its_binary_data() {
    let xml = service_event(
        7023,
        "<Data Name='param1'>Netzwerkrichtlinienserver</Data><Data Name='param2'>%%10048</Data>\
         <Binary>4900410053000000</Binary>",
    );
    let event = read(&xml).unwrap();
    assert_eq!((&*event.log, event.record_id, event.id), ("System", 3562, 7023));
    assert_eq!(event.provider, "Service Control Manager");
    assert_eq!(event.at.unwrap().to_rfc3339(), "2013-08-22T14:51:44.205667300+00:00");
    assert_eq!(event.service.as_deref(), Some("IAS"));
    assert_eq!(
        data(&event),
        [
            (Some("param1"), "Netzwerkrichtlinienserver"),
            (Some("param2"), "%%10048"),
            (Some("Binary"), "4900410053000000"),
        ]
    );
}

#[test]
fn binary_data_may_hold_the_state_as_well() {
    // `EventLog/1`
    let binary =
        "<Data Name='param1'>Windows Event Log</Data><Binary>4500760065006E0074004C006F0067002F0031000000</Binary>";
    assert_eq!(read(&service_event(7034, binary)).unwrap().service.as_deref(), Some("EventLog"));
    for strange in ["zz", "49", "00D8", "", "5C0078000000"] {
        let xml = service_event(7034, &format!("<Data>Fax</Data><Binary>{strange}</Binary>"));
        assert_eq!(read(&xml).unwrap().service, None, "{strange}");
    }
}

/// Server 2008 R2 writes neither names nor binary data.
#[test]
fn a_service_is_found_by_its_display_name() {
    let xml = service_event(7024, "<Data>Internetauthentifizierungsdienst</Data><Data>%%2147549471</Data>");
    let event = read(&xml).unwrap();
    assert_eq!(event.service.as_deref(), Some("IAS"));
    assert_eq!(data(&event), [(None, "Internetauthentifizierungsdienst"), (None, "%%2147549471")]);
    let stranger = service_event(7000, "<Data>Fax</Data><Data>%%1053</Data>");
    assert_eq!(read(&stranger).unwrap().service, None, "nobody knows it, so nobody is named");
}

#[test]
fn each_id_has_its_service_in_its_own_place() {
    for (id, data, service) in [
        (
            7009,
            "<Data Name='param1'>30000</Data><Data Name='param2'>Internet Authentication Service</Data>",
            Some("IAS"),
        ),
        (7011, "<Data Name='param1'>30000</Data><Data Name='param2'>Spooler</Data>", Some("Spooler")),
        (
            7031,
            "<Data Name='param1'>Internet Authentication Service</Data><Data Name='param2'>1</Data>\
             <Data Name='param3'>60000</Data><Data Name='param4'>1</Data><Data Name='param5'>Neustart</Data>",
            Some("IAS"),
        ),
        (
            7040,
            "<Data Name='param1'>Fax</Data><Data Name='param2'>auto start</Data>\
             <Data Name='param3'>disabled</Data><Data Name='param4'>Fax</Data>",
            Some("Fax"),
        ),
        (7045, "<Data Name='ServiceName'>Spooler</Data><Data Name='ImagePath'>C:\\x.exe</Data>", Some("Spooler")),
        (7026, "<Data Name='param1'>\ncdrom\nspldr</Data>", None),
    ] {
        assert_eq!(read(&service_event(id, data)).unwrap().service.as_deref(), service, "{id}");
    }
}

#[test]
fn reads_what_component_servicing_did() {
    let xml = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider \
               Name='Microsoft-Windows-Servicing' Guid='{BD12F3B8-FC40-4A61-A307-B7A013A069C1}'/><EventID>3</EventID>\
               <TimeCreated SystemTime='2018-05-24T06:46:05.570944300Z'/><EventRecordID>2</EventRecordID><Correlation/>\
               <Channel>Setup</Channel><Computer>host</Computer><Security UserID='S-1-5-18'/></System><UserData>\
               <CbsPackageChangeState xmlns='http://manifests.microsoft.com/win/2004/08/windows/setup_provider'>\
               <PackageIdentifier>KB4134661</PackageIdentifier><IntendedPackageState>5064</IntendedPackageState>\
               <IntendedPackageStateTextized>Bereitgestellt</IntendedPackageStateTextized><ErrorCode>0x800f0816</ErrorCode>\
               <Client>WindowsUpdateAgent</Client></CbsPackageChangeState></UserData></Event>";
    let event = read(xml).unwrap();
    assert_eq!((&*event.log, event.id, event.service.clone()), ("Setup", 3, None));
    assert_eq!(
        data(&event),
        [
            (Some("PackageIdentifier"), "KB4134661"),
            (Some("IntendedPackageState"), "5064"),
            (Some("ErrorCode"), "0x800f0816"),
            (Some("Client"), "WindowsUpdateAgent"),
        ]
    );
}

fn other(log: &str, provider: &str, id: u32, data: &str) -> String {
    service_event(id, data).replace("<Channel>System<", &format!("<Channel>{log}<")).replacen(
        "Service Control Manager",
        provider,
        1,
    )
}

#[test]
fn reads_binds_that_failed() {
    let http = other(
        "System",
        "Microsoft-Windows-HttpEvent",
        15005,
        "<Data Name='DeviceObject'>\\Device\\Http\\ReqQueue</Data><Data Name='Address'>0.0.0.0:443</Data>\
         <Binary>000004000200300000000000 9D3A00C0</Binary>",
    );
    let event = read(&http).unwrap();
    assert_eq!((event.id, event.service.clone()), (15005, None));
    assert_eq!(data(&event)[1], (Some("Address"), "0.0.0.0:443"));
    let dns = other("DNS Server", "Microsoft-Windows-DNS-Server-Service", 407, "<Data Name='param1'>10.0.0.5</Data>");
    assert_eq!(read(&dns).unwrap().service.as_deref(), Some("DNS"));
}

#[test]
fn others_are_left_out() {
    for (log, provider, id) in [
        ("System", "Service Control Manager", 7036),
        ("System", "Service Control Manager", 7046),
        // Hardware errors have the ids of the update client.
        ("System", "Microsoft-Windows-WHEA-Logger", 19),
        ("Application", "Service Control Manager", 7000),
        ("DNS Server", "Microsoft-Windows-DNS-Server-Service", 4),
    ] {
        assert_eq!(read(&other(log, provider, id, "")), None, "{log} {provider} {id}");
    }
}

#[test]
fn hostile_text_stays_text() {
    let xml = service_event(
        7045,
        "<Data Name='ServiceName'>&lt;script&gt;&amp;\u{202e}&#10;&#x41;</Data><Data Name='&quot;'><![CDATA[<b>]]></Data>",
    );
    let event = read(&xml).unwrap();
    assert_eq!(data(&event), [(Some("ServiceName"), "<script>&\u{fffd}\u{fffd}A"), (Some("\""), "<b>")]);
    let long = service_event(7000, &format!("<Data>{}</Data>", "x".repeat(100_000)).repeat(40));
    let event = read(&long).unwrap();
    assert_eq!((event.data.len(), event.data[0].value.len()), (32, Text::MAX));
}

#[test]
fn what_is_no_entry_is_nothing() {
    let whole = service_event(7000, "<Data>Fax</Data>");
    assert!(read(&whole).is_some());
    for cut in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
        // Cut before the number, the log or anything else that an entry needs, it is none; it never panics.
        let _ = read(&whole[..cut]);
    }
    assert_eq!(read(""), None);
    assert_eq!(read("<Event><System/></Event>"), None);
    assert_eq!(read(&format!("<!DOCTYPE e [<!ENTITY x 'y'>]>{whole}")), None);
    assert_eq!(read(&whole.replace("Fax", "&x;")), None);
}

#[test]
fn the_window_holds_each_entry_once_and_the_newest() {
    let mut window = Window::default();
    let entry = read(&service_event(7000, "<Data>Fax</Data>")).unwrap();
    let numbered = |record_id| Event { record_id, ..entry.clone() };
    for record_id in 0..300 {
        window.push(numbered(record_id));
        window.push(numbered(record_id));
    }
    let numbers: Vec<u64> = window.events().iter().map(|event| event.record_id).collect();
    assert_eq!(numbers, (44..300).collect::<Vec<_>>());
    // The log was cleared: its new first entries are the newest.
    window.push(Event { id: 7001, ..numbered(1) });
    let events = window.events();
    assert_eq!((events.len(), events[0].record_id, events[0].id), (256, 1, 7001));
}

#[test]
fn the_query_is_xml_that_asks_for_ids_since_a_time() {
    let query = query("2026-11-22T03:00:00Z".parse().unwrap());
    let mut reader = quick_xml::reader::Reader::from_str(&query);
    let mut selects = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Start(element) if element.local_name().as_ref() == "Select" => {
                selects.push(element.try_get_attribute("Path").unwrap().unwrap().value.into_owned());
            }
            quick_xml::events::Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(selects.iter().filter(|path| *path == "System").count(), 7);
    assert!(selects.contains(&"DNS Server".to_owned()) && selects.contains(&"Setup".to_owned()));
    assert!(query.contains(
        "*[System[Provider[@Name='Service Control Manager'] and ((EventID&gt;=7000 and EventID&lt;=7035) or \
         (EventID&gt;=7037 and EventID&lt;=7045)) and TimeCreated[@SystemTime&gt;='2026-11-22T03:00:00.000Z']]]"
    ));
    assert!(
        query.contains(
            "Provider[@Name='Microsoft-Windows-HttpEvent' or @Name='HTTP'] and (EventID=15005) and TimeCreated"
        )
    );
}
