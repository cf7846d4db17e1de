//! A program for tests: keeps an identity of its own making in a folder, as enrolling does.
//!
//! usage: keep_identity FOLDER

use anyhow::Context as _;
use portreeve_agent::identity::{Identity, Server};
use portreeve_agent::proxy::ProxyChoice;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: keep_identity FOLDER")?;
    let made = rcgen::generate_simple_self_signed([])?;
    let certificate = made.cert.der().to_vec();
    let server = Server { host: "localhost".to_owned(), enroll_port: 1, agents_port: 2, proxy: ProxyChoice::Direct };
    let key = made.signing_key.serialize_der();
    Identity::new(server, key, vec![certificate.clone(), certificate])?.save(folder.as_ref())
}
