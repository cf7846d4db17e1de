//! Puts the built dashboard (web/dist) into the program. Never runs npm: a build should not reach for the network.
//! Without web/dist the program gets one page that says so, except where PORTREEVE_REQUIRE_WEB=1 forbids that.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by environment variables")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const STUB: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>Portreeve</title>
<p>This server was built without its dashboard: run <code>make web</code> and build it again. The API is at
<a href=\"/api/v1/openapi.json\">/api/v1</a>.
</html>
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=PORTREEVE_REQUIRE_WEB");
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let dist = manifest.join("../web/dist");
    // A folder that does not exist cannot be watched; its parent can.
    let watched = if dist.exists() { dist.clone() } else { manifest.join("../web") };
    println!("cargo::rerun-if-changed={}", watched.display());
    let folder = if dist.join("index.html").exists() { dist } else { stub()? };
    memory_serve::load_directory_with_embed(folder, true);
    Ok(())
}

fn stub() -> Result<PathBuf, Box<dyn Error>> {
    if env::var("PORTREEVE_REQUIRE_WEB").as_deref() == Ok("1") {
        return Err("web/dist/index.html is missing and PORTREEVE_REQUIRE_WEB=1: run `make web` first".into());
    }
    println!("cargo::warning=web/dist/index.html is missing: the dashboard is a stub; run `make web`");
    let folder = Path::new(&env::var("OUT_DIR")?).join("stub");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("index.html"), STUB)?;
    Ok(folder)
}
