//! `wmic qfe`: updates as a table, as `/format:csv` and as a list. Names of properties are the same in every language.
//! No I/O.

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use rules::text::Text;

use super::page::{Page, What};
use crate::collect::reading::filetime;

/// An update as one list names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hotfix {
    pub(super) id: Text,
    pub(super) title: Text,
    pub(super) installed_by: Option<Text>,
    /// As printed.
    installed_on: String,
    pub(super) installed_at: Option<DateTime<Utc>>,
    /// The host that the list is of.
    pub(super) host: Option<Text>,
}

const UPDATE_PROPERTIES: [&str; 11] = [
    "Caption",
    "CSName",
    "Description",
    "FixComments",
    "HotFixID",
    "InstallDate",
    "InstalledBy",
    "InstalledOn",
    "Name",
    "ServicePackInEffect",
    "Status",
];

const NO_UPDATE: &str = "it names a file of an update, not an update";

/// Takes the updates of a page.
pub(super) fn hotfixes(page: &mut Page) -> Vec<Hotfix> {
    let mut found = table_rows(page);
    found.extend(list_blocks(page));
    resolve_dates(&mut found);
    found
}

/// `KB948609`, `KB925398_WM64`, `Q147222`, or the identifier of a package that has no article.
pub(super) fn is_update_id(text: &str) -> bool {
    let digits = text.strip_prefix("KB").or_else(|| text.strip_prefix("kb")).or_else(|| text.strip_prefix('Q'));
    let count = digits.map_or(0, |digits| digits.bytes().take_while(u8::is_ascii_digit).count());
    let is_guid = text.len() == 38 && text.starts_with('{') && text.ends_with('}');
    (5..=8).contains(&count) || is_guid
}

enum Header {
    /// The characters at which the columns start.
    Columns(Vec<(String, usize)>),
    Fields(Vec<String>),
}

impl Header {
    fn of(line: &str) -> Option<Self> {
        let is_property = |word: &str| UPDATE_PROPERTIES.contains(&word) || word == "Node";
        if line.contains(',') {
            let fields: Vec<String> = line.trim().split(',').map(str::to_owned).collect();
            let is_header = fields.iter().all(|field| is_property(field)) && fields.iter().any(|f| f == "HotFixID");
            return is_header.then_some(Self::Fields(fields));
        }
        let mut columns = Vec::new();
        for word in line.split_whitespace() {
            if !is_property(word) {
                return None;
            }
            let from = columns.last().map_or(0, |(word, at): &(String, usize)| at + word.len());
            let at = from + line.get(from..)?.find(word)?;
            columns.push((word.to_owned(), at));
        }
        columns.iter().any(|(word, _)| word == "HotFixID").then_some(Self::Columns(columns))
    }

    fn row(&self, line: &str) -> Option<Result<Hotfix, &'static str>> {
        match self {
            Self::Columns(columns) => row_of_columns(columns, line),
            Self::Fields(names) => {
                let fields: Vec<&str> = line.trim().split(',').collect();
                let is_row = fields.len() == names.len() && names.len() > 1;
                is_row.then(|| hotfix(|name| names.iter().position(|n| n == name).map_or("", |at| fields[at])))
            }
        }
    }
}

fn row_of_columns(columns: &[(String, usize)], line: &str) -> Option<Result<Hotfix, &'static str>> {
    let characters: Vec<char> = line.chars().collect();
    let is_aligned =
        columns.iter().all(|(_, at)| *at == 0 || characters.get(at - 1).is_none_or(|character| *character == ' '));
    if is_aligned {
        let cell = |name: &str| {
            let Some(column) = columns.iter().position(|(word, _)| word == name) else { return String::new() };
            let from = columns[column].1.min(characters.len());
            let to = columns.get(column + 1).map_or(characters.len(), |(_, at)| *at).clamp(from, characters.len());
            characters[from..to].iter().collect::<String>().trim().to_owned()
        };
        let read = hotfix(cell);
        if read.is_ok() || cell("HotFixID").starts_with("File ") {
            return Some(read);
        }
    }
    // Columns were moved: the identifier is known by its shape, the rest is not.
    let mut ids = line.split_whitespace().filter(|word| is_update_id(word));
    let (Some(id), None) = (ids.next(), ids.next()) else { return None };
    Some(Ok(Hotfix { id: Text::new(id), ..Hotfix::default() }))
}

