//! What the host is: its name, system, times, roles and products, and whether all files are of one host. No I/O.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use rules::facts::{CollectedBy, Host, Os, Product, Section, Service};
use rules::text::Text;

use super::missing;
use crate::capture::gathered::Gathered;
use crate::capture::prompt::dotted;
use crate::capture::system_properties::wmi_time;
use crate::collect::reading::Unreadable;
use crate::collect::roles::{RoleValues, product_by_service, roles, setup_version};

const CURRENT_VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const TCPIP_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
const COMPUTER_NAME: &str = r"SYSTEM\CurrentControlSet\Control\ComputerName\ActiveComputerName";
const PRODUCT_OPTIONS: &str = r"SYSTEM\CurrentControlSet\Control\ProductOptions";
const EXCHANGE_SETUP: [&str; 3] = [
    r"SOFTWARE\Microsoft\ExchangeServer\v15\Setup",
    r"SOFTWARE\Microsoft\ExchangeServer\v14\Setup",
    r"SOFTWARE\Microsoft\Exchange\Setup",
];
const EXCHANGE_2007_ROLES: &str = r"SOFTWARE\Microsoft\Exchange\v8.0";

/// NetBIOS names end after so many characters.
const NETBIOS: usize = 15;

/// Times of one look may lie so far apart.
const ONE_LOOK: TimeDelta = TimeDelta::hours(1);

/// Why the files are not of one host. `None`: nothing says that.
pub(super) fn mixed(gathered: &Gathered) -> Option<Text> {
    let names = names(gathered);
    let first = names.first()?;
    let other = names.iter().find(|name| !is_same_host(first, name))?;
    Some(Text::new(&format!("the files are of two hosts, {first} and {other}")))
}

fn names(gathered: &Gathered) -> Vec<Text> {
    let registry = &gathered.registry;
    let of_key = |path, name| registry.key(path).and_then(|key| key.text(name)).filter(|name| !name.is_empty());
    let mut names: Vec<Text> = [
        of_key(TCPIP_PARAMETERS, "Hostname"),
        of_key(TCPIP_PARAMETERS, "NV Hostname"),
        of_key(COMPUTER_NAME, "ComputerName"),
    ]
    .into_iter()
    .flatten()
    .map(Text::new)
    .collect();
    names.extend(gathered.systems.iter().filter_map(|system| system.host.clone()));
    names.extend(properties(gathered, "DNSHostName").map(Text::new));
    names.extend(gathered.host_names.iter().map(|name| Text::new(name)));
    names.extend(properties(gathered, "CSName").map(Text::new));
    names.extend(gathered.hotfixes.iter().filter_map(|hotfix| hotfix.host.clone()));
    names
}

fn is_same_host(one: &str, other: &str) -> bool {
    let label = |name: &str| name.split('.').next().unwrap_or(name).to_lowercase();
    let (one, other) = (label(one), label(other));
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short == long || (short.chars().count() == NETBIOS && long.starts_with(&short))
}

fn properties<'a>(gathered: &'a Gathered, name: &'a str) -> impl Iterator<Item = &'a str> {
    gathered.properties.iter().filter(move |(property, _)| *property == name).map(|(_, value)| value.as_str())
}

/// When the capture was taken and when the host booted, as far as a time with its offset was printed.
#[derive(Debug, Default)]
pub(super) struct Times {
    pub(super) collected_at: Option<DateTime<Utc>>,
    booted_at: Option<DateTime<Utc>>,
    utc_offset_minutes: Option<i32>,
}

