//! Tidiness as a test: rules about the shape of this tree that no compiler checks, each with its reason.
//!
//! Looks at the files that git tracks or would track, so that it says the same before and after a commit. A rule is a
//! function from the tree to faults; an empty list is a pass.

#![expect(clippy::expect_used, reason = "a panic fails the test that caused it")]
#![expect(clippy::disallowed_methods, reason = "asks git for the list of files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Words that stand for something that has another name here: one thing, one word, in code, SQL, API and pages.
const NOT_OUR_WORDS: [&str; 7] = ["device", "node", "tenant", "patch", "incident", "notification", "channel"];

#[test]
fn files_are_short_enough_to_read() {
    expect_none("split by what they are about", &tree().code(&["rs", "ts", "tsx", "sql", "css", "sh"]), |file| {
        let lines = file.text.lines().count();
        (lines > 600).then(|| format!("{lines} lines, the limit is 600")).into_iter().collect()
    });
}

#[test]
fn rust_files_open_with_what_lives_there() {
    expect_none("say what lives here, why, and its invariant", &tree().code(&["rs"]), |file| {
        let opens = file.text.lines().take(3).any(|line| line.starts_with("//!"));
        (!opens).then(|| "does not open with //!".to_owned()).into_iter().collect()
    });
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X:"),
        concat!("#[ig", "nore"),
        concat!("#[al", "low("),
        concat!("#![al", "low("),
        concat!("it.sk", "ip("),
        concat!("test.sk", "ip("),
        concat!("describe.sk", "ip("),
        concat!("it.on", "ly("),
        concat!("test.on", "ly("),
        concat!("@ts-", "ignore"),
        concat!("biome-", "ignore-all"),
    ];
    expect_none("finish it, or take it out", &tree().code(&["rs", "ts", "tsx", "mjs", "sql", "sh"]), |file| {
        lines_with(file, |line| marks.iter().find(|mark| line.contains(**mark)).map(|mark| format!("holds `{mark}`")))
    });
}

/// The crates in the order in which data flows, and what each may name of the others.
#[test]
fn crates_depend_in_one_direction() {
    let tree = tree();
    let mut faults = Vec::new();
    for (krate, may) in [("rules", &[][..]), ("proto", &["rules"]), ("agent", &["rules", "proto"])] {
        let named = tree.dependencies(krate);
        for other in ["rules", "proto", "portreeve-agent", "portreeve-server", "tests"] {
            if named.contains(other) && !may.contains(&other) {
                faults.push(format!("{krate}/Cargo.toml depends on {other}"));
            }
        }
    }
    // Named one by one, so that each new one is a decision: this crate has no way to read a file, a clock or a socket.
    let pure = ["chrono", "schemars", "serde", "serde_json", "serde_path_to_error", "sha2", "thiserror", "toml"];
    let of_its_tests = ["allocation-counter", "anyhow", "proptest"];
    faults.extend(
        tree.dependencies("rules")
            .into_iter()
            .filter(|name| !pure.contains(&name.as_str()) && !of_its_tests.contains(&name.as_str()))
            .map(|name| format!("rules/Cargo.toml depends on {name}; the rules are pure")),
    );
    assert!(faults.is_empty(), "rules ← proto ← {{agent, server}} ← tests:\n{}", faults.join("\n"));
}

/// A bad catalog entry or a rule that panics must never reach a monitored host.
#[test]
fn the_agent_evaluates_no_rule() {
    expect_none("rules run on the server only", &tree().under("agent/src").code(&["rs"]), |file| {
        lines_with(file, |line| {
            ["rules::judge", "rules::catalog", "rules::finding", "rules::check"]
                .iter()
                .find(|path| line.contains(**path))
                .map(|path| format!("names {path}"))
        })
    });
}

