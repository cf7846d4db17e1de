//! `sc query`, `sc queryex` and `sc qc`: blocks of one service each, in which the labels are in the language of the system
//! and the codes are not.
//!
//! A block starts with a label and the key name of the service (`SERVICE_NAME: DNS`). Below it, lines `label : value` are
//! told apart by the shape of their value (`4  RUNNING`, `1066  (0x42a)`, `0x0`) and their order. A line whose order was
//! lost is used only where a whole block of the same file shows what its label means. No I/O.

use std::collections::BTreeMap;

use rules::facts::{ServiceState, StartMode};
use rules::text::Text;

use super::page::{Page, What};

/// What blocks of one service tell. Everything but the name may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServiceBlock {
    pub(super) name: Text,
    pub(super) display_name: Option<Text>,
    pub(super) state: Option<ServiceState>,
    pub(super) exit_code: Option<u32>,
    pub(super) service_exit_code: Option<u32>,
    /// 0: it has no process.
    pub(super) pid: Option<u32>,
    /// The type says that it is a driver.
    pub(super) is_driver: bool,
    pub(super) configuration: Option<Configuration>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Configuration {
    pub(super) start: StartMode,
    pub(super) delayed: bool,
    pub(super) image_path: Option<Text>,
    pub(super) account: Option<Text>,
    pub(super) depends_on: Vec<Text>,
}

const STATES: [(&str, ServiceState); 7] = [
    ("STOPPED", ServiceState::Stopped),
    ("START_PENDING", ServiceState::StartPending),
    ("STOP_PENDING", ServiceState::StopPending),
    ("RUNNING", ServiceState::Running),
    ("CONTINUE_PENDING", ServiceState::ContinuePending),
    ("PAUSE_PENDING", ServiceState::PausePending),
    ("PAUSED", ServiceState::Paused),
];

const START_MODES: [(&str, StartMode); 5] = [
    ("BOOT_START", StartMode::Boot),
    ("SYSTEM_START", StartMode::System),
    ("AUTO_START", StartMode::Auto),
    ("DEMAND_START", StartMode::Manual),
    ("DISABLED", StartMode::Disabled),
];

/// One line of a block.
#[derive(Debug)]
struct Field {
    index: usize,
    label: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// `4  RUNNING`: the number and what follows.
    Coded(u32, String),
    /// `1066  (0x42a)`.
    Exit(u32),
    /// `0x7d0`.
    Hexadecimal,
    Number(u32),
    /// Controls in brackets, below the state.
    Controls,
    Text(String),
}

#[derive(Debug)]
struct Block {
    name_line: usize,
    name: Text,
    display: Option<(usize, Text)>,
    fields: Vec<Field>,
}

/// Takes all blocks of a page.
pub(super) fn blocks(page: &mut Page) -> Vec<ServiceBlock> {
    let mut headings = HeadingLabels::default();
    // Once for the labels alone: a block of which a part is missing may stand before the whole one that explains it.
    find(page, &mut headings);
    let blocks = find(page, &mut headings);
    let labels = Labels::learn(&blocks);
    let mut services = Vec::with_capacity(blocks.len());
    for block in &blocks {
        services.extend(understand(page, block, &labels));
    }
    services
}

/// A heading line waits for a field below it, which proves what it is.
#[derive(Debug)]
struct Heading {
    index: usize,
    /// Its place among the lines that no other reader took.
    order: usize,
    label: String,
    value: String,
    indent: usize,
}

/// Which labels stand before key names, and which before display names.
#[derive(Debug)]
struct HeadingLabels {
    names: Vec<String>,
    displays: Vec<String>,
}

impl Default for HeadingLabels {
    fn default() -> Self {
        Self { names: vec!["SERVICE_NAME".to_owned()], displays: vec!["DISPLAY_NAME".to_owned()] }
    }
}

