//! Pages of lists. A page continues behind the key of its last row (keyset), so that a list that changes while it is
//! read neither repeats nor skips a row that stayed. Cursors are opaque: base64 of the key as JSON.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::api::extract::holds_nul;
use crate::api::problem::{Code, Problem};

/// Most rows of a page.
pub const MAX_LIMIT: u16 = 500;
const DEFAULT_LIMIT: u16 = 100;
const MAX_SEARCH: usize = 200;
const MAX_CURSOR: usize = 4096;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass as `cursor` for the next page. `null`: this is the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// From `rows`, of which one more than `limit` were asked for to learn whether a page follows.
    pub fn new<K: Serialize>(mut rows: Vec<T>, limit: Limit, key: impl Fn(&T) -> K) -> Self {
        let more = rows.len() > usize::from(limit.0);
        rows.truncate(limit.0.into());
        let next_cursor = rows.last().filter(|_| more).map(|last| encode(&key(last)));
        Self { items: rows, next_cursor }
    }

    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next_cursor: self.next_cursor }
    }
}

/// How many rows: 1 to 500, 100 when not said.
#[derive(Clone, Copy, Debug)]
pub struct Limit(u16);

impl Limit {
    /// One row more than the page holds: it tells whether another page follows.
    pub fn to_fetch(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        if (1..=MAX_LIMIT).contains(&number) {
            return Ok(Self(number));
        }
        Err(serde::de::Error::custom(format!("limit is 1 to {MAX_LIMIT}")))
    }
}

fn encode(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// The key behind which the page starts. `None`: at the beginning.
pub fn decode<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bad =
        || Problem::new(Code::BadCursor, "Pass `next_cursor` of the page before as it is, or leave `cursor` out.");
    if cursor.len() > MAX_CURSOR {
        return Err(bad());
    }
    let json = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let value = serde_json::from_slice(&json).map_err(|_| bad())?;
    if holds_nul(&value) {
        return Err(bad());
    }
    serde_json::from_value(value).map(Some).map_err(|_| bad())
}

/// A filter that is compared as a whole, of at most 200 characters.
pub fn checked_text(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().count() > MAX_SEARCH => {
            Err(Problem::field(Code::BadQuery, field, format!("takes at most {MAX_SEARCH} characters")))
        }
        text => Ok(text),
    }
}

/// The pattern for `ilike` that finds `text` anywhere. `None`: nothing is searched for.
pub fn search_pattern(text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > MAX_SEARCH {
        return Err(Problem::field(Code::BadQuery, "q", format!("takes at most {MAX_SEARCH} characters")));
    }
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    Ok(Some(format!("%{escaped}%")))
}

#[cfg(test)]
mod tests {
    use super::{Limit, Page, decode, search_pattern};

    #[test]
    fn a_cursor_leads_back_to_its_key() {
        let limit = Limit(2);
        let page = Page::new(vec![(1, "a"), (2, "b"), (3, "c")], limit, |row| *row);
        assert_eq!(page.items.len(), 2);
        let key: Option<(i64, String)> = decode(page.next_cursor.as_deref()).unwrap();
        assert_eq!(key, Some((2, "b".to_owned())));
        assert!(Page::new(vec![1, 2], limit, |row| *row).next_cursor.is_none());
    }

    #[test]
    fn refuses_what_is_not_a_cursor() {
        for cursor in ["", "!", "bnVsbA", "WyJhIl0", "W1wiYVxcdTAwMDBcIl0"] {
            assert!(decode::<(i64, String)>(Some(cursor)).is_err(), "{cursor}");
        }
    }

    #[test]
    fn searches_for_wildcards_as_they_are() {
        assert_eq!(search_pattern(Some(" 100%_\\ ")).unwrap().unwrap(), "%100\\%\\_\\\\%");
        assert_eq!(search_pattern(Some("  ")).unwrap(), None);
        assert!(search_pattern(Some(&"x".repeat(201))).is_err());
    }
}
