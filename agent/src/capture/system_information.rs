//! `systeminfo`: labels and values, of which the value of the system's version alone has a shape that no other has. The
//! lines above it are the name of the system and of the host. No I/O.

use rules::text::Text;

use super::hotfixes::is_update_id;
use super::page::{Page, What};
use super::prompt::{dotted, is_host_name};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SystemInformation {
    pub(super) host: Option<Text>,
    pub(super) os_name: Option<Text>,
    pub(super) version: [u32; 3],
    pub(super) service_pack: Option<Text>,
    pub(super) domain: Option<Text>,
}

/// Most lines of the block behind the version.
const MOST_LINES: usize = 2000;

pub(super) fn take(page: &mut Page) -> (Vec<SystemInformation>, Vec<(Text, Text)>) {
    let mut systems = Vec::new();
    for index in 0..page.lines.len() {
        if page.lines[index].is_free()
            && let Some(system) = list(page, index).or_else(|| table(page, index))
        {
            systems.push(system);
        }
    }
    (systems, updates(page))
}

/// `5.2.3790 Service Pack 2 Build 3790`: the build comes twice, whatever the word between is.
fn version(value: &str) -> Option<([u32; 3], Option<Text>)> {
    let mut words = value.split_whitespace();
    let version = dotted(words.next()?)?;
    let rest: Vec<&str> = words.collect();
    if rest.last()?.parse() != Ok(version[2]) || rest.len() > 8 {
        return None;
    }
    // "Service Pack" is a name, the same in all languages; where there is none, a word says so.
    let service_pack = rest.windows(3).find(|words| words[0] == "Service" && words[1] == "Pack");
    let service_pack = service_pack.filter(|words| words[2].bytes().all(|byte| byte.is_ascii_digit()));
    Some((version, service_pack.map(|words| Text::new(&words.join(" ")))))
}

struct Labelled {
    value: String,
    /// Where the value starts, in columns of a console.
    column: usize,
}

fn labelled(line: &str) -> Option<Labelled> {
    let (label, rest) = line.split_once([':', '：'])?;
    let value = rest.trim();
    if label.trim().is_empty() || value.is_empty() {
        return None;
    }
    let before = &line[..line.len() - rest.trim_start().len()];
    Some(Labelled { value: value.to_owned(), column: width(before) })
}

/// The value that starts at that column, behind a label that may hold colons itself.
fn value_at(line: &str, column: usize) -> Option<String> {
    let mut reached = 0;
    let at = line.char_indices().find_map(|(at, character)| {
        let is_there = reached == column;
        reached += width_of(character);
        is_there.then_some(at)
    })?;
    let (label, value) = line.split_at(at);
    let is_parted = label.ends_with(' ') && label.trim_end().ends_with([':', '：']) && !value.starts_with(' ');
    is_parted.then(|| value.trim().to_owned())
}

/// Where characters are padded otherwise: the value behind the first colon, if it starts about there.
fn value_near(line: &str, column: usize) -> Option<String> {
    labelled(line).filter(|found| found.column.abs_diff(column) <= 12).map(|found| found.value)
}

/// Columns that a text takes in a console, where East Asian characters take two.
fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

fn width_of(character: char) -> usize {
    if ('\u{1100}'..='\u{ffe6}').contains(&character) { 2 } else { 1 }
}

fn list(page: &mut Page, index: usize) -> Option<SystemInformation> {
    let line = labelled(&page.lines[index].text)?;
    let (version, service_pack) = version(&line.value)?;
    // Other languages pad by characters, so that the column is that of the line itself or one near it.
    let is_beside = |other: &Labelled| other.column.abs_diff(line.column) <= 12;
    let above = |at: usize| page.lines.get(at).filter(|line| line.is_free());
    let value_above = |distance: usize| {
        let other = labelled(&above(index.checked_sub(distance)?)?.text)?;
        is_beside(&other).then_some(other.value)
    };
    let os_name = value_above(1).filter(|name| name.contains("Windows"));
    let host = os_name.as_ref().and_then(|_| value_above(2)).filter(|name| is_host_name(name));
    for distance in 0..=2 {
        if [true, os_name.is_some(), host.is_some()][distance] {
            page.take(index - distance, What::SystemInformation);
        }
    }
    let domain = rest(page, index, line.column);
    Some(SystemInformation {
        host: host.map(Text::from),
        os_name: os_name.map(Text::from),
        version,
        service_pack,
        domain: domain.map(Text::from),
    })
}