fn find(page: &mut Page, labels: &mut HeadingLabels) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut headings: Vec<Heading> = Vec::new();
    let mut open: Option<(Block, usize)> = None;
    let mut banners = Vec::new();
    for (order, (index, line)) in page.free().enumerate() {
        let text = line.text.trim();
        // "[SC] QueryServiceConfig SUCCESS"; with a number it tells of a failure, which is listed.
        if text.starts_with("[SC]") && !text.bytes().any(|byte| byte.is_ascii_digit()) {
            banners.push(index);
            continue;
        }
        if text.starts_with('(') && text.ends_with(')') {
            if let Some((block, _)) = &mut open {
                block.fields.push(Field { index, label: String::new(), value: Value::Controls });
            }
            continue;
        }
        let Some((label, value)) = split(text) else { continue };
        let indent = line.indent();
        let parsed = Value::of(value);
        // Labels of fields are filled up with spaces, those of headings are not.
        let is_direct = !text[label.len()..].starts_with(char::is_whitespace);
        let is_inside = open.as_ref().is_some_and(|(_, outer)| indent > *outer);
        let may_name = matches!(parsed, Value::Text(_) | Value::Number(_) | Value::Coded(..)) && !value.is_empty();
        if is_direct && !is_inside {
            blocks.extend(open.take().map(|(block, _)| block));
            if may_name && !label.is_empty() && !label.contains(char::is_whitespace) {
                headings.push(Heading { index, order, label: label.to_owned(), value: value.to_owned(), indent });
                headings.drain(..headings.len().saturating_sub(2));
            }
            continue;
        }
        // "Ces services Windows sont démarrés :", behind the block.
        if !is_inside && value.is_empty() && label.contains(char::is_whitespace) {
            continue;
        }
        if open.is_none() && matches!(parsed, Value::Coded(..)) {
            open = start(&headings, labels);
            headings.clear();
        }
        let Some((block, _)) = &mut open else { continue };
        let repeats = !label.is_empty() && block.fields.iter().any(|field| field.label == label);
        if repeats {
            // The heading of the next block is missing: its lines belong to nobody.
            blocks.extend(open.take().map(|(block, _)| block));
            continue;
        }
        block.fields.push(Field { index, label: label.to_owned(), value: parsed });
    }
    blocks.extend(open.map(|(block, _)| block));
    for index in banners {
        page.take(index, What::ServiceControl);
    }
    blocks
}

/// The block of the headings right above its first field. `None`: they do not say the key name for certain.
fn start(headings: &[Heading], labels: &mut HeadingLabels) -> Option<(Block, usize)> {
    let HeadingLabels { names, displays } = labels;
    let is_name = |heading: &Heading, displays: &[String]| !displays.contains(&heading.label);
    let (name, display) = match headings {
        [name, display] if are_pair(name, display, names, displays) => (name, Some(display)),
        [name, display]
            if display.order == name.order + 1
                && name.label != display.label
                && is_name(name, displays)
                && !names.contains(&display.label) =>
        {
            remember(names, &name.label);
            remember(displays, &display.label);
            (name, Some(display))
        }
        [.., name] if names.contains(&name.label) => (name, None),
        // A single block in another language: a key name has no spaces, most display names have.
        [.., name] if is_name(name, displays) && !name.value.contains(' ') => (name, None),
        _ => return None,
    };
    let block = Block {
        name_line: name.index,
        name: Text::new(&name.value),
        display: display.map(|display| (display.index, Text::new(&display.value))),
        fields: Vec::new(),
    };
    Some((block, name.indent))
}

/// Whether both labels are known for what they are, so that lines of other commands may stand between.
fn are_pair(name: &Heading, display: &Heading, names: &[String], displays: &[String]) -> bool {
    names.contains(&name.label) && displays.contains(&display.label) && display.order <= name.order + 4
}

fn remember(labels: &mut Vec<String>, label: &str) {
    if !labels.iter().any(|known| known == label) {
        labels.push(label.to_owned());
    }
}

/// `label : value` at the first colon behind which a space or nothing comes.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.match_indices([':', '：']).find(|(at, colon)| {
        let behind = &text[at + colon.len()..];
        behind.is_empty() || behind.starts_with([' ', '\t'])
    })?;
    let (label, value) = text.split_at(at.0);
    Some((label.trim(), value[at.1.len()..].trim()))
}