fn hotfix<S: AsRef<str>>(cell: impl Fn(&'static str) -> S) -> Result<Hotfix, &'static str> {
    let of = |name| cell(name).as_ref().trim().to_owned();
    let id = of("HotFixID");
    if !is_update_id(&id) {
        return Err(NO_UPDATE);
    }
    let text = |name| Some(of(name)).filter(|text| !text.is_empty()).map(Text::from);
    Ok(Hotfix {
        id: Text::from(id),
        title: text("Description").unwrap_or_default(),
        installed_by: text("InstalledBy"),
        installed_on: of("InstalledOn"),
        installed_at: None,
        host: text("CSName").or_else(|| text("Node")),
    })
}

fn table_rows(page: &mut Page) -> Vec<Hotfix> {
    let mut found = Vec::new();
    let mut header = None;
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        if let Some(read) = Header::of(&page.lines[index].text) {
            header = Some(read);
            page.take(index, What::Hotfixes);
            continue;
        }
        match header.as_ref().and_then(|header: &Header| header.row(&page.lines[index].text)) {
            None => {}
            Some(Ok(row)) => {
                page.take(index, What::Hotfixes);
                found.push(row);
            }
            Some(Err(why)) => page.refuse(index, why),
        }
    }
    found
}

/// `HotFixID=KB948609`. A block ends where one of its properties comes again.
fn list_blocks(page: &mut Page) -> Vec<Hotfix> {
    let mut found = Vec::new();
    let mut block: Vec<(usize, String, String)> = Vec::new();
    let lines: Vec<(usize, String, String)> = page
        .free()
        .filter_map(|(index, line)| {
            let (name, value) = line.text.trim().split_once('=')?;
            UPDATE_PROPERTIES.contains(&name).then(|| (index, name.to_owned(), value.to_owned()))
        })
        .collect();
    for line in lines {
        let is_apart = block.last().is_some_and(|(index, ..)| line.0 > index + 3);
        if is_apart || block.iter().any(|(_, name, _)| *name == line.1) {
            end_block(page, &std::mem::take(&mut block), &mut found);
        }
        block.push(line);
    }
    end_block(page, &block, &mut found);
    found
}

fn end_block(page: &mut Page, block: &[(usize, String, String)], found: &mut Vec<Hotfix>) {
    if !block.iter().any(|(_, name, _)| name == "HotFixID") {
        return;
    }
    let read = hotfix(|name| block.iter().find(|(_, n, _)| n == name).map_or("", |(_, _, value)| value.as_str()));
    for (index, name, _) in block {
        match read {
            Err(why) if name == "HotFixID" => page.refuse(*index, why),
            Ok(_) | Err(_) => page.take(*index, What::Hotfixes),
        }
    }
    found.extend(read.ok());
}

/// Dates of one list have one order. It is known where a number says so that can be no month; where none does, the dates
/// stay unknown.
fn resolve_dates(hotfixes: &mut [Hotfix]) {
    let dates: Vec<[u32; 3]> = hotfixes.iter().filter_map(|hotfix| parts(&hotfix.installed_on)).collect();
    let day_first = dates.iter().any(|[first, ..]| (13..=31).contains(first));
    let month_first = dates.iter().any(|[_, second, _]| (13..=31).contains(second));
    let order = match (day_first, month_first) {
        (true, false) => Order::DayFirst,
        (false, true) => Order::MonthFirst,
        _ => Order::NotTold,
    };
    for hotfix in hotfixes {
        hotfix.installed_at = date(&hotfix.installed_on, order);
    }
}

#[derive(Clone, Copy)]
enum Order {
    DayFirst,
    MonthFirst,
    NotTold,
}

/// `10/14/2008`, `14.10.2008`.
fn parts(text: &str) -> Option<[u32; 3]> {
    let mut numbers = text.split(['/', '.', '-']).map(|number| number.trim().parse().ok());
    let parts = [numbers.next()??, numbers.next()??, numbers.next()??];
    (numbers.next().is_none() && (1990..2100).contains(&parts[2])).then_some(parts)
}

fn date(text: &str, order: Order) -> Option<DateTime<Utc>> {
    if text.len() == 16
        && let Ok(ticks) = u64::from_str_radix(text, 16)
    {
        return filetime(ticks);
    }
    if let Some(date) = ["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d"]
        .iter()
        .filter(|_| text.len() >= 8 && text.starts_with(['1', '2']))
        .find_map(|format| NaiveDate::parse_from_str(text, format).ok())
        .filter(|date| (1990..2100).contains(&date.year()))
    {
        return midnight(date);
    }
    let [first, second, year] = parts(text)?;
    let (month, day) = match order {
        Order::DayFirst => (second, first),
        Order::MonthFirst => (first, second),
        Order::NotTold if first == second => (first, second),
        Order::NotTold => return None,
    };
    midnight(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?)
}

/// Midnight UTC of the day: the list holds no time.
fn midnight(date: NaiveDate) -> Option<DateTime<Utc>> {
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}