/// Takes the lines below, which are not used but for the domain: it stands above the server that logged on, `\\DC1`.
fn rest(page: &mut Page, index: usize, column: usize) -> Option<String> {
    let (mut domain, mut last): (Option<String>, Option<String>) = (None, None);
    for at in index + 1..page.lines.len().min(index + MOST_LINES) {
        let line = &page.lines[at];
        if line.is_blank() || line.taken == Some(What::Prompt) {
            break;
        }
        if !line.is_free() {
            continue;
        }
        let is_continuation = width(&line.text[..line.text.len() - line.text.trim_start().len()]) >= column;
        if is_continuation {
            if !line.text.trim().contains("]: KB") && !line.text.trim().contains("]: Q") {
                page.take(at, What::SystemInformation);
            }
            continue;
        }
        let Some(found) = value_at(&line.text, column).or_else(|| value_near(&line.text, column)) else {
            // A label without a value.
            if line.text.trim_end().ends_with(':') {
                page.take(at, What::SystemInformation);
                continue;
            }
            break;
        };
        if found.starts_with(r"\\") && domain.is_none() {
            domain = last.take();
        }
        last = Some(found);
        page.take(at, What::SystemInformation);
    }
    domain.filter(|domain| domain.contains('.') && is_host_name(domain))
}

/// `/fo csv`: a line of quoted values.
fn table(page: &mut Page, index: usize) -> Option<SystemInformation> {
    let text = page.lines[index].text.trim().to_owned();
    let fields: Vec<&str> = text.strip_prefix('"')?.strip_suffix('"')?.split("\",\"").collect();
    let at = fields.iter().position(|field| version(field).is_some())?;
    let (version, service_pack) = version(fields[at])?;
    let field = |distance: usize| at.checked_sub(distance).map(|at| fields[at]);
    let os_name = field(1).filter(|name| name.contains("Windows")).map(Text::new);
    let host = field(2).filter(|name| os_name.is_some() && is_host_name(name)).map(Text::new);
    let server = fields.iter().position(|field| field.starts_with(r"\\"));
    let domain = server.and_then(|at| at.checked_sub(1)).map(|at| fields[at]).filter(|domain| domain.contains('.'));
    let system = SystemInformation { host, os_name, version, service_pack, domain: domain.map(Text::new) };
    // Its list of updates is read by [`updates`], which takes the line as well.
    page.take_headings(index, 1);
    if !text.contains("]: KB") {
        page.take(index, What::SystemInformation);
    }
    Some(system)
}

/// `[01]: KB948609`, in the list and in the table, with what stands behind it.
fn updates(page: &mut Page) -> Vec<(Text, Text)> {
    let mut updates = Vec::new();
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        let found: Vec<(Text, Text)> = page.lines[index].text.split('[').filter_map(update).collect();
        if !found.is_empty() {
            page.take(index, What::SystemInformation);
            updates.extend(found);
        } else if file_of_update(page.lines[index].text.trim()) {
            page.refuse(index, "it names a file of an update, not an update");
        }
    }
    updates
}

/// `01]: KB911564 - Update`.
fn update(text: &str) -> Option<(Text, Text)> {
    let (number, rest) = text.split_once("]: ")?;
    number.parse::<u32>().ok()?;
    let rest = rest.split(['"', ',']).next().unwrap_or_default().trim();
    let (id, title) = rest.split_once(" - ").unwrap_or((rest, ""));
    (is_update_id(id) && !id.starts_with('{')).then(|| (Text::new(id), Text::new(title)))
}

fn file_of_update(text: &str) -> bool {
    text.starts_with('[') && text.split_once("]: ").is_some_and(|(_, rest)| rest.starts_with("File "))
}
