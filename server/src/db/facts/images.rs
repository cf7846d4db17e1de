//! The dictionary of image paths: rows are added, never changed, outside of every report's transaction, so that no two
//! reports ever wait for each other over it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::db::Db;

/// Hosts may send any path they like: past this many the cache begins anew.
const MAX_CACHED: usize = 100_000;

/// The id of each path that was asked for.
#[derive(Debug, Default)]
pub struct ImageIds(HashMap<String, i32>);

impl ImageIds {
    /// `None`: the image is not known, or was not asked for.
    pub fn of(&self, image: Option<&str>) -> Option<i32> {
        self.0.get(image?).copied()
    }
}

/// Known ids, shared by all streams.
#[derive(Clone, Debug, Default)]
pub struct Images(Arc<RwLock<HashMap<String, i32>>>);

impl Images {
    /// The id of each path; those that are new are added.
    pub async fn ids<'a>(&self, db: &Db, paths: impl Iterator<Item = &'a str>) -> sqlx::Result<ImageIds> {
        let mut ids = HashMap::new();
        let mut missing = BTreeSet::new();
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            for path in paths {
                match known.get(path) {
                    Some(&id) => drop(ids.insert(path.to_owned(), id)),
                    None => drop(missing.insert(path.to_owned())),
                }
            }
        }
        if missing.is_empty() {
            return Ok(ImageIds(ids));
        }
        // Sorted, so that two statements that add the same paths wait in one order.
        let missing: Vec<String> = missing.into_iter().collect();
        sqlx::query!("insert into image (path) select unnest($1::text[]) on conflict do nothing", &missing)
            .execute(&db.pool)
            .await?;
        let added =
            sqlx::query!("select image_id, path from image where path = any($1)", &missing).fetch_all(&db.pool).await?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MAX_CACHED {
            known.clear();
        }
        for row in added {
            known.insert(row.path.clone(), row.image_id);
            ids.insert(row.path, row.image_id);
        }
        Ok(ImageIds(ids))
    }
}