impl Times {
    pub(super) fn of(gathered: &Gathered, contradictions: &mut Vec<Text>) -> Self {
        let times = |name| properties(gathered, name).filter_map(wmi_time).collect::<Vec<DateTime<FixedOffset>>>();
        let (looks, boots) = (times("LocalDateTime"), times("LastBootUpTime"));
        let mut one = |times: &[DateTime<FixedOffset>], what: &str| {
            let (first, last) = (times.iter().min()?, times.iter().max()?);
            if *last - *first > ONE_LOOK {
                contradictions.push(Text::new(&format!("the files name two times {what}, {first} and {last}")));
                return None;
            }
            Some(*last)
        };
        let collected = one(&looks, "at which they were collected");
        let booted = one(&boots, "of the last boot");
        Self {
            collected_at: collected.map(|time| time.to_utc()),
            booted_at: booted.map(|time| time.to_utc()),
            utc_offset_minutes: collected.map(|time| time.offset().local_minus_utc() / 60),
        }
    }
}

pub(super) fn host(
    gathered: &Gathered,
    services: Option<&[Service]>,
    times: &Times,
    contradictions: &mut Vec<Text>,
) -> Result<Host, Unreadable> {
    // The longest is the whole one: NetBIOS names are cut.
    let name = names(gathered).into_iter().rev().max_by_key(|name| name.len());
    let name = name.ok_or_else(|| Unreadable::new("the capture does not name the host (hostname, systeminfo)"))?;
    Ok(Host {
        name,
        domain: domain(gathered),
        os: os(gathered, contradictions)?,
        booted_at: times.booted_at,
        boot_id: None,
        utc_offset_minutes: times.utc_offset_minutes,
        collected_by: CollectedBy::Capture,
        domain_controller: domain_controller(gathered),
        products: products(gathered, services.unwrap_or_default()),
        roles: match services {
            Some(services) if services.iter().any(|service| service.start.is_some()) => {
                Section::Known(roles(services, &role_values(gathered)))
            }
            _ => missing("start modes of services (sc qc)"),
        },
        pending_restart: missing("signs of a pending restart"),
        collectors: Vec::new(),
    })
}

fn domain(gathered: &Gathered) -> Option<Text> {
    let key = gathered.registry.key(TCPIP_PARAMETERS);
    let of_key =
        ["Domain", "NV Domain"].into_iter().find_map(|name| key?.text(name).filter(|domain| !domain.is_empty()));
    let of_class = properties(gathered, "Domain").find(|domain| domain.contains('.'));
    let of_system = gathered.systems.iter().find_map(|system| system.domain.clone());
    of_key.or(of_class).map(Text::new).or(of_system)
}

/// The version that the system itself tells; the title of a console may be that of another machine.
fn os(gathered: &Gathered, contradictions: &mut Vec<Text>) -> Result<Os, Unreadable> {
    let key = gathered.registry.key(CURRENT_VERSION);
    let mut versions: Vec<[u32; 3]> = gathered.systems.iter().map(|system| system.version).collect();
    versions.extend(properties(gathered, "Version").filter_map(dotted));
    versions.extend(key.and_then(|key| {
        let build = key.text("CurrentBuildNumber").or_else(|| key.text("CurrentBuild"))?.parse().ok()?;
        // Since Windows 10 the text of the version stays at 6.3.
        if let (Some(major), Some(minor)) =
            (key.number("CurrentMajorVersionNumber"), key.number("CurrentMinorVersionNumber"))
        {
            return Some([major, minor, build]);
        }
        let (major, minor) = key.text("CurrentVersion")?.split_once('.')?;
        Some([major.parse().ok()?, minor.parse().ok()?, build])
    }));
    let told = versions.len();
    versions.extend(&gathered.versions);
    let version = *versions
        .first()
        .ok_or_else(|| Unreadable::new("the capture does not tell the version of Windows (ver, systeminfo)"))?;
    if let Some(other) = versions.iter().find(|other| **other != version) {
        let dotted = |version: &[u32; 3]| version.map(|number| number.to_string()).join(".");
        let both = format!("the files name two versions of Windows, {} and {}", dotted(&version), dotted(other));
        contradictions.push(Text::new(&both));
        if told == 0 || versions[..told].iter().any(|other| *other != version) {
            return Err(Unreadable::new(both));
        }
    }
    let [major, minor, build] = version;
    let of_system = gathered.systems.iter().find_map(|system| system.os_name.clone());
    let of_class = properties(gathered, "Caption").find(|caption| caption.contains("Windows")).map(Text::new);
    let of_key = key.and_then(|key| key.text("ProductName")).map(Text::new);
    let name = of_system.or(of_class).or(of_key);
    let service_pack = gathered.systems.iter().find_map(|system| system.service_pack.clone());
    let service_pack = service_pack.or_else(|| properties(gathered, "CSDVersion").next().map(Text::new));
    let of_key = key.and_then(|key| key.text("CSDVersion")).filter(|text| !text.is_empty()).map(Text::new);
    Ok(Os {
        name: name.unwrap_or_else(|| Text::new(&format!("Windows {major}.{minor}.{build}"))),
        major,
        minor,
        build,
        revision: key.and_then(|key| key.number("UBR")),
        service_pack: service_pack.or(of_key),
    })
}

