//! The dictionaries of what many rows repeat: paths of images, and lists of services. Rows are added, never changed,
//! outside of every report's transaction, so that no two reports ever wait for each other over one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use rules::text::Text;

use crate::db::Db;
use crate::db::facts::{SEPARATOR, joined};

/// Hosts may send any text they like: past this many the cache of a dictionary begins anew.
const MAX_CACHED: usize = 100_000;

/// What is to be written by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    images: BTreeSet<String>,
    /// Joined.
    service_lists: BTreeSet<String>,
}

impl Words {
    pub fn add_image(&mut self, image: Option<&Text>) {
        if let Some(image) = image.filter(|image| !self.images.contains(image.as_str())) {
            self.images.insert(image.to_string());
        }
    }

    pub fn add_services(&mut self, services: &[Text]) {
        self.service_lists.insert(joined(services));
    }

    pub fn append(&mut self, mut other: Self) {
        self.images.append(&mut other.images);
        self.service_lists.append(&mut other.service_lists);
    }
}

/// The number of each word that was asked for.
#[derive(Debug, Default)]
pub struct Numbers {
    images: HashMap<String, i32>,
    service_lists: HashMap<String, i32>,
}

impl Numbers {
    /// `None`: the image is not known, or was not asked for.
    pub fn image(&self, image: Option<&Text>) -> Option<i32> {
        self.images.get(image?.as_str()).copied()
    }

    /// `None`: it was not asked for.
    pub fn services(&self, services: &[Text]) -> Option<i32> {
        self.service_lists.get(joined(services).as_str()).copied()
    }
}

/// Known numbers, shared by all writers.
#[derive(Clone, Debug, Default)]
pub struct Dictionaries {
    images: Cache,
    service_lists: Cache,
}

impl Dictionaries {
    /// The number of each word; those that are new are added.
    pub async fn numbers(&self, db: &Db, words: &Words) -> sqlx::Result<Numbers> {
        let (mut images, missing) = self.images.known(&words.images);
        if !missing.is_empty() {
            images.extend(self.images.keep(add_images(db, &missing).await?));
        }
        let (mut service_lists, missing) = self.service_lists.known(&words.service_lists);
        if !missing.is_empty() {
            service_lists.extend(self.service_lists.keep(add_service_lists(db, &missing).await?));
        }
        Ok(Numbers { images, service_lists })
    }
}

#[derive(Clone, Debug, Default)]
struct Cache(Arc<RwLock<HashMap<String, i32>>>);

impl Cache {
    /// What is known of `words`, and the others in order, so that two statements that add the same wait in one order.
    fn known(&self, words: &BTreeSet<String>) -> (HashMap<String, i32>, Vec<String>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut found, mut missing) = (HashMap::with_capacity(words.len()), Vec::new());
        for word in words {
            match known.get(word) {
                Some(&number) => drop(found.insert(word.clone(), number)),
                None => missing.push(word.clone()),
            }
        }
        (found, missing)
    }

    fn keep(&self, added: Vec<(String, i32)>) -> Vec<(String, i32)> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MAX_CACHED {
            known.clear();
        }
        known.extend(added.iter().cloned());
        added
    }
}

async fn add_images(db: &Db, paths: &[String]) -> sqlx::Result<Vec<(String, i32)>> {
    sqlx::query!("insert into image (path) select unnest($1::text[]) on conflict do nothing", paths)
        .execute(&db.pool)
        .await?;
    let added =
        sqlx::query!("select image_id, path from image where path = any($1)", paths).fetch_all(&db.pool).await?;
    Ok(added.into_iter().map(|row| (row.path, row.image_id)).collect())
}

async fn add_service_lists(db: &Db, lists: &[String]) -> sqlx::Result<Vec<(String, i32)>> {
    sqlx::query!(
        r"
        insert into service_list (names)
        select string_to_array(names, U&'\001f') from unnest($1::text[]) as said (names)
        on conflict do nothing
        ",
        lists,
    )
    .execute(&db.pool)
    .await?;
    let added = sqlx::query!(
        r"
        select service_list_id, names
        from service_list
        where names in (select string_to_array(names, U&'\001f') from unnest($1::text[]) as said (names))
        ",
        lists,
    )
    .fetch_all(&db.pool)
    .await?;
    Ok(added.into_iter().map(|row| (row.names.join(SEPARATOR), row.service_list_id)).collect())
}