/// One place to read for everything that is asked of the database, and one place that sets whose rows may be seen.
#[test]
fn only_the_db_folder_holds_queries() {
    expect_none(
        "move it to server/src/db",
        &tree().under("server/src").except("server/src/db/").code(&["rs"]),
        |file| {
            lines_with(file, |line| {
                ["sqlx::query", "query!(", "query_as!(", "query_scalar!("]
                    .iter()
                    .find(|call| line.contains(**call))
                    .map(|call| format!("holds `{call}`"))
            })
        },
    );
}

/// The egress guard refuses private addresses; a client that is built elsewhere is not behind it.
#[test]
fn only_egress_builds_http_clients() {
    let files = tree().under("server/src").except("server/src/alerts/egress.rs").code(&["rs"]);
    expect_none("use server/src/alerts/egress.rs", &files, |file| {
        lines_with(file, |line| {
            ["reqwest::Client", "ClientBuilder", "reqwest::get"]
                .iter()
                .find(|call| line.contains(**call))
                .map(|call| format!("names `{call}`"))
        })
    });
    expect_none("the agent speaks gRPC only", &tree().under("agent").code(&["rs", "toml"]), |file| {
        lines_with(file, |line| line.contains("reqwest").then(|| "names reqwest".to_owned()))
    });
}

/// What must be reviewed with Microsoft's pages open is all in a few places.
#[test]
fn only_the_windows_files_are_unsafe() {
    let files = tree()
        .except("agent/src/collect/windows")
        .except("agent/src/private/windows.rs")
        .except("agent/src/fingerprint/windows.rs")
        .except("agent/src/proxy/system/windows.rs")
        .except("agent/src/descriptor.rs")
        .except("agent/src/platform")
        .except("agent/src/service")
        .code(&["rs"]);
    expect_none("unsafe code lives in the Windows files", &files, |file| {
        lines_with(file, |line| {
            let code = line.trim_start();
            let is_unsafe = ["{", "fn", "impl", "extern"].iter().any(|what| code.contains(&["unsafe", what].join(" ")));
            (is_unsafe && !code.starts_with("//")).then(|| "is unsafe".to_owned())
        })
    });
}

/// The schema is read more often than it is written: each migration says its purpose, each table what a row is.
#[test]
fn migrations_are_commented() {
    expect_none("say it in the migration", &tree().under("migrations").code(&["sql"]), |file| {
        let mut faults = Vec::new();
        if !file.text.starts_with("-- ") {
            faults.push("does not open with its purpose".to_owned());
        }
        for line in file.text.lines() {
            let Some(rest) = line.strip_prefix("create table ") else { continue };
            let table = rest.split([' ', '(']).next().unwrap_or_default();
            // A partition is its parent's.
            if !rest.contains("partition of") && !file.text.contains(&format!("comment on table {table} is")) {
                faults.push(format!("no comment on table {table}"));
            }
        }
        faults
    });
}

#[test]
fn each_thing_has_one_name() {
    let tree = tree();
    expect_none("use the words of ARCHITECTURE.md", &tree.under("migrations").code(&["sql"]), |file| {
        lines_with(file, |line| foreign_word(sql_names(line)))
    });
    let rust = tree.except("proto/src/generated").code(&["rs"]);
    expect_none("use the words of ARCHITECTURE.md", &rust, |file| {
        lines_with(file, |line| foreign_word(public_name(line).into_iter()))
    });
    let openapi = tree.file("docs/openapi.json");
    let document: serde_json::Value = serde_json::from_str(&openapi.text).expect("docs/openapi.json is JSON");
    let mut names = Vec::new();
    for (path, _) in document["paths"].as_object().into_iter().flatten() {
        names.push(path.clone());
    }
    for (schema, body) in document["components"]["schemas"].as_object().into_iter().flatten() {
        names.push(schema.clone());
        names.extend(body["properties"].as_object().into_iter().flatten().map(|(property, _)| property.clone()));
    }
    let foreign: Vec<_> =
        names.into_iter().filter(|name| foreign_word(std::iter::once(name.clone())).is_some()).collect();
    assert!(foreign.is_empty(), "docs/openapi.json: names with words that are not ours: {foreign:?}");
}