/// `None`: no source tells.
fn domain_controller(gathered: &Gathered) -> Option<bool> {
    let key = gathered.registry.key(PRODUCT_OPTIONS);
    if let Some(kind) = key.and_then(|key| key.text("ProductType")) {
        return Some(kind.eq_ignore_ascii_case("LanmanNT"));
    }
    if let Some(role) = properties(gathered, "DomainRole").find_map(|role| role.parse::<u32>().ok()) {
        return Some(role >= 4);
    }
    properties(gathered, "ProductType").find_map(|kind| kind.parse::<u32>().ok()).map(|kind| kind == 2)
}

fn role_values(gathered: &Gathered) -> RoleValues {
    let number = |path, name| gathered.registry.key(path).and_then(|key| key.number(name));
    let of_system = gathered.registry.key(CURRENT_VERSION).and_then(|key| key.text("InstallationType"));
    RoleValues {
        features: Vec::new(),
        application_sessions: number(r"SYSTEM\CurrentControlSet\Control\Terminal Server", "TSAppCompat"),
        installation_type: of_system.unwrap_or_default().to_owned(),
    }
}

/// Exchange, by what its setup leaves in the registry, and what services tell. That Exchange is absent is known only where
/// the list of keys shows it.
fn products(gathered: &Gathered, services: &[Service]) -> Section<Vec<Product>> {
    let registry = &gathered.registry;
    let lacks = |key| registry.lacks(r"SOFTWARE\Microsoft", key);
    let exchange = exchange(gathered);
    if exchange.is_none() && !(lacks("Exchange") && lacks("ExchangeServer")) {
        return missing("keys of products (reg query HKLM\\SOFTWARE\\Microsoft)");
    }
    Section::Known(exchange.into_iter().chain(product_by_service(services)).collect())
}

fn exchange(gathered: &Gathered) -> Option<Product> {
    let registry = &gathered.registry;
    let setup = EXCHANGE_SETUP.iter().find_map(|path| registry.key(path));
    let of_setup = setup.and_then(|key| {
        let names = ["MsiProductMajor", "MsiProductMinor", "MsiBuildMajor", "MsiBuildMinor"];
        setup_version(names.map(|name| key.number(name)))
    });
    let of_roles = registry
        .below(EXCHANGE_2007_ROLES)
        .filter_map(|key| key.text("ConfiguredVersion"))
        .filter(|version| version.split('.').all(|number| number.parse::<u32>().is_ok()))
        .max_by_key(|version| version.split('.').map(|number| number.parse().unwrap_or(0)).collect::<Vec<u32>>());
    let version = of_setup.or_else(|| of_roles.map(str::to_owned));
    (setup.is_some() || version.is_some()).then(|| Product {
        id: Text::new("exchange-server"),
        name: Text::new("Microsoft Exchange Server"),
        version: version.map(Text::from),
    })
}
