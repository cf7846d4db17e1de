//! `wmic os` and `wmic computersystem`: the few properties that tell what the host is, as a list or as a table. Their
//! names are the same in every language. No I/O.

use chrono::{DateTime, FixedOffset, NaiveDateTime};

use super::page::{Page, What};
use super::prompt::dotted;

/// Properties of the classes of `wmic os` and `wmic computersystem` that are used.
const PROPERTIES: [&str; 14] = [
    "LocalDateTime",
    "LastBootUpTime",
    "CSName",
    "CSDVersion",
    "Version",
    "BuildNumber",
    "ProductType",
    "Caption",
    "Domain",
    "DomainRole",
    "PartOfDomain",
    "DNSHostName",
    "CurrentTimeZone",
    "OSLanguage",
];

const TIMES: [&str; 2] = ["LocalDateTime", "LastBootUpTime"];

/// Properties that products and the firmware have as well.
const OF_OTHERS: [&str; 3] = ["Caption", "Version", "BuildNumber"];

const NOT_OF_SYSTEM: &str = "nothing beside it says that this is the version of the system";

type Properties = Vec<(&'static str, String)>;

/// Takes lines `name=value`, and tables of one row.
pub(super) fn take(page: &mut Page) -> Properties {
    let mut found = tables(page);
    found.extend(lists(page));
    found.retain(|(_, value)| !value.is_empty());
    found
}

/// Whether these properties of one object are of the system: nothing else has a domain role or a time of its start, nor
/// a version that ends with its build.
fn is_of_system(properties: &[(&'static str, String)]) -> bool {
    let of = |wanted| properties.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    let build = of("BuildNumber").and_then(|build| build.parse::<u32>().ok());
    let has_build = build.is_some() && of("Version").and_then(dotted).map(|[.., build]| build) == build;
    has_build || properties.iter().any(|(name, _)| !OF_OTHERS.contains(name) && !["CSName", "Domain"].contains(name))
}

/// `Version=6.0.6002`. Properties of an object come in the order of their names: it ends where that is broken, or where
/// other lines stand between.
fn lists(page: &mut Page) -> Properties {
    let lines = page.free().filter_map(|(index, line)| {
        let (name, value) = line.text.trim().split_once('=')?;
        let name = PROPERTIES.iter().find(|known| **known == name)?;
        Some((index, (*name, value.trim().to_owned())))
    });
    let mut objects: Vec<Vec<(usize, (&'static str, String))>> = Vec::new();
    for (index, property) in lines {
        let goes_on = objects.last().is_some_and(|object| {
            object.last().is_some_and(|(last, (name, _))| {
                index <= last + 3 && name.to_ascii_lowercase() < property.0.to_ascii_lowercase()
            })
        });
        match objects.last_mut().filter(|_| goes_on) {
            Some(object) => object.push((index, property)),
            None => objects.push(vec![(index, property)]),
        }
    }
    let mut found = Vec::new();
    for object in objects {
        let (lines, mut properties): (Vec<usize>, Properties) = object.into_iter().unzip();
        let is_of_system = is_of_system(&properties);
        let is_used = |name: &str| is_of_system || !OF_OTHERS.contains(&name);
        for (index, (name, _)) in lines.into_iter().zip(&properties) {
            if is_used(name) {
                page.take(index, What::SystemProperties);
            } else {
                page.refuse(index, NOT_OF_SYSTEM);
            }
        }
        properties.retain(|(name, _)| is_used(name));
        found.extend(properties);
    }
    found
}

/// `wmic os get CSName,Version`: names in columns, and below them the row of the one system that there is.
fn tables(page: &mut Page) -> Properties {
    let mut found = Vec::new();
    for heading in 0..page.lines.len() {
        if !page.lines[heading].is_free() {
            continue;
        }
        let Some(columns) = columns(&page.lines[heading].text) else { continue };
        let Some(row) = (heading + 1..page.lines.len()).find(|index| !page.lines[*index].is_blank()) else { continue };
        let Some(cells) = Some(&page.lines[row]).filter(|row| row.is_free()).and_then(|row| cells(&columns, &row.text))
        else {
            continue;
        };
        found.extend(cells);
        page.take(heading, What::SystemProperties);
        page.take(row, What::SystemProperties);
    }
    found
}

/// Each property with the character at which its column starts.
fn columns(heading: &str) -> Option<Vec<(&'static str, usize)>> {
    let mut columns: Vec<(&str, usize)> = Vec::new();
    for word in heading.split_whitespace() {
        let name = PROPERTIES.iter().find(|known| **known == word)?;
        let from = columns.last().map_or(0, |(name, at)| at + name.len());
        columns.push((name, from + heading.get(from..)?.find(word)?));
    }
    (!columns.is_empty()).then_some(columns)
}

/// `None`: the row does not stand below its columns, or is not of the system.
fn cells(columns: &[(&'static str, usize)], row: &str) -> Option<Properties> {
    let characters: Vec<char> = row.chars().collect();
    let mut found = Vec::new();
    for (index, (name, at)) in columns.iter().enumerate() {
        if *at > 0 && characters.get(at - 1).is_some_and(|character| *character != ' ') {
            return None;
        }
        let from = (*at).min(characters.len());
        let to = columns.get(index + 1).map_or(characters.len(), |(_, at)| *at).clamp(from, characters.len());
        let cell: String = characters[from..to].iter().collect();
        found.push((*name, cell.trim().to_owned()));
    }
    // A word that is a name of a property may stand anywhere: one column alone must have the value of its kind.
    let is_time = |(name, cell): &(&str, String)| TIMES.contains(name) && wmi_time(cell).is_some();
    ((columns.len() > 1 && is_of_system(&found)) || found.iter().any(is_time)).then_some(found)
}

/// `20081019143012.123000+120`: local time, and minutes that it is ahead of UTC.
pub(super) fn wmi_time(text: &str) -> Option<DateTime<FixedOffset>> {
    let (time, rest) = text.split_at_checked(14)?;
    let (_, offset) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    let time = NaiveDateTime::parse_from_str(time, "%Y%m%d%H%M%S").ok()?;
    let minutes: i32 = offset.parse().ok()?;
    time.and_local_timezone(FixedOffset::east_opt(minutes.checked_mul(60)?)?).single()
}
