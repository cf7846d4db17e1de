//! From bytes to text: UTF-16 and UTF-8 with and without a mark, the code pages of consoles, and files in which commands
//! of several encodings were collected one after the other (`wmic` writes UTF-16 wherever it is told to append).
//!
//! Invariant: ASCII comes through unharmed whatever the code page is, so that structure never depends on a guess; only how
//! names look does. Never fails. No I/O.

use std::fmt::Write as _;

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, IBM866, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1251, WINDOWS_1252};
use oem_cp::code_table::{DECODING_TABLE_CP437, DECODING_TABLE_CP850, DECODING_TABLE_CP852};
use oem_cp::decode_string_complete_table;

/// How many bytes of lines with anything but ASCII decide the code page.
const SAMPLE: usize = 16 * 1024;

pub(super) fn decode(bytes: &[u8]) -> String {
    if let Some(rest) = bytes.strip_prefix(&[0xFE, 0xFF]) {
        return UTF_16BE.decode_without_bom_handling(rest).0.into_owned();
    }
    if looks_wide(bytes, Order::BigFirst) {
        return UTF_16BE.decode_without_bom_handling(bytes).0.into_owned();
    }
    let parts = parts(bytes);
    let narrow: Vec<&[u8]> = parts.iter().filter(|part| !part.is_wide).map(|part| part.bytes).collect();
    let page = CodePage::of(&narrow);
    parts.iter().fold(String::with_capacity(bytes.len()), |mut text, part| {
        if part.is_wide {
            text.push_str(&UTF_16LE.decode_without_bom_handling(part.bytes).0);
        } else {
            page.decode_to(part.bytes, &mut text);
        }
        text
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    LittleFirst,
    BigFirst,
}

/// Whether most of the first characters are ASCII in two bytes.
fn looks_wide(bytes: &[u8], order: Order) -> bool {
    let pairs = bytes.as_chunks::<2>().0;
    let head = &pairs[..pairs.len().min(64)];
    let is_wide_ascii = |pair: &&[u8; 2]| match (order, **pair) {
        (Order::LittleFirst, [character, 0]) | (Order::BigFirst, [0, character]) => is_text(character),
        _ => false,
    };
    head.len() >= 2 && head.iter().filter(is_wide_ascii).count() * 2 > head.len()
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~')
}

struct Part<'a> {
    bytes: &'a [u8],
    is_wide: bool,
}

/// Cuts a file where narrow text becomes UTF-16 (little end first) and back.
fn parts(bytes: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(marked) = rest.strip_prefix(&[0xFF, 0xFE]) {
            rest = marked;
        } else if !looks_wide(rest, Order::LittleFirst) {
            rest = rest.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(rest);
            let (narrow, behind) = rest.split_at(end_of_narrow(rest));
            parts.push(Part { bytes: narrow, is_wide: false });
            rest = behind;
            continue;
        }
        let (wide, behind) = rest.split_at(end_of_wide(rest));
        parts.push(Part { bytes: wide, is_wide: true });
        rest = behind;
    }
    parts
}

/// The next mark of UTF-16, or the next run of ASCII in two bytes.
fn end_of_narrow(bytes: &[u8]) -> usize {
    let starts_wide = |window: &[u8]| match window {
        [0xFF, 0xFE, character, 0] => is_text(*character),
        [first, 0, second, 0] => is_text(*first) && is_text(*second),
        _ => false,
    };
    // At least one byte, so that every part is something.
    bytes.windows(4).skip(1).position(starts_wide).map_or(bytes.len(), |at| at + 1)
}

/// The end of the line after which comes a line that holds no zero byte and is ASCII in the main.
fn end_of_wide(bytes: &[u8]) -> usize {
    let mut at = 0;
    for pair in bytes.as_chunks::<2>().0 {
        at += 2;
        if *pair == [b'\n', 0] && starts_narrow(&bytes[at..]) {
            return at;
        }
    }
    bytes.len()
}

fn starts_narrow(rest: &[u8]) -> bool {
    // Longer lines are looked at in part: a file of one line must not cost the square of its length.
    let rest = &rest[..rest.len().min(512)];
    let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest, |end| &rest[..=end]);
    line.len() >= 2 && !line.contains(&0) && line.iter().filter(|byte| is_text(**byte)).count() * 5 > line.len() * 4
}

