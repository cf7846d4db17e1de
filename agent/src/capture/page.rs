//! One file as lines, and which of them were understood as what. Every reader takes the lines whose shape it knows and
//! leaves the others; what nobody took is listed. So it does not matter in which order commands were collected, nor
//! whether their lines stand mixed.
//!
//! Invariant: a line has the number that an editor shows. No I/O.

use rules::text::Text;

use super::encoding;

/// What a line was understood as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Sockets of `netstat`.
    Netstat,
    /// Sockets of TCPVcon.
    Tcpvcon,
    /// Processes of `tasklist`.
    Tasklist,
    /// Services of `sc query`, `sc queryex` and `sc qc`.
    ServiceControl,
    /// Started services of `net start`.
    StartedServices,
    /// Updates of `wmic qfe`.
    Hotfixes,
    /// Properties of other classes of `wmic`.
    SystemProperties,
    /// `systeminfo`.
    SystemInformation,
    /// Keys and values of `reg query`.
    Registry,
    /// Port ranges of `netsh`.
    PortRanges,
    /// `ver` and `hostname`.
    Version,
    /// The line on which a command was typed.
    Prompt,
    /// Titles and headings of tables.
    Heading,
}

#[derive(Debug)]
pub(super) struct Page {
    pub(super) file: Text,
    pub(super) lines: Vec<Line>,
}

#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) taken: Option<What>,
    /// Why a reader that knows the shape could not use the line.
    pub(super) refused: Option<&'static str>,
}

impl Line {
    pub(super) fn is_free(&self) -> bool {
        self.taken.is_none() && self.refused.is_none() && !self.is_blank()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Characters of white space before the text.
    pub(super) fn indent(&self) -> usize {
        self.text.chars().take_while(|character| character.is_whitespace()).count()
    }
}

impl Page {
    pub(super) fn new(file: Text, bytes: &[u8]) -> Self {
        let text = encoding::decode(bytes);
        let is_markup = is_markup(&text);
        let mut lines = Vec::new();
        for (index, physical) in text.split('\n').enumerate() {
            let mut add = |text: String| {
                lines.push(Line { number: index + 1, text, taken: None, refused: None });
            };
            // wmic ends its lines with CR CR LF when it is redirected; others rewrite a line behind a lone CR.
            for piece in physical.trim_end_matches('\r').split('\r') {
                if is_markup {
                    for piece in without_markup(piece) {
                        add(plain(&piece));
                    }
                } else {
                    add(plain(piece));
                }
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            // Half a number is another number.
            if let Some(last) = lines.last_mut() {
                last.refused = Some("the file ends within this line: a part of it may be missing");
            }
        }
        Self { file, lines: without_doubled_blanks(lines) }
    }

    pub(super) fn take(&mut self, index: usize, what: What) {
        if let Some(line) = self.lines.get_mut(index) {
            line.taken = Some(what);
        }
    }

    pub(super) fn refuse(&mut self, index: usize, why: &'static str) {
        if let Some(line) = self.lines.get_mut(index) {
            line.refused = Some(why);
        }
    }

    pub(super) fn free(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| line.is_free())
    }

    /// Takes titles and column headings: up to `most` free lines without a digit, right above the line at `index` or
    /// parted from it by blank lines only.
    pub(super) fn take_headings(&mut self, index: usize, most: usize) {
        let mut left = most;
        for at in (0..index).rev() {
            let Some(line) = self.lines.get(at) else { return };
            if line.is_blank() {
                continue;
            }
            let is_heading = line.is_free() && is_heading(line.text.trim());
            if !is_heading || left == 0 {
                return;
            }
            left -= 1;
            self.take(at, What::Heading);
        }
    }
}

/// Words without numbers, and without the signs that fields and lists have.
fn is_heading(text: &str) -> bool {
    let has_words = text.contains(char::is_whitespace) || !text.is_ascii() || text.starts_with('"');
    let has_signs = text.contains([':', '：', '=', '[', '\\']) || (text.contains(',') && !text.starts_with('"'));
    has_words && !has_signs && text.len() <= 400 && !text.contains(|c: char| c.is_ascii_digit())
}

/// Some ways of copying put a blank line behind each line; blank lines mean something, so the additional ones go.
fn without_doubled_blanks(lines: Vec<Line>) -> Vec<Line> {
    /// Fewer lines may be so by chance.
    const LEAST: usize = 8;
    let is_doubled = lines.len() >= LEAST && lines.windows(2).all(|pair| pair[0].is_blank() || pair[1].is_blank());
    if !is_doubled {
        return lines;
    }
    let mut may_drop = false;
    let keep = |line: &Line| {
        let drops = may_drop && line.is_blank();
        may_drop = !drops;
        !drops
    };
    let mut keep = keep;
    lines.into_iter().filter(|line| keep(line)).collect()
}

/// Without the marks of a quotation, and with spaces that are spaces.
fn plain(line: &str) -> String {
    let mut rest = line;
    while let Some(quoted) = rest.trim_start_matches(' ').strip_prefix('>') {
        rest = quoted.strip_prefix(' ').unwrap_or(quoted);
    }
    rest.trim_end().chars().map(|c| if matches!(c, '\u{a0}' | '\u{3000}' | '\0') { ' ' } else { c }).collect()
}

const TAGS: [&str; 24] = [
    "html", "head", "title", "meta", "style", "body", "pre", "br", "p", "div", "span", "table", "tbody", "tr", "td",
    "th", "code", "b", "i", "font", "a", "li", "ul", "tt",
];

fn tag_name(tag: &str) -> String {
    tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

fn is_markup(text: &str) -> bool {
    text.match_indices('<').take(2000).any(|(at, _)| {
        let rest = &text[at + 1..];
        let name = tag_name(rest);
        matches!(name.as_str(), "html" | "body" | "pre" | "br" | "div" | "td" | "p" | "span")
            && rest[rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '/').unwrap_or(rest.len())..]
                .starts_with(['>', ' ', '/'])
    })
}

/// Text between tags; some tags end a line.
fn without_markup(line: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut rest = line;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        push(&mut pieces, before);
        let name = tag_name(&tag[1..]);
        // A tag is short; looking further for its end would cost the square of the length.
        let end = tag.char_indices().take(512).find(|(_, c)| *c == '>');
        match end {
            Some((end, _)) if TAGS.contains(&name.as_str()) => {
                match name.as_str() {
                    "br" | "p" | "div" | "tr" | "li" | "pre" => pieces.push(String::new()),
                    "td" | "th" => push(&mut pieces, "  "),
                    _ => {}
                }
                rest = &tag[end + 1..];
            }
            _ => {
                push(&mut pieces, "<");
                rest = &tag[1..];
            }
        }
    }
    push(&mut pieces, rest);
    pieces.iter().map(|piece| without_entities(piece)).collect()
}

fn push(pieces: &mut [String], text: &str) {
    if let Some(piece) = pieces.last_mut() {
        piece.push_str(text);
    }
}

fn without_entities(text: &str) -> String {
    // The ampersand last: `&amp;lt;` is the text `&lt;`.
    [("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}