impl Value {
    fn of(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { return Self::Text(String::new()) };
        if let Some(second) = second {
            let rest = text[first.len()..].trim();
            if let Some(hexadecimal) = second.strip_prefix("(0x").and_then(|word| word.strip_suffix(')')) {
                let number = number(first);
                // Both forms of the number must agree; a line of which a part was lost is none.
                if number.is_some() && number == u32::from_str_radix(hexadecimal, 16).ok() {
                    return number.map_or(Self::Hexadecimal, Self::Exit);
                }
            }
            let is_word = second.chars().next().is_some_and(char::is_alphabetic) && !second.contains(['.', '\\']);
            let is_code = first.len() <= 3 && (first.starts_with(|c: char| c.is_ascii_digit()) || second.contains('_'));
            if let (Ok(number), true) = (u32::from_str_radix(first, 16), is_word && is_code) {
                return Self::Coded(number, rest.to_owned());
            }
            return Self::Text(text.to_owned());
        }
        if first.starts_with("0x") {
            return Self::Hexadecimal;
        }
        first.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Number)
    }
}

/// Decimal; some codes are printed with a sign.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

/// What the labels of a file mean, as its whole blocks show.
#[derive(Debug)]
struct Labels {
    exit: Vec<String>,
    service_exit: Vec<String>,
    pid: Vec<String>,
}

impl Labels {
    fn learn(blocks: &[Block]) -> Self {
        let mut counts: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for block in blocks {
            let exits: Vec<&str> =
                block.fields.iter().filter(|f| matches!(f.value, Value::Exit(_))).map(|f| f.label.as_str()).collect();
            if let [exit, service_exit] = exits[..] {
                *counts.entry((exit, 0)).or_default() += 1;
                *counts.entry((service_exit, 1)).or_default() += 1;
            }
            // The last number of a block with exit codes and two hexadecimal values is the PID.
            let hexadecimal = block.fields.iter().filter(|field| field.value == Value::Hexadecimal).count();
            let last = block.fields.iter().rfind(|field| matches!(field.value, Value::Number(_)));
            if let (2, 2, Some(field)) = (exits.len(), hexadecimal, last) {
                *counts.entry((field.label.as_str(), 2)).or_default() += 1;
            }
        }
        let of = |place: usize, english: &str| {
            let learned = counts.keys().filter(|(_, at)| *at == place).map(|(label, _)| (*label).to_owned());
            learned.chain([english.to_owned()]).collect()
        };
        Self { exit: of(0, "WIN32_EXIT_CODE"), service_exit: of(1, "SERVICE_EXIT_CODE"), pid: of(2, "PID") }
    }
}

fn understand(page: &mut Page, block: &Block, labels: &Labels) -> Option<ServiceBlock> {
    let mut service = ServiceBlock { name: block.name.clone(), ..ServiceBlock::default() };
    let mut taken = vec![block.name_line];
    if let Some((index, display)) = &block.display {
        service.display_name = Some(display.clone());
        taken.push(*index);
    }
    let has = |wanted: fn(&Value) -> bool| block.fields.iter().any(|field| wanted(&field.value));
    let is_query = has(|value| matches!(value, Value::Exit(_) | Value::Hexadecimal | Value::Controls));
    let coded: Vec<&Field> = block.fields.iter().filter(|field| matches!(field.value, Value::Coded(..))).collect();
    service.is_driver = coded
        .first()
        .is_some_and(|field| matches!(&field.value, Value::Coded(1 | 2 | 4 | 8, word) if word.contains("DRIVER")));
    service.state = coded.iter().find_map(|field| state(&field.value)).or_else(|| match coded[..] {
        // Words of another language: the state is the second code, behind the type.
        [_, second] if is_query => state_number(&second.value),
        _ => None,
    });
    if !is_query {
        service.configuration = configuration(block, &coded, &mut taken);
        service.display_name = service.display_name.or_else(|| display_of_configuration(block));
    }
    for field in &block.fields {
        match &field.value {
            Value::Coded(..) if service.state.is_some() || service.configuration.is_some() => {}
            Value::Exit(code) if labels.exit.contains(&field.label) => service.exit_code = Some(*code),
            Value::Exit(code) if labels.service_exit.contains(&field.label) => service.service_exit_code = Some(*code),
            Value::Number(pid) if is_query && labels.pid.contains(&field.label) => service.pid = Some(*pid),
            Value::Hexadecimal | Value::Controls => {}
            // FLAGS, which are empty or words such as RUNS_IN_SYSTEM_PROCESS.
            Value::Text(text) if is_query && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => {}
            _ => continue,
        }
        taken.push(field.index);
    }
    if service.state.is_none() && service.configuration.is_none() {
        return None;
    }
    for index in taken {
        page.take(index, What::ServiceControl);
    }
    Some(service)
}

