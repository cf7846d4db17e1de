//! Dotted version numbers, such as `8.1.240.6`. Compared number by number; a missing number counts as 0.

/// Invariant: no zero at the end, so that `8.2` equals `8.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// `None`: not a dotted number.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = numbers(text)?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self(numbers))
    }

    /// Whether `text` is at or above this version. `None`: it is no dotted number, or it ends before it decides, as `8.1`
    /// does against `8.1.240`: a list that shows fewer numbers does not say that the others are 0.
    pub fn is_reached_by(&self, text: &str) -> Option<bool> {
        let found = numbers(text)?;
        if found.len() < self.0.len() && self.0.starts_with(&found) {
            return None;
        }
        Some(found >= self.0)
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.trim().split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn compares_number_by_number() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("8.1.240.6") >= version("8.1.240"));
        assert!(version("8.1.240.6") < version("8.2"));
        assert!(version("10.0.9") < version("10.0.10"));
        assert!(version("8.2") == version("8.2.0.0"));
        assert_eq!(Version::parse("8.x"), None);
    }

    #[test]
    fn a_short_version_decides_only_what_it_says() {
        let reached = |bound, text| Version::parse(bound).unwrap().is_reached_by(text);
        for (bound, text, expected) in [
            ("8.1.240", "8.1", None),
            ("8.1.240", "8", None),
            ("8.1.240", "8.1.0", Some(false)),
            ("8.1.240", "8.0", Some(false)),
            ("8.1.240", "8.1.240", Some(true)),
            ("8.1.240", "8.2", Some(true)),
            ("8.2", "8.1", Some(false)),
            ("8.2.0", "8.2", Some(true)),
            ("8.2", "Version 8.1", None),
        ] {
            assert_eq!(reached(bound, text), expected, "{text} against {bound}");
        }
    }
}
