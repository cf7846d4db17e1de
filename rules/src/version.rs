//! Dotted version numbers, such as `8.1.240.6`. Compared number by number; a missing number counts as 0.

/// Invariant: no zero at the end, so that `8.2` equals `8.2.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// `None`: not a dotted number.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.trim().split('.').map(|part| part.parse().ok()).collect();
        let mut numbers = numbers?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(Self(numbers))
    }
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
}
