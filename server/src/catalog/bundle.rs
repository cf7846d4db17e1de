//! A release of the catalog as one file: TOML that holds the files of a catalog folder as texts, with a version that
//! only grows. The signature lies beside it.

use serde::{Deserialize, Serialize};

use crate::rulebook::Files;

const FORMAT: &str = "portreeve.catalog/1";
/// Several times the built-in catalog.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a release brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Higher than that of the release before.
    pub version: i64,
    /// What it is, in a few words.
    pub title: String,
    pub files: Files,
}

/// Why a file is no release.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BundleFault {
    #[error("it is larger than 8 MiB")]
    TooLarge,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("its format is {0}, and this program reads {FORMAT}")]
    OtherFormat(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: i64,
    title: String,
    #[serde(default)]
    file: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    /// `bad-updates/some-entry.toml`.
    name: String,
    text: String,
}

pub fn parse(text: &str) -> Result<Bundle, BundleFault> {
    if text.len() > MAX_BYTES {
        return Err(BundleFault::TooLarge);
    }
    let document: Document = toml::from_str(text).map_err(|error| BundleFault::Unreadable(error.to_string()))?;
    if document.format != FORMAT {
        return Err(BundleFault::OtherFormat(document.format));
    }
    let files = document.file.into_iter().map(|member| (member.name, member.text)).collect();
    Ok(Bundle { version: document.version, title: document.title, files })
}

pub fn write(bundle: &Bundle) -> Result<String, toml::ser::Error> {
    let member = |(name, text): &(String, String)| Member { name: name.clone(), text: text.clone() };
    toml::to_string_pretty(&Document {
        format: FORMAT.to_owned(),
        version: bundle.version,
        title: bundle.title.clone(),
        file: bundle.files.iter().map(member).collect(),
    })
}

#[cfg(test)]
mod tests {
    use rules::catalog::Catalog;

    use super::{Bundle, parse, write};

    #[test]
    fn a_release_keeps_every_file_as_it_is() {
        let files = Catalog::builtin_files().iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let bundle = Bundle { version: 7, title: "November".into(), files };
        assert_eq!(parse(&write(&bundle).unwrap()).unwrap(), bundle);
    }

    #[test]
    fn another_format_is_refused() {
        for (text, fault) in [
            ("format = \"portreeve.catalog/2\"\nversion = 1\ntitle = \"\"", "its format is portreeve.catalog/2"),
            ("format = \"portreeve.catalog/1\"\nversion = 1\ntitle = \"\"\nmore = 1", "unknown field `more`"),
            ("version", "cannot be read"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(fault), "{said}");
        }
    }
}