#[derive(Clone, Copy)]
enum CodePage {
    Utf8,
    Web(&'static Encoding),
    Console(&'static [char; 128]),
}

impl CodePage {
    /// In the order in which they are preferred where they read equally well.
    const CANDIDATES: [Self; 10] = [
        Self::Console(&DECODING_TABLE_CP850),
        Self::Web(WINDOWS_1252),
        Self::Web(IBM866),
        Self::Web(GBK),
        Self::Web(WINDOWS_1251),
        Self::Console(&DECODING_TABLE_CP852),
        Self::Console(&DECODING_TABLE_CP437),
        Self::Web(EUC_KR),
        Self::Web(SHIFT_JIS),
        Self::Web(BIG5),
    ];

    fn of(parts: &[&[u8]]) -> Self {
        let mut sample = Vec::new();
        for line in parts.iter().flat_map(|part| part.split(|byte| *byte == b'\n')) {
            if !line.is_ascii() {
                sample.extend_from_slice(&line[..line.len().min(SAMPLE)]);
                sample.push(b'\n');
            }
            if sample.len() >= SAMPLE {
                break;
            }
        }
        if is_utf8(&sample) {
            return Self::Utf8;
        }
        let mut best = (i64::MIN, Self::Utf8);
        for page in Self::CANDIDATES {
            let mut text = String::new();
            page.decode_to(&sample, &mut text);
            let score = plausibility(&text);
            if score > best.0 {
                best = (score, page);
            }
        }
        best.1
    }

    fn decode_to(self, bytes: &[u8], text: &mut String) {
        let written = match self {
            Self::Utf8 => write!(text, "{}", String::from_utf8_lossy(bytes)),
            Self::Web(encoding) => write!(text, "{}", encoding.decode_without_bom_handling(bytes).0),
            Self::Console(table) => write!(text, "{}", decode_string_complete_table(bytes, table)),
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}

/// UTF-8, or UTF-8 that was cut at its ends or damaged in a few places.
fn is_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0_usize, 0_usize);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    bad == 0 || good > bad * 8
}

/// How much a text looks like words: letters beside letters of their script, no capital behind a small letter, no frames
/// and no control characters.
fn plausibility(text: &str) -> i64 {
    let mut score = 0;
    let mut before = ' ';
    for character in text.chars() {
        if !character.is_ascii() {
            score += worth(before, character);
        } else if character.is_ascii_alphabetic() && Script::of(before).is_some_and(|script| script != Script::Latin) {
            score -= 20;
        }
        before = character;
    }
    score
}

fn worth(before: char, character: char) -> i64 {
    let Some(script) = Script::of(character) else {
        return match character {
            char::REPLACEMENT_CHARACTER | '\u{80}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' => -100,
            // Behind a word stand the marks of Windows and its products; quotation marks there stand at its end.
            '®' | '™' if before.is_alphanumeric() => 5,
            '«' | '©' if before.is_alphanumeric() => -30,
            '®' | '™' | '©' | '«' | '»' | '’' | '“' | '”' | '„' | '–' | '\u{a0}' | '：' | '，' | '。' | '（' | '）' => {
                0
            }
            _ => -30,
        };
    };
    let capital_inside = before.is_lowercase() && character.is_uppercase();
    let changes_script = Script::of(before).is_some_and(|other| other != script);
    let rare = matches!(script, Script::Hanja) || matches!(character, '\u{ff61}'..='\u{ff9f}');
    let base = if script == Script::Hangul { 11 } else { 10 };
    base - 20 * i64::from(capital_inside) - 30 * i64::from(changes_script) - 12 * i64::from(rare)
}

#[derive(Clone, Copy, PartialEq)]
enum Script {
    Latin,
    Cyrillic,
    EastAsian,
    Hangul,
    /// Ideographs that a Korean text hardly has, and rare ones of Chinese.
    Hanja,
}

impl Script {
    fn of(character: char) -> Option<Self> {
        Some(match character {
            'A'..='Z' | 'a'..='z' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='\u{17f}' => Self::Latin,
            '\u{400}'..='\u{45f}' => Self::Cyrillic,
            '\u{ac00}'..='\u{d7a3}' => Self::Hangul,
            // The ideographs that GB 2312 puts first, by how often they are used, are spread; what is rare is not there.
            '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fa5}' | '\u{ff61}'..='\u{ff9f}' => Self::EastAsian,
            '\u{3400}'..='\u{4dbf}' | '\u{f900}'..='\u{faff}' => Self::Hanja,
            _ => return None,
        })
    }
}