fn state(value: &Value) -> Option<ServiceState> {
    let Value::Coded(number, words) = value else { return None };
    let (name, state) = *STATES.get(usize::try_from(*number).ok()?.checked_sub(1)?)?;
    (words.split_whitespace().next() == Some(name)).then_some(state)
}

fn state_number(value: &Value) -> Option<ServiceState> {
    let Value::Coded(number, _) = value else { return None };
    STATES.get(usize::try_from(*number).ok()?.checked_sub(1)?).map(|(_, state)| *state)
}

/// `sc qc`: type, start mode and error control as codes, then the path; group, tag, display name, dependencies, account.
fn configuration(block: &Block, coded: &[&Field], taken: &mut Vec<usize>) -> Option<Configuration> {
    let mode_of = |value: &Value| {
        let Value::Coded(number, words) = value else { return None };
        let (name, mode) = *START_MODES.get(usize::try_from(*number).ok()?)?;
        let mut words = words.split_whitespace();
        (words.next() == Some(name)).then(|| (mode, words.next() == Some("(DELAYED)")))
    };
    let by_position = || match coded {
        [_, Field { value: Value::Coded(number, words), .. }, _] => {
            let (_, mode) = *START_MODES.get(usize::try_from(*number).ok()?)?;
            Some((mode, words.ends_with(')')))
        }
        _ => None,
    };
    let (start, delayed) = coded.iter().find_map(|field| mode_of(&field.value)).or_else(by_position)?;
    let rest: Vec<&Field> = block.fields.iter().skip_while(|f| !matches!(f.value, Value::Coded(..))).collect();
    let rest: Vec<&Field> = rest.into_iter().filter(|field| !matches!(field.value, Value::Coded(..))).collect();
    let mut configuration = Configuration { start, delayed, image_path: None, account: None, depends_on: Vec::new() };
    // Path, group, tag, display name and dependencies, in this order; the account is the last. Lines of more
    // dependencies have no label.
    let labelled: Vec<&&Field> = rest.iter().filter(|field| !field.label.is_empty()).collect();
    let is_whole = labelled.len() == 6 && matches!(labelled[2].value, Value::Number(_));
    if !is_whole {
        return Some(configuration);
    }
    let text = |field: &Field| match &field.value {
        Value::Text(text) if !text.is_empty() => Some(Text::new(text)),
        _ => None,
    };
    configuration.image_path = text(labelled[0]);
    configuration.account = text(labelled[5]);
    let dependencies = rest.iter().skip_while(|field| field.index != labelled[4].index);
    let dependencies = dependencies.take_while(|field| field.index != labelled[5].index);
    configuration.depends_on = dependencies.filter_map(|field| text(field)).collect();
    taken.extend(rest.iter().map(|field| field.index));
    Some(configuration)
}

fn display_of_configuration(block: &Block) -> Option<Text> {
    let labelled: Vec<&Field> = block
        .fields
        .iter()
        .filter(|field| !field.label.is_empty() && !matches!(field.value, Value::Coded(..)))
        .collect();
    match labelled[..] {
        [_, _, Field { value: Value::Number(_), .. }, display, _, _] => match &display.value {
            Value::Text(text) if !text.is_empty() => Some(Text::new(text)),
            Value::Number(number) => Some(Text::new(&number.to_string())),
            _ => None,
        },
        _ => None,
    }
}
