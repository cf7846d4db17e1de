//! What netsh prints, read without its words: they are in the language of the system, its numbers are not.
//!
//! Invariant: no answer, or one that is not the expected table, is [`Unreadable`], never "no ranges". No I/O.

use rules::ports::PortRange;

use super::reading::Unreadable;

/// `netsh interface ipv4 show dynamicport tcp`: the last two numbers are the first port and the number of ports.
pub fn dynamic_range(answer: &str) -> Result<PortRange, Unreadable> {
    let mut numbers = answer.lines().rev().filter_map(|line| line.split_whitespace().last()?.parse::<u32>().ok());
    let (count, start) = (numbers.next(), numbers.next());
    let (Some(start), Some(count)) = (start, count) else { return Err(not_understood(answer)) };
    range(start, count).ok_or_else(|| not_understood(answer))
}

/// A range, and whether an administrator made it (`*`).
pub type ExcludedRange = (PortRange, bool);

/// `netsh interface ipv4 show excludedportrange tcp`: rows `start end`, some with `*`, below a line of dashes.
pub fn excluded_ranges(answer: &str) -> Result<Vec<ExcludedRange>, Unreadable> {
    let mut lines = answer.lines();
    lines.find(|line| line.trim_start().starts_with("---")).ok_or_else(|| not_understood(answer))?;
    lines
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| excluded_range(line).ok_or_else(|| not_understood(line)))
        .collect()
}

fn excluded_range(line: &str) -> Option<ExcludedRange> {
    let mut words = line.split_whitespace();
    let range = PortRange::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?)?;
    match words.next() {
        None => Some((range, false)),
        Some("*") => Some((range, true)),
        Some(_) => None,
    }
}

fn range(start: u32, count: u32) -> Option<PortRange> {
    let end = start.checked_add(count.checked_sub(1)?)?;
    PortRange::new(u16::try_from(start).ok()?, u16::try_from(end).ok()?)
}

fn not_understood(answer: &str) -> Unreadable {
    match answer.lines().map(str::trim).find(|line| !line.is_empty()) {
        None => Unreadable::new("netsh answered nothing"),
        Some(line) => Unreadable::new(format!("netsh answered “{line}”")),
    }
}

#[cfg(test)]
mod tests {
    use rules::ports::PortRange;

    use super::{dynamic_range, excluded_ranges};

    fn range(text: &str) -> PortRange {
        text.parse().unwrap()
    }

    #[test]
    fn reads_the_dynamic_range_in_any_language() {
        let english = "\r\nProtocol tcp Dynamic Port Range\r\n---------------------------------\r\nStart Port      : 49152\r\nNumber of Ports : 16384\r\n\r\n";
        let german = "\r\nDynamischer Portbereich des Protokolls TCP\r\n------------------------------------------\r\nStartport      : 6005\r\nAnzahl von Ports : 53526\r\n";
        assert_eq!(dynamic_range(english), Ok(range("49152-65535")));
        assert_eq!(dynamic_range(german), Ok(range("6005-59530")));
    }

    #[test]
    fn reads_excluded_ranges_and_who_made_them() {
        let french = "\r\nExclusion de plages de ports tcp de protocole\r\n\r\nPort de d\u{fffd}but    Port de fin\r\n----------    --------\r\n      5357        5357\r\n     50000       50059     *\r\n\r\n* - Exclusions de ports administr\u{fffd}s.\r\n";
        assert_eq!(excluded_ranges(french), Ok(vec![(range("5357"), false), (range("50000-50059"), true)]));
    }

    #[test]
    fn an_empty_table_is_known_to_be_empty() {
        let table = "Protocol udp Port Exclusion Ranges\n\nStart Port    End Port\n----------    --------\n\n* - Administered port exclusions.\n";
        assert_eq!(excluded_ranges(table), Ok(vec![]));
    }

    #[test]
    fn no_answer_is_not_an_empty_table() {
        assert_eq!(excluded_ranges("").unwrap_err().to_string(), "netsh answered nothing");
        assert_eq!(dynamic_range("\r\n \r\n").unwrap_err().to_string(), "netsh answered nothing");
        // Server 2008 R2 without KB2665809.
        let refused = "\r\nThe following command was not found: interface ipv4 show excludedportrange tcp.\r\n";
        assert!(excluded_ranges(refused).unwrap_err().to_string().contains("was not found"));
    }

    #[test]
    fn refuses_numbers_that_are_no_ports() {
        assert!(dynamic_range("Start Port : 65000\nNumber of Ports : 16384\n").is_err());
        assert!(dynamic_range("Start Port : 49152\nNumber of Ports : 0\n").is_err());
        assert!(excluded_ranges("----\n 70000 70001\n").is_err());
    }
}
