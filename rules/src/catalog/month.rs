//! The month of a cumulative update, as its title says it.

/// A month of a year. Orders by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month {
    year: u16,
    month: u8,
}

const NAMES: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Month {
    /// `2019-04`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        if (year.len(), month.len()) != (4, 2) {
            return None;
        }
        let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
        Some(Self { year: year.parse().ok()?, month })
    }

    /// The month of a cumulative update or monthly rollup of Windows, from a title such as
    /// `2019-04 Security Monthly Quality Rollup for Windows Server 2012 R2 for x64-based Systems (KB4493446)` or
    /// `October, 2016 Security Monthly Quality Rollup for …`. `None`: another update. A security-only update carries none
    /// of the earlier ones, and .NET has rollups of its own.
    pub(crate) fn of_cumulative(title: &str) -> Option<Self> {
        let is_cumulative = title.contains("Monthly Quality Rollup") || title.contains("Cumulative Update");
        if !is_cumulative || title.contains(".NET") || title.contains("Internet Explorer") {
            return None;
        }
        let (first, rest) = title.split_once(' ')?;
        Self::parse(first).or_else(|| {
            let name = first.trim_end_matches(',');
            let month = NAMES.iter().position(|month| *month == name)?;
            let year = rest.split(' ').next()?.trim_end_matches(',');
            Self::parse(&format!("{year}-{:02}", month + 1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Month;

    #[test]
    fn a_title_tells_the_month_of_what_is_cumulative() {
        for (title, month) in [
            (
                "2019-04 Security Monthly Quality Rollup for Windows Server 2012 R2 for x64-based Systems (KB4493446)",
                Some("2019-04"),
            ),
            ("2018-08 Preview of Monthly Quality Rollup for Windows Server 2012 (KB4343895)", Some("2018-08")),
            (
                "2022-02 Cumulative Update for Windows Server 2019 (1809) for x64-based Systems (KB5010351)",
                Some("2022-02"),
            ),
            ("October, 2016 Security Monthly Quality Rollup for Windows Server 2008 R2 (KB3185330)", Some("2016-10")),
            ("2019-04 Security Only Quality Update for Windows Server 2012 R2 (KB4493467)", None),
            ("2019-04 Security and Quality Rollup for .NET Framework 3.5 for Windows Server 2012 R2 (KB4488663)", None),
            ("Cumulative Update for Windows Server 2016", None),
            ("2019-13 Cumulative Update for Windows Server 2016", None),
            ("", None),
        ] {
            assert_eq!(Month::of_cumulative(title), month.and_then(Month::parse), "{title}");
        }
    }
}