/// A lock file that names somebody's mirror cannot be used elsewhere, and a path of one machine helps nobody.
#[test]
fn nothing_names_the_machine_it_was_made_on() {
    let root = root();
    let workplace = root.parent().map(|parent| format!("{}/", parent.display())).filter(|parent| parent.len() > 6);
    let tree = tree().except("tests/tests/tidy.rs");
    expect_none("take the path out", &tree, |file| {
        lines_with(file, |line| {
            ["/home/", "/root/", "/Users/"]
                .into_iter()
                .chain(workplace.as_deref())
                .find(|folder| line.contains(folder))
                .map(|folder| format!("names {folder}"))
        })
    });
    expect_none("take packages from the public registries", &tree.named("package-lock.json"), |file| {
        lines_with(file, |line| {
            let (_, url) = line.split_once("\"resolved\": \"")?;
            (!url.starts_with("https://registry.npmjs.org/")).then(|| "resolves elsewhere than at npm".to_owned())
        })
    });
    expect_none("take crates from crates.io", &tree.named("Cargo.lock"), |file| {
        lines_with(file, |line| {
            let source = line.strip_prefix("source = ")?;
            (source != "\"registry+https://github.com/rust-lang/crates.io-index\"").then(|| format!("source {source}"))
        })
    });
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = root();
    expect_none("mend the link", &tree().code(&["md"]), |file| {
        let folder = root.join(&file.path).parent().expect("a file has a folder").to_owned();
        lines_with(file, |line| {
            line.split("](").skip(1).find_map(|rest| {
                let target = rest.split(')').next()?;
                let path = target.split('#').next()?;
                let is_elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
                (!is_elsewhere && !folder.join(path).exists()).then(|| format!("links to {target}, which is not there"))
            })
        })
    });
}

/// The page that says where everything is must not outlive what it names.
#[test]
fn the_architecture_page_names_files_that_exist() {
    let root = root();
    let tree = tree();
    let page = tree.file("ARCHITECTURE.md");
    let folders = ["agent/", "migrations/", "proto/", "rules/", "server/", "tests/", "web/"];
    let named =
        page.text.split('`').skip(1).step_by(2).filter(|text| folders.iter().any(|folder| text.starts_with(folder)));
    let missing: Vec<_> = named.filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
}

/// Whoever meets a code looks it up; a code that is gone from the program must go from the page.
#[test]
fn every_error_code_is_documented() {
    let tree = tree();
    let page = tree.file("docs/errors.md");
    let documented: BTreeSet<_> = page.text.split('`').skip(1).step_by(2).filter(|text| is_code(text)).collect();
    let server = tree.under("server/src").code(&["rs"]);
    let spoken: BTreeSet<_> =
        server.0.iter().flat_map(|file| file.text.split('"')).filter(|text| is_code(text)).collect();
    let missing: Vec<_> = spoken.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&spoken).collect();
    assert!(missing.is_empty() && stale.is_empty(), "docs/errors.md lacks {missing:?} and names {stale:?} for nothing");
}

