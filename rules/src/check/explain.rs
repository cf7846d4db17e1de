//! Why a verdict is as it is, also where there is no finding: `check --explain SERVICE|KB|proto/port`.

use crate::catalog::Catalog;
use crate::facts::Facts;

/// Neither a service of this host, nor a KB, nor a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a service of this host or of the catalog, nor a KB, nor a port such as udp/1812")]
pub struct NotASubject(pub String);

/// What can be said of `subject` on this host, as plain text.
pub fn explain(_facts: &Facts, _catalog: &Catalog, subject: &str) -> Result<String, NotASubject> {
    Err(NotASubject(subject.to_owned()))
}
