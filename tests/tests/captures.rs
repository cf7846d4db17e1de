//! Captures through their two doors, the command line and the API: files become a host with its findings, and nothing is
//! stored that should not be.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portreeve_server::people::Role;
use rules::facts::{Facts, Section};
use serde_json::{Value, json};
use tests::doors::Doors;
use tests::http_door::{Answer, HttpDoor, PASSWORD};
use tests::reporting_host::{blocked, mended};
use tests::server::Server;

const PATH: &str = "/api/v1/captures";
const BOUNDARY: &str = "portreeve-test-boundary";
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// One member of a form: a field, or with a name a file.
type Part<'a> = (&'a str, Option<&'a str>, &'a str);

fn form(parts: &[Part<'_>]) -> String {
    let mut body = String::new();
    for (field, file, text) in parts {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        let _ =
            write!(body, "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{field}\"{file}\r\n\r\n{text}\r\n");
    }
    body + &format!("--{BOUNDARY}--\r\n")
}

async fn post(http: &HttpDoor, authorization: &str, parts: &[Part<'_>]) -> Result<Answer> {
    let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("content-type", form_type.as_str()), ("authorization", authorization)];
    http.send("POST", PATH, &headers, &form(parts)).await
}

/// A server with a client, its site, and the door of its API.
struct Served {
    doors: Doors,
    http: HttpDoor,
    client: String,
    site: String,
    token: String,
}

impl Served {
    async fn new() -> Result<Self> {
        let doors = Doors::open().await?;
        let site = doors.site("Contoso").await?;
        let http = HttpDoor::open(&doors.app)?;
        let token = http.token("ada", Role::Operator, None).await?;
        Ok(Self { doors, http, client: site.client_id.to_string(), site: site.site_id.to_string(), token })
    }

    /// Imports one file, as the operator.
    async fn import(&self, file: (&str, &str), more: &[Part<'_>]) -> Result<Answer> {
        let mut parts = vec![("client", None, self.client.as_str()), ("site", None, self.site.as_str())];
        parts.extend_from_slice(more);
        parts.push(("files", Some(file.0), file.1));
        post(&self.http, &self.token, &parts).await
    }

    async fn count(&self, table: &str) -> Result<i64> {
        let mut superuser = self.doors.database.superuser().await?;
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        Ok(sqlx::query_scalar(sql).fetch_one(&mut superuser).await?)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(path, &self.token).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(answer.json())
    }
}

/// Facts as a file, taken at `at`.
fn document(mut facts: Facts, name: &str, at: &str) -> String {
    facts.collected_at = at.parse().ok();
    if let Section::Known(host) = &mut facts.host {
        host.name = name.into();
    }
    serde_json::to_string(&facts).unwrap_or_default()
}

fn titles(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().cloned().unwrap_or_default();
    findings
        .iter()
        .map(|finding| {
            format!(
                "{} {}",
                finding["transition"].as_str().unwrap_or("-"),
                finding["rule"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

#[tokio::test]
async fn a_capture_becomes_a_host_and_a_newer_one_resolves_its_finding() -> Result<()> {
    let served = Served::new().await?;
    let file = document(blocked(), "OLD1", "2026-03-02T03:10:00Z");

    let preview = served.import(("old1.json", &file), &[("dry_run", None, "true")]).await?;
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert_eq!(preview.json()["host"], Value::Null);
    assert_eq!(preview.json()["name"], "OLD1");
    assert_eq!(titles(&preview.json()), ["- port-conflict/blocked"]);
    assert_eq!(served.count("host").await? + served.count("capture").await?, 0, "a dry run stores nothing");

    let imported = served.import(("old1.json", &file), &[]).await?;
    assert_eq!(imported.status, 201, "{}", imported.body);
    let report = imported.json();
    assert_eq!(report["host"]["is_new"], true);
    assert_eq!(report["captured_at"], "2026-03-02T03:10:00Z");
    assert_eq!(titles(&report), ["opened port-conflict/blocked"]);

    let id = report["host"]["id"].to_string();
    let host = served.get(&format!("/api/v1/hosts/{id}")).await?;
    assert_eq!((&host["freshness"], &host["collected_by"]), (&json!("capture"), &json!("capture")));
    let finding = served.get(&format!("/api/v1/findings/{}", report["findings"][0]["id"].as_str().unwrap())).await?;
    assert_eq!((&finding["state"], &finding["host"]["name"]), (&json!("open"), &json!("OLD1")));

    let again = served.import(("old1.json", &file), &[]).await?.json();
    assert_eq!((&again["host"]["id"], &again["host"]["is_new"]), (&report["host"]["id"], &json!(false)));
    assert_eq!(titles(&again), ["- port-conflict/blocked"], "it was open before");

    // Windows compares names without case.
    let newer = document(mended(), "old1", "2026-03-03T03:10:00Z");
    let newer = served.import(("old1.json", &newer), &[]).await?.json();
    assert_eq!(titles(&newer), ["resolved port-conflict/blocked"]);
    assert_eq!(served.count("host").await?, 1);
    assert_eq!(served.count("capture").await?, 3);
    Ok(())
}

#[tokio::test]
async fn an_older_capture_does_not_overwrite_a_newer_one() -> Result<()> {
    let served = Served::new().await?;
    let newer = document(blocked(), "OLD1", "2026-03-02T03:10:00Z");
    let older = document(mended(), "OLD1", "2026-03-01T03:10:00Z");
    assert_eq!(served.import(("a.json", &newer), &[]).await?.status, 201);
    let refused = served.import(("b.json", &older), &[]).await?;
    assert_eq!((refused.status, refused.code().as_deref()), (409, Some("capture.older")), "{}", refused.body);
    assert_eq!(served.count("finding where state = 'open'").await?, 1);

    // Whoever knows better than the host's clock may say so, but not a time that is still to come.
    let future = served.import(("b.json", &older), &[("captured_at", None, "2199-01-01T00:00:00Z")]).await?;
    assert_eq!(future.code().as_deref(), Some("capture.in-future"), "{}", future.body);
    let given = served.import(("b.json", &older), &[("captured_at", None, "2026-03-04T04:00:00+01:00")]).await?;
    assert_eq!((given.status, &given.json()["captured_at"]), (201, &json!("2026-03-04T03:00:00Z")));
    assert_eq!(served.count("finding where state = 'open'").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_section_that_a_capture_lacks_is_unknown_and_resolves_nothing() -> Result<()> {
    let served = Served::new().await?;
    let full = document(blocked(), "OLD1", "2026-03-02T03:10:00Z");
    let mut partial = mended();
    partial.sockets = Section::Unknown("the capture holds no list of ports".into());
    let partial = document(partial, "OLD1", "2026-03-03T03:10:00Z");
    let id = served.import(("a.json", &full), &[]).await?.json()["host"]["id"].to_string();
    // What is left of it: the service has started, but whose port it is cannot be said.
    let mut stopped = blocked();
    stopped.sockets = Section::Unknown("the capture holds no list of ports".into());
    let stopped = document(stopped, "OLD1", "2026-03-02T04:10:00Z");
    let report = served.import(("b.json", &stopped), &[]).await?.json();
    assert_eq!(titles(&report), Vec::<String>::new(), "{report}");
    assert_eq!(served.count("finding where state = 'open' and cannot_tell is not null").await?, 1);
    let host = served.get(&format!("/api/v1/hosts/{id}")).await?;
    let sockets = host["sections"].as_array().into_iter().flatten().find(|section| section["section"] == "sockets");
    assert_eq!(sockets.unwrap()["reason"], "the capture holds no list of ports");

    let after = served.import(("c.json", &partial), &[]).await?;
    assert_eq!(after.status, 201, "{}", after.body);
    Ok(())
}

#[tokio::test]
async fn a_host_with_an_agent_is_left_alone() -> Result<()> {
    let served = Served::new().await?;
    let site =
        portreeve_server::db::identity::TokenSite { client_id: served.client.parse()?, site_id: served.site.parse()? };
    let token = served.doors.token(site, 1, chrono::TimeDelta::hours(1)).await?;
    served.doors.enroll(&token, "LIVE1").await?;
    let file = document(blocked(), "live1", "2026-03-02T03:10:00Z");
    let refused = served.import(("a.json", &file), &[]).await?;
    assert_eq!((refused.status, refused.code().as_deref()), (409, Some("capture.host-has-agent")), "{}", refused.body);
    assert_eq!(served.count("finding").await? + served.count("capture").await?, 0);

    // Even when it says of itself that its facts are those of a capture.
    let mut superuser = served.doors.database.superuser().await?;
    sqlx::raw_sql("update host set collected_by = 'capture'").execute(&mut superuser).await?;
    assert_eq!(served.import(("a.json", &file), &[]).await?.status, 409);
    assert_eq!(served.import(("a.json", &file), &[("host", None, "OTHER")]).await?.status, 201);
    Ok(())
}

#[tokio::test]
async fn a_capture_goes_only_where_its_bringer_may_write() -> Result<()> {
    let served = Served::new().await?;
    let theirs = served.doors.site("Fabrikam").await?;
    let file = document(blocked(), "OLD1", "2026-03-02T03:10:00Z");
    let (client, site) = (theirs.client_id.to_string(), theirs.site_id.to_string());
    let confined = served.http.token("bob", Role::Admin, Some(&[served.client.parse()?])).await?;
    let viewer = served.http.token("eve", Role::Viewer, None).await?;
    let parts =
        |client, site| [("client", None, client), ("site", None, site), ("files", Some("a.json"), file.as_str())];

    let foreign = post(&served.http, &confined, &parts(client.as_str(), site.as_str())).await?;
    assert_eq!((foreign.status, foreign.code().as_deref()), (404, Some("resource.not-found")));
    let crossed = post(&served.http, &confined, &parts(served.client.as_str(), site.as_str())).await?;
    assert_eq!((crossed.status, crossed.code().as_deref()), (404, Some("resource.not-found")));
    let reader = post(&served.http, &viewer, &parts(client.as_str(), site.as_str())).await?;
    assert_eq!((reader.status, reader.code().as_deref()), (403, Some("access.role-too-low")));
    assert_eq!(served.count("host").await?, 0);

    let id = post(&served.http, &served.token, &parts(client.as_str(), site.as_str())).await?.json()["host"]["id"]
        .to_string();
    assert_eq!(served.http.get(&format!("/api/v1/hosts/{id}"), &confined).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() -> Result<()> {
    let served = Served::new().await?;
    served.http.operator("kim", Role::Operator, None).await?;
    let cookie = served.http.sign_in("kim", PASSWORD).await?.cookie().unwrap();
    let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let own = format!("http://{}", served.http.address);
    let file = document(blocked(), "OLD1", "2026-03-02T03:10:00Z");
    let body =
        form(&[("client", None, &served.client), ("site", None, &served.site), ("files", Some("a.json"), &file)]);
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("origin", &own)], 201),
        (&[("sec-fetch-site", "same-origin")], 201),
    ];
    for (headers, expected) in cases {
        let own = [("cookie", cookie.as_str()), ("content-type", form_type.as_str())];
        let headers: Vec<_> = headers.iter().copied().chain(own).collect();
        let answer = served.http.send("POST", PATH, &headers, &body).await?;
        assert_eq!(answer.status, *expected, "{headers:?} {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn bad_captures_are_refused_and_nothing_of_them_is_stored() -> Result<()> {
    let served = Served::new().await?;
    let file = document(blocked(), "OLD1", "2026-03-02T03:10:00Z");
    let nameless = {
        let mut facts = blocked();
        facts.host = Section::Unknown("the capture holds no systeminfo".into());
        document(facts, "", "2026-03-02T03:10:00Z")
    };
    let (client, site) = (("client", None, served.client.as_str()), ("site", None, served.site.as_str()));
    let good: Part<'_> = ("files", Some("a.json"), &file);
    let long = "x".repeat(201);
    let cases: &[(&[Part<'_>], u16, &str)] = &[
        (&[client, site], 400, "request.bad-form"),
        (&[client, good], 400, "request.bad-form"),
        (&[site, good], 400, "request.bad-form"),
        (&[("client", None, "x"), site, good], 400, "request.bad-form"),
        (&[client, site, ("host", None, &long), good], 400, "request.bad-form"),
        (&[client, site, ("host", None, "a\u{0}b"), good], 400, "request.bad-form"),
        (&[client, site, ("captured_at", None, "yesterday"), good], 400, "request.bad-form"),
        (&[client, site, ("dry_run", None, "perhaps"), good], 400, "request.bad-form"),
        (&[client, site, ("admin", None, "true"), good], 400, "request.bad-form"),
        (&[("client", None, "999"), site, good], 404, "resource.not-found"),
        (&[client, ("site", None, "999"), good], 404, "resource.not-found"),
        (&[client, site, ("files", Some("a.json"), "{")], 422, "capture.bad-facts"),
        (&[client, site, good, good], 422, "capture.bad-facts"),
        (
            &[client, site, ("files", Some("a.txt"), "Lorem ipsum\r\ndolor sit amet\r\n")],
            422,
            "capture.nothing-understood",
        ),
        (&[client, site, ("files", Some("a.txt"), "")], 422, "capture.nothing-understood"),
        (&[client, site, ("files", Some("a.json"), &nameless)], 422, "capture.no-name"),
    ];
    for (parts, status, code) in cases {
        let answer = post(&served.http, &served.token, parts).await?;
        assert_eq!((answer.status, answer.code().as_deref()), (*status, Some(*code)), "{parts:?} {}", answer.body);
    }
    let authorized = ("authorization", served.token.as_str());
    let json = served.http.send("POST", PATH, &[("content-type", "application/json"), authorized], "{}").await?;
    assert_eq!((json.status, json.code().as_deref()), (415, Some("request.not-form")), "{}", json.body);
    let form_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let torn = served.http.send("POST", PATH, &[("content-type", &form_type), authorized], "--portreeve").await?;
    assert_eq!((torn.status, torn.code().as_deref()), (400, Some("request.bad-form")), "{}", torn.body);

    let large = "x".repeat(portreeve_server::captures::MAX_BYTES + 1);
    let answer = post(&served.http, &served.token, &[client, site, ("files", Some("a.txt"), &large)]).await?;
    assert_eq!((answer.status, answer.code().as_deref()), (413, Some("capture.too-large")), "{}", answer.body);
    let many: Vec<Part<'_>> =
        [client, site].into_iter().chain(std::iter::repeat_n(("files", Some("a.txt"), "x"), 501)).collect();
    let answer = post(&served.http, &served.token, &many).await?;
    assert_eq!((answer.status, answer.code().as_deref()), (413, Some("capture.too-large")), "{}", answer.body);
    for table in ["host", "capture", "finding", "host_section", "socket_now"] {
        assert_eq!(served.count(table).await?, 0, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn names_from_files_stay_text() -> Result<()> {
    let served = Served::new().await?;
    let text = format!("{HOSTILE}\r\n\u{1b}[31mred\u{202e}\r\n");
    let preview = served.import((HOSTILE, &text), &[("dry_run", None, "true")]).await?;
    assert_eq!(preview.status, 200, "{}", preview.body);
    let line = &preview.json()["not_understood"][0];
    assert_eq!((&line["file"], &line["line"], &line["text"]), (&json!(HOSTILE), &json!(1), &json!(HOSTILE)));
    assert!(!preview.body.contains(['\u{1b}', '\u{202e}']) && !preview.body.contains("\\u001b"), "{}", preview.body);

    let file = document(blocked(), HOSTILE, "2026-03-02T03:10:00Z");
    let imported = served.import(("../../etc/passwd", &file), &[]).await?;
    assert_eq!((imported.status, &imported.json()["host"]["name"]), (201, &json!(HOSTILE)));
    Ok(())
}

#[tokio::test]
async fn the_script_is_a_download_for_people_who_are_signed_in() -> Result<()> {
    let served = Served::new().await?;
    let answer = served.http.get("/api/v1/captures/script", &served.token).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"portreeve-capture.cmd\""));
    assert_eq!(answer.body, portreeve_agent::capture::script::SCRIPT);
    assert!(answer.body.contains("\r\n") && answer.body.is_ascii());
    assert_eq!(served.http.send("GET", "/api/v1/captures/script", &[], "").await?.status, 401);
    Ok(())
}

/// Both incidents happened on servers that cannot run the agent.
#[tokio::test]
async fn captures_tell_of_both_incidents() -> Result<()> {
    let served = Served::new().await?;
    for (folder, host, system, rule, title) in [
        (
            "radius1-2003",
            "RADIUS1",
            "server-2003",
            "port-conflict/blocked",
            "IAS did not start: udp/1812 is held by dns.exe",
        ),
        (
            "mail1-2008",
            "MAIL1",
            "server-2008",
            "bad-update/dotnet20sp2-exchange2007-autodiscover",
            "KB948609 breaks Autodiscover on this Exchange 2007 SP1 server",
        ),
    ] {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(capture(folder))? {
            let path = entry?.path();
            files.push((
                path.file_name().context("a file")?.to_string_lossy().into_owned(),
                std::fs::read_to_string(&path)?,
            ));
        }
        let place = [("client", None, served.client.as_str()), ("site", None, served.site.as_str())];
        let files = files.iter().map(|(name, text)| ("files", Some(name.as_str()), text.as_str()));
        let parts: Vec<Part<'_>> = place.into_iter().chain(files).collect();
        let answer = post(&served.http, &served.token, &parts).await?;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let report = answer.json();
        assert_eq!(report["host"]["name"], host);
        let found = report["findings"].as_array().into_iter().flatten().find(|finding| finding["title"] == title);
        let found = found.with_context(|| format!("{title} is not in {report}"))?;
        assert_eq!((&found["rule"], &found["transition"]), (&json!(rule), &json!("opened")));
        let stored = served.get(&format!("/api/v1/hosts/{}", report["host"]["id"])).await?;
        assert_eq!((&stored["os_generation"], &stored["freshness"]), (&json!(system), &json!("capture")));
    }
    Ok(())
}

/// A folder of recorded outputs.
fn capture(name: &str) -> String {
    format!("{}/captures/{name}", env!("CARGO_MANIFEST_DIR"))
}

struct CommandLine {
    server: Server,
}

impl CommandLine {
    async fn new() -> Result<Self> {
        let mut server = Server::start().await?;
        server.sign_up().await?;
        let client = server.command(&["client", "create", "--name", "Contoso"]).await?;
        server.command(&["site", "create", "--client", &client, "--name", "Head office"]).await?;
        Ok(Self { server })
    }

    async fn import(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let place = ["import", "--client", "Contoso", "--site", "Head office"];
        let output = self.server.command_with_input(&[&place, arguments].concat(), "").await?;
        let text = |bytes| String::from_utf8(bytes);
        Ok((output.status.code().unwrap_or(-1), text(output.stdout)?, text(output.stderr)?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_imports_beside_a_running_server_and_wakes_it() -> Result<()> {
    let line = CommandLine::new().await?;
    let mut events = line.server.open("/api/v1/live").await?;
    let folder = capture("radius1-2003");
    let (code, said, _) = line.import(&["--host", "RADIUS1", &folder]).await?;
    assert_eq!(code, 0, "{said}");
    for part in [
        "Imported a capture of RADIUS1 (new host ",
        "sockets.txt: sockets (netstat) (10 lines)",
        "opened: IAS did not start: udp/1812 is held by dns.exe (critical, certain)",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    let heard = async {
        let mut heard = String::new();
        while !(heard.contains("\"kind\":\"host\"") && heard.contains("\"kind\":\"finding\"")) {
            let chunk = events.chunk().await?.context("the stream of events goes on")?;
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.context("an open page hears of it")??;

    // The folder again, without what was wrong: the service runs and has its ports.
    let mended = line.server.scratch().join("mended");
    std::fs::create_dir(&mended)?;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let text = text.replace("1  STOPPED", "4  RUNNING").replace("1066  (0x42a)", "0  (0x0)");
        let text = text.replace("10048  (0x2740)", "0  (0x0)").replacen(
            "PID                : 0",
            "PID                : 900",
            1,
        );
        let lines = text.lines().filter(|line| !line.contains(":1645 ") && !line.contains(":1812 "));
        std::fs::write(mended.join(path.file_name().context("a file")?), lines.collect::<Vec<_>>().join("\r\n"))?;
    }
    let (code, said, _) = line.import(&["--json", "--host", "radius1", &mended.display().to_string()]).await?;
    assert_eq!(code, 0, "{said}");
    let report: Value = serde_json::from_str(&said)?;
    assert_eq!(report["host"]["is_new"], false);
    let of_ports = titles(&report).into_iter().filter(|title| title.contains("port-conflict")).collect::<Vec<_>>();
    assert_eq!(of_ports, ["resolved port-conflict/blocked", "resolved port-conflict/blocked"], "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_by_its_exit_code_why_it_refused() -> Result<()> {
    let line = CommandLine::new().await?;
    let scratch = line.server.scratch();
    let write = |name: &str, text: &str| -> Result<String> {
        std::fs::write(scratch.join(name), text)?;
        Ok(scratch.join(name).display().to_string())
    };
    let newer = write("newer.json", &document(blocked(), "OLD1", "2026-03-02T03:10:00Z"))?;
    let older = write("older.json", &document(mended(), "OLD1", "2026-03-01T03:10:00Z"))?;
    let noise = write("noise.txt", "nothing that a command prints\n")?;
    let broken = write("broken.json", "{")?;
    let folder = capture("radius1-2003");
    let output = line.server.command_with_input(&["import", "--client", "Nobody", "--site", "x", &newer], "").await?;
    assert_eq!(output.status.code(), Some(3));
    let output = line.server.command_with_input(&["import", "--client", "Contoso", "--site", "x", &newer], "").await?;
    assert_eq!(output.status.code(), Some(3));
    for (arguments, code, says) in [
        (vec![noise.as_str()], 65, "nothing in these files was understood"),
        (vec![broken.as_str()], 65, "broken.json: line 1"),
        (vec![newer.as_str(), older.as_str()], 65, "import it alone"),
        (vec!["/no/such/file"], 3, "cannot read /no/such/file"),
        (vec![newer.as_str()], 0, ""),
        (vec![older.as_str()], 4, "a newer one of 2026-03-02 03:10:00 UTC"),
        (vec!["--captured-at", "2026-03-03T00:00:00Z", older.as_str()], 0, ""),
        (vec!["--captured-at", "2199-01-01T00:00:00Z", older.as_str()], 65, "is in the future"),
        (vec!["--host", "", &folder], 2, ""),
    ] {
        let (ended, said, complained) = line.import(&arguments).await?;
        assert_eq!(ended, code, "{arguments:?}\n{said}\n{complained}");
        assert!(complained.contains(says), "{arguments:?}: {complained}");
    }
    let hosts = line.server.get("/api/v1/hosts").await?;
    assert_eq!(hosts["items"].as_array().map(Vec::len), Some(1), "{hosts}");
    assert_eq!(hosts["items"][0]["last_seen_at"], "2026-03-03T00:00:00Z");
    Ok(())
}
