//! Small words that several rules say in the same way: durations, counts, lists.

use chrono::TimeDelta;

use crate::ports::{Port, PortRange};

/// `31 s`, `4 min 10 s`, `2 h 5 min`, `3 days`.
pub(crate) fn duration(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds().abs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds % 60 == 0 => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400..172_800 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `2,500`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `15.3 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if share > 0.0 && percent < 0.1 { "less than 0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// Neighbours joined: `1645-1646`, `1812-1813`.
pub(crate) fn ranges(numbers: impl IntoIterator<Item = u16>) -> Vec<PortRange> {
    merged(numbers.into_iter().map(PortRange::single).collect())
}

/// In order, with overlapping and neighbouring ranges joined.
pub(crate) fn merged(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if u32::from(range.start()) <= u32::from(last.end()) + 1 => {
                let end = last.end().max(range.end());
                *last = PortRange::new(last.start(), end).unwrap_or(range);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// `udp/1645, udp/1646 and udp/1813`.
pub(crate) fn ports(ports: &[Port]) -> String {
    list(ports)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{count, duration, list, ranges};

    #[test]
    fn says_numbers_as_people_do() {
        assert_eq!(count(2500), "2,500");
        assert_eq!(count(65_536), "65,536");
        assert_eq!(count(7), "7");
        assert_eq!(duration(TimeDelta::seconds(31)), "31 s");
        assert_eq!(duration(TimeDelta::seconds(250)), "4 min 10 s");
        assert_eq!(duration(TimeDelta::seconds(7500)), "2 h 5 min");
        assert_eq!(duration(TimeDelta::days(3)), "3 days");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn joins_neighbouring_ports() {
        let text: Vec<String> = ranges([1813, 1645, 1812, 1646, 1812]).iter().map(ToString::to_string).collect();
        assert_eq!(text, ["1645-1646", "1812-1813"]);
        assert_eq!(ranges([65_535, 65_534]).len(), 1);
    }
}