/// `report.out-of-order` is an error code, `master.key` is none.
fn is_code(text: &str) -> bool {
    const KINDS: [&str; 13] = [
        "access",
        "certificate",
        "client",
        "egress",
        "endpoint",
        "report",
        "request",
        "resource",
        "server",
        "session",
        "store",
        "stream",
        "token",
    ];
    let Some((kind, rest)) = text.split_once('.') else { return false };
    KINDS.contains(&kind) && !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// A decision that takes longer to read is two decisions.
#[test]
fn decisions_fit_on_a_page() {
    expect_none("say it in less", &tree().under("docs/adr").code(&["md"]), |file| {
        let lines = file.text.lines().count();
        (lines > 60).then(|| format!("{lines} lines, a page has 60")).into_iter().collect()
    });
}

struct File {
    /// From the root of the tree, with `/`.
    path: String,
    text: String,
}

struct Tree(Vec<File>);

impl Tree {
    fn keep(&self, keep: impl Fn(&File) -> bool) -> Self {
        let kept = self.0.iter().filter(|file| keep(file));
        Self(kept.map(|file| File { path: file.path.clone(), text: file.text.clone() }).collect())
    }

    fn under(&self, folder: &str) -> Self {
        self.keep(|file| file.path.starts_with(&format!("{folder}/")))
    }

    fn except(&self, prefix: &str) -> Self {
        self.keep(|file| !file.path.starts_with(prefix))
    }

    fn named(&self, name: &str) -> Self {
        self.keep(|file| file.path.rsplit('/').next() == Some(name))
    }

    /// Files that people write, by what their names end in.
    fn code(&self, extensions: &[&str]) -> Self {
        self.keep(|file| {
            let extension = Path::new(&file.path).extension().and_then(|extension| extension.to_str());
            let is_generated = file.path.contains("/generated/") || file.path.ends_with("schema.d.ts");
            !is_generated && extension.is_some_and(|extension| extensions.contains(&extension))
        })
    }

    fn file(&self, path: &str) -> &File {
        self.0.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is not in the tree"))
    }

    /// Names in every table of dependencies of a crate, those of its tests included.
    fn dependencies(&self, krate: &str) -> BTreeSet<String> {
        let mut is_table = false;
        let mut names = BTreeSet::new();
        for line in self.file(&format!("{krate}/Cargo.toml")).text.lines() {
            if line.starts_with('[') {
                is_table = line.trim_end().ends_with("dependencies]");
            } else if is_table && line.starts_with(|first: char| first.is_ascii_alphabetic()) {
                names.extend(line.split([' ', '.', '=']).next().map(str::to_owned));
            }
        }
        names
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Every text file that git tracks, or would track after `git add`.
fn tree() -> Tree {
    let root = root();
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .expect("git lists the files");
    assert!(listing.status.success(), "git: {}", String::from_utf8_lossy(&listing.stderr));
    let paths = String::from_utf8(listing.stdout).expect("paths are UTF-8");
    let files = paths.split_terminator('\0').filter_map(|path| {
        // A picture has no text, and a file that was deleted but not yet staged has none either.
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    });
    let tree = Tree(files.collect());
    assert!(tree.0.len() > 50, "only {} files were found", tree.0.len());
    tree
}

fn expect_none(what_to_do: &str, tree: &Tree, faults_of: impl Fn(&File) -> Vec<String>) {
    let faults: Vec<_> = tree
        .0
        .iter()
        .flat_map(|file| faults_of(file).into_iter().map(|fault| format!("{}: {fault}", file.path)))
        .collect();
    assert!(faults.is_empty(), "{what_to_do}:\n{}", faults.join("\n"));
}

fn lines_with(file: &File, fault_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    lines.filter_map(|(number, line)| Some(format!("line {}: {}", number + 1, fault_of(line)?))).collect()
}

/// Names in a line of SQL: comments and quoted prose are not names.
fn sql_names(line: &str) -> impl Iterator<Item = String> {
    let code = line.split("--").next().unwrap_or_default();
    code.split('\'').step_by(2).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// The name that a line of Rust makes public.
fn public_name(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest.strip_prefix("async ").or(rest.strip_prefix("const fn ")).unwrap_or(rest);
    let name = ["struct ", "enum ", "trait ", "fn ", "mod ", "type ", "const "]
        .iter()
        .find_map(|kind| rest.strip_prefix(kind))
        .unwrap_or(rest);
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
}

/// The first of these names that holds a word of [`NOT_OUR_WORDS`], as a fault.
fn foreign_word(mut names: impl Iterator<Item = String>) -> Option<String> {
    names.find_map(|name| {
        let words = words(&name);
        let word = NOT_OUR_WORDS.iter().find(|word| words.contains(**word))?;
        Some(format!("`{}` says `{word}`", name.trim()))
    })
}

/// `{"host", "section"}` for `host_section`, `HostSection` and `/host-section`.
fn words(name: &str) -> BTreeSet<String> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
