//! The API at its door: who gets in, what they see, and that no input makes it fail.

use std::collections::BTreeSet;

use anyhow::Result;
use portreeve_server::api;
use portreeve_server::live::{Hint, HintKind};
use portreeve_server::people::Role;
use serde_json::{Value, json};
use tests::doors::Doors;
use tests::http_door::{HttpDoor, PASSWORD, read_until};

const JSON: (&str, &str) = ("content-type", "application/json");
/// Names that have acted on a browser, a log, a shell, a spreadsheet or a database before.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "'; drop table host; --",
    "\" or 1=1 --",
    "%_\\",
    "$1 {0} ${x} {{x}}",
    "../../etc/passwd",
    "=cmd|' /C calc'!A1",
    "\u{fffd}\u{1f600}ÄÖ\u{0301}",
];

/// The seeded server: client 1, and client 2 whose every text says `quagga`.
struct Seeded {
    doors: Doors,
    http: HttpDoor,
}

async fn seeded() -> Result<Seeded> {
    let doors = Doors::open().await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql(include_str!("../seeds/two_clients.sql")).execute(&mut superuser).await?;
    let http = HttpDoor::open(&doors.app)?;
    Ok(Seeded { doors, http })
}

/// Every path of the API that can be read, with ids of one client filled in.
fn readable_paths(host: &str, finding: &str, kb: &str) -> Vec<String> {
    let document = serde_json::to_value(api::document()).unwrap_or_default();
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    assert!(paths.len() > 10, "the document names the paths");
    let fill = |path: &str| {
        let id = match path {
            _ if path.contains("/findings/") => finding,
            _ if path.contains("/releases/") => "55555555-5555-4555-8555-555555555555",
            _ => host,
        };
        let port = if path.ends_with("/holders") { "?port=udp/1812" } else { "" };
        let path = path.replace("{id}", id).replace("{kb}", kb).replace("{boot}", "1");
        let path = path.replace("{protocol}", "udp").replace("{port}", "1812").replace("{name}", "IAS");
        path.replace("{key}", "taker/dns-socket-pool") + port
    };
    paths.iter().filter(|(_, item)| item.get("get").is_some()).map(|(path, _)| fill(path)).collect()
}

#[tokio::test]
async fn signing_in_gives_a_session_that_signing_out_ends() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    http.operator("ada", Role::Operator, Some(&[1])).await?;

    let wrong = http.sign_in("ada", "wrong horse battery").await?;
    let unknown = http.sign_in("nobody", PASSWORD).await?;
    assert_eq!((wrong.status, wrong.code().as_deref()), (401, Some("session.wrong-credentials")));
    assert_eq!(wrong.body, unknown.body, "an unknown name is not told from a wrong password");

    let right = http.sign_in("ada", PASSWORD).await?;
    assert_eq!(right.status, 200, "{}", right.body);
    let set = right.header("set-cookie").unwrap();
    assert!(set.starts_with("portreeve=") && set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    assert_eq!(right.json()["role"], "operator");
    assert_eq!(right.json()["clients"], json!([1]));

    let cookie = right.cookie().unwrap();
    let session = http.send("GET", "/api/v1/session", &[("cookie", &cookie)], "").await?;
    assert_eq!(session.json()["operator"]["name"], "ada");
    let again = http.send("POST", "/api/v1/session", &[JSON, ("cookie", &cookie)], &credentials("ada")).await?;
    let second = again.cookie().unwrap();
    assert_ne!(cookie, second, "signing in makes a new session");
    assert_eq!(http.send("GET", "/api/v1/session", &[("cookie", &cookie)], "").await?.status, 401);

    let out = http.send("DELETE", "/api/v1/session", &[("cookie", &second)], "").await?;
    assert_eq!(out.status, 204);
    let after = http.send("GET", "/api/v1/session", &[("cookie", &second)], "").await?;
    assert_eq!((after.status, after.code().as_deref()), (401, Some("session.required")));
    Ok(())
}

fn credentials(name: &str) -> String {
    json!({ "name": name, "password": PASSWORD }).to_string()
}

#[tokio::test]
async fn guessing_is_slowed_down() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    let mut codes = BTreeSet::new();
    for _ in 0..30 {
        let answer = http.sign_in("ada", "guess").await?;
        codes.insert(answer.code().unwrap());
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
        }
    }
    assert!(codes.contains("session.too-many-attempts"), "{codes:?}");
    Ok(())
}

#[tokio::test]
async fn a_disabled_operator_is_out_at_once() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Admin, None).await?;
    let cookie = http.sign_in("ada", PASSWORD).await?.cookie().unwrap();
    let mut live = http.stream("GET", "/api/v1/live", &[("authorization", &token)], "").await?;
    read_until(&mut live, "event: resync").await?;
    assert_eq!(http.get("/api/v1/hosts", &token).await?.status, 200);

    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql("update operator set disabled_at = now()").execute(&mut superuser).await?;
    assert_eq!(http.get("/api/v1/hosts", &token).await?.status, 401);
    assert_eq!(http.send("GET", "/api/v1/hosts", &[("cookie", &cookie)], "").await?.status, 401);
    assert_eq!(http.sign_in("ada", PASSWORD).await?.status, 401);
    let ended = read_until(&mut live, "no such text").await.unwrap_err();
    assert!(ended.to_string().contains("ended"), "{ended}");
    Ok(())
}

#[tokio::test]
async fn ended_tokens_and_sessions_are_worth_nothing() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Viewer, None).await?;
    let mut superuser = doors.database.superuser().await?;
    for (end, mend) in [
        ("update api_token set expires_at = now()", "update api_token set expires_at = null"),
        ("update api_token set revoked_at = now()", "update api_token set revoked_at = null"),
    ] {
        sqlx::raw_sql(end).execute(&mut superuser).await?;
        assert_eq!(http.get("/api/v1/hosts", &token).await?.status, 401, "{end}");
        sqlx::raw_sql(mend).execute(&mut superuser).await?;
        assert_eq!(http.get("/api/v1/hosts", &token).await?.status, 200, "{mend}");
    }
    for end in
        ["update session set expires_at = now()", "update session set last_seen_at = now() - interval '31 minutes'"]
    {
        let cookie = http.sign_in("ada", PASSWORD).await?.cookie().unwrap();
        sqlx::raw_sql(end).execute(&mut superuser).await?;
        let after = http.send("GET", "/api/v1/hosts", &[("cookie", &cookie)], "").await?;
        assert_eq!(after.status, 401, "{end}");
    }
    for wrong in ["Bearer", "Bearer x", "Basic YTpi", "Bearer ptr_pat_00000000000000000000000000000000_00"] {
        assert_eq!(http.get("/api/v1/hosts", wrong).await?.status, 401, "{wrong}");
    }
    let other = token.replace(&token[token.len() - 8..], "00000000");
    assert_eq!(http.get("/api/v1/hosts", &other).await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    http.operator("ada", Role::Admin, None).await?;
    let cookie = http.sign_in("ada", PASSWORD).await?.cookie().unwrap();
    let own = format!("http://{}", http.address);
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[JSON, ("sec-fetch-site", "cross-site")], 403),
        (&[JSON, ("sec-fetch-site", "same-site")], 403),
        (&[JSON, ("origin", "https://evil.example")], 403),
        (&[JSON, ("origin", "null")], 403),
        (&[("content-type", "application/x-www-form-urlencoded")], 415),
        (&[("content-type", "text/plain")], 415),
        (&[], 415),
        (&[JSON, ("origin", &own)], 400),
        (&[JSON, ("sec-fetch-site", "same-origin")], 400),
    ];
    for (headers, expected) in cases {
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", cookie.as_str())]).collect();
        let answer = http.send("POST", "/api/v1/endpoints", &headers, "{}").await?;
        assert_eq!(answer.status, *expected, "{headers:?} {}", answer.body);
    }
    let out = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(http.send("DELETE", "/api/v1/session", &out, "").await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn nothing_under_api_answers_without_a_session() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    for path in readable_paths("11", "11111111-1111-4111-8111-111111111111", "KB948601") {
        let variants = [
            path.clone(),
            format!("{path}/"),
            format!("{path}/x"),
            format!("{path};x"),
            format!("{path}?x=y"),
            path.replacen("/api", "//api", 1),
            path.replacen("/api/", "/api//", 1),
            path.replacen("/api/", "/api/./", 1),
            path.replacen("/api/", "/x/../api/", 1),
            path.replacen("/api/", "/api%2f", 1),
            path.replacen("/api/", "/api/session/../", 1),
            path.to_uppercase(),
            path.replacen("/v1", "/V1", 1),
        ];
        for variant in variants {
            let answer = http.send("GET", &variant, &[], "").await?;
            assert!(matches!(answer.status, 401 | 404), "{variant}: {} {}", answer.status, answer.body);
            assert!(!answer.body.contains("DC2"), "{variant}");
        }
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
        let answer = http.send(method, "/api/v1/hosts", &[JSON], "").await?;
        assert_eq!(answer.status, 401, "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_sees_clients_of_others() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    let confined = http.token("ada", Role::Admin, Some(&[1])).await?;
    let nothing = http.token("bob", Role::Admin, Some(&[])).await?;
    let everything = http.token("eve", Role::Admin, None).await?;
    let theirs = readable_paths("22", "22222222-2222-4222-8222-222222222222", "KB948602");
    let filters = [
        "/api/v1/problems?client=2",
        "/api/v1/forecast?client=2",
        "/api/v1/findings?client=2",
        "/api/v1/hosts?client=2",
        "/api/v1/findings?host=22",
        "/api/v1/findings?q=quagga",
    ]
    .map(ToOwned::to_owned);
    for path in theirs.iter().chain(&filters).filter(|path| !path.ends_with("/live")) {
        let answer = http.get(path, &confined).await?;
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.body);
        assert!(!answer.body.contains("quagga"), "{path} leaks: {}", answer.body);
        if path.contains("22") || path.contains("KB948602") {
            let items = answer.status == 200;
            assert!(!items || answer.json()["items"] == json!([]), "{path}: {}", answer.body);
        }
    }
    let ours = readable_paths("11", "11111111-1111-4111-8111-111111111111", "KB948601");
    for path in ours.iter().filter(|path| !path.ends_with("/live")) {
        let answer = http.get(path, &everything).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let answer = http.get(path, &confined).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let answer = http.get(path, &nothing).await?;
        assert!(!answer.body.contains("DC2") && !answer.body.contains("quagga"), "{path} leaks: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn bad_input_is_refused_and_never_a_failure() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    let token = http.token("ada", Role::Admin, None).await?;
    let long = "x".repeat(201);
    let cases: &[(&str, &str, &str)] = &[
        ("GET", "/api/v1/findings?nope=1", "request.bad-query"),
        ("GET", "/api/v1/findings?limit=0", "request.bad-query"),
        ("GET", "/api/v1/findings?limit=501", "request.bad-query"),
        ("GET", "/api/v1/findings?limit=-1", "request.bad-query"),
        ("GET", "/api/v1/findings?limit=99999999999999999999", "request.bad-query"),
        ("GET", "/api/v1/findings?client=99999999999", "request.bad-query"),
        ("GET", "/api/v1/findings?host=x", "request.bad-query"),
        ("GET", "/api/v1/findings?severity=awful", "request.bad-query"),
        ("GET", "/api/v1/findings?state=open&state=resolved", "request.bad-query"),
        ("GET", "/api/v1/findings?q=a%00b", "request.bad-text"),
        ("GET", "/api/v1/findings?cursor=x", "request.bad-cursor"),
        ("GET", "/api/v1/findings?cursor=WyJhIiwwXQ", "request.bad-cursor"),
        ("GET", "/api/v1/hosts?cursor=bnVsbA", "request.bad-cursor"),
        // [3, "-262143-01-01T00:00:00Z", …]: a year that only we can count to.
        (
            "GET",
            "/api/v1/findings?cursor=WzMsIi0yNjIxNDMtMDEtMDFUMDA6MDA6MDBaIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAwIl0",
            "request.bad-cursor",
        ),
        ("GET", "/api/v1/findings/x", "request.bad-path"),
        ("GET", "/api/v1/findings/%00", "request.bad-text"),
        ("GET", "/api/v1/findings/00000000-0000-0000-0000-000000000000", "resource.not-found"),
        ("GET", "/api/v1/problems?state=muted", "request.bad-query"),
        ("GET", "/api/v1/problems?cursor=WyJhIiwwXQ", "request.bad-cursor"),
        ("GET", "/api/v1/problems/", "request.no-route"),
        ("GET", "/api/v1/problems/taker", "resource.not-found"),
        ("GET", "/api/v1/problems/taker/%00", "request.bad-text"),
        ("GET", "/api/v1/problems/taker/dns-socket-pool?client=9", "resource.not-found"),
        ("GET", "/api/v1/forecast?client=x", "request.bad-query"),
        ("GET", "/api/v1/forecast?cursor=WyJhIiwwXQ", "request.bad-cursor"),
        ("GET", "/api/v1/hosts/0/forecast", "resource.not-found"),
        ("GET", "/api/v1/hosts/x", "request.bad-path"),
        ("GET", "/api/v1/hosts/99999999999999999999", "request.bad-path"),
        ("GET", "/api/v1/hosts/-1", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/services", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/ports", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/updates", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/boots", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/facts", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/services?at=2026-01-01T00:00:00Z", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/services?at=yesterday", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/ports?at=9999-01-01T00:00:00Z", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/steps?at=9999-01-01T00:00:00Z", "request.bad-query"),
        ("GET", "/api/v1/hosts/0/steps", "resource.not-found"),
        ("GET", "/api/v1/hosts/0/changes", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/changes?from_boot=9", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/changes?around=9", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/changes?around=KB5030216", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/changes?around=KB948601", "past.not-kept"),
        ("GET", "/api/v1/hosts/11/changes?around=KB948601&from_boot=1", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/changes?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "request.bad-query"),
        ("GET", "/api/v1/hosts/0/ports/udp/1812/history", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/ports/sctp/1812/history", "request.bad-path"),
        ("GET", "/api/v1/hosts/11/ports/udp/65536/history", "request.bad-path"),
        ("GET", "/api/v1/hosts/11/ports/udp/1812/history?cursor=x", "request.bad-cursor"),
        ("GET", "/api/v1/hosts/11/services/nope/history", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/services/%00/history", "request.bad-text"),
        ("GET", "/api/v1/ports/icmp/1", "request.bad-path"),
        ("GET", "/api/v1/ports/udp/1812?at=9999-01-01T00:00:00Z", "request.bad-query"),
        ("GET", "/api/v1/ports/udp/1812?cursor=x", "request.bad-cursor"),
        ("GET", "/api/v1/updates/x/history", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/boots/9", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/boots/99999999999", "request.bad-path"),
        ("GET", "/api/v1/hosts/11/boots/holders", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/boots/holders?port=1812", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/boots/holders?port=udp/65536", "request.bad-query"),
        ("GET", "/api/v1/hosts/0/events", "resource.not-found"),
        ("GET", "/api/v1/hosts/11/events?before=yesterday", "request.bad-query"),
        ("GET", "/api/v1/hosts/11/events?cursor=x", "request.bad-cursor"),
        ("POST", "/api/v1/hosts/0/connections", "resource.not-found"),
        ("POST", "/api/v1/hosts/11/connections", "host.not-connected"),
        ("GET", "/api/v1/updates/nope", "resource.not-found"),
        ("GET", "/api/v1/updates/KB00000", "resource.not-found"),
        ("GET", "/api/v1/updates/%ff%fe", "request.bad-path"),
        ("GET", "/api/v1/nope", "request.no-route"),
        ("GET", "/api", "request.no-route"),
        ("GET", "/api/", "request.no-route"),
        ("PUT", "/api/v1/findings", "request.wrong-method"),
        ("POST", "/api/v1/overview", "request.wrong-method"),
        ("POST", "/api/v1/endpoints", "request.bad-json"),
    ];
    let authorized = [JSON, ("authorization", token.as_str())];
    for (method, path, code) in cases {
        let answer = http.send(method, path, &authorized, "").await?;
        assert_eq!(answer.code().as_deref(), Some(*code), "{method} {path}: {} {}", answer.status, answer.body);
        assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
    }
    let deep = "[".repeat(100_000);
    let large = format!("\"{}\"", "x".repeat(2 * 1024 * 1024));
    let bodies: &[(&str, &str)] = &[
        ("{", "request.bad-json"),
        ("[]", "request.bad-json"),
        ("null", "request.bad-json"),
        ("{\"name\": 1, \"url\": \"https://a.example/\"}", "request.bad-json"),
        ("{\"name\": \"a\", \"url\": \"https://a.example/\", \"admin\": true}", "request.bad-json"),
        ("{\"name\": \"a\\u0000b\", \"url\": \"https://a.example/\"}", "request.bad-text"),
        ("{\"name\": \"\", \"url\": \"https://a.example/\"}", "endpoint.bad-name"),
        ("{\"name\": \"a\", \"url\": \"\"}", "egress.bad-url"),
        ("{\"name\": \"a\", \"url\": \"file:///etc/passwd\"}", "egress.bad-url"),
        ("{\"name\": \"a\", \"url\": \"http://127.0.0.1:5432/\"}", "egress.refused"),
        ("{\"name\": \"a\", \"url\": \"http://[::1]/\"}", "egress.refused"),
        ("{\"name\": \"a\", \"url\": \"http://169.254.169.254/\"}", "egress.refused"),
        ("{\"name\": \"a\", \"url\": \"https://a.example/\", \"client\": 9}", "resource.not-found"),
        (&deep, "request.bad-json"),
        (&large, "request.too-large"),
    ];
    for (body, code) in bodies {
        let answer = http.send("POST", "/api/v1/endpoints", &authorized, body).await?;
        assert_eq!(answer.code().as_deref(), Some(*code), "{}: {}", &body[..body.len().min(80)], answer.body);
    }
    for text in HOSTILE.iter().copied().chain([long.as_str()]) {
        let encoded = format!("%{}", text.bytes().map(|byte| hex::encode([byte])).collect::<Vec<_>>().join("%"));
        for path in [
            format!("/api/v1/findings?q={encoded}"),
            format!("/api/v1/findings?rule={encoded}"),
            format!("/api/v1/findings?cursor={encoded}"),
            format!("/api/v1/hosts?q={encoded}"),
            format!("/api/v1/hosts?state={encoded}"),
            format!("/api/v1/updates?q={encoded}"),
            format!("/api/v1/updates/{encoded}"),
            format!("/api/v1/problems/{encoded}"),
            format!("/api/v1/hosts/{encoded}"),
            format!("/api/v1/{encoded}"),
        ] {
            let answer = http.get(&path, &token).await?;
            assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.body);
        }
        assert!(http.sign_in(text, text).await?.status < 500, "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn roles_limit_what_one_may_do() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    let viewer = http.token("vera", Role::Viewer, None).await?;
    let confined = http.token("carl", Role::Admin, Some(&[1])).await?;
    let admin = http.token("ada", Role::Admin, None).await?;
    let post = async |token: &str, body: Value| {
        http.send("POST", "/api/v1/endpoints", &[JSON, ("authorization", token)], &body.to_string()).await
    };
    let all = json!({ "name": "pager", "url": "https://pager.example/hook" });
    assert_eq!(post(&viewer, all.clone()).await?.code().as_deref(), Some("access.role-too-low"));
    assert_eq!(http.get("/api/v1/endpoints", &viewer).await?.status, 403);
    assert_eq!(post(&confined, all.clone()).await?.code().as_deref(), Some("access.role-too-low"));
    let foreign = json!({ "name": "pager", "url": "https://pager.example/hook", "client": 2 });
    assert_eq!(post(&confined, foreign).await?.code().as_deref(), Some("resource.not-found"));

    let created = post(&admin, all.clone()).await?;
    assert_eq!(created.status, 201, "{}", created.body);
    assert!(created.json()["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(post(&admin, all).await?.code().as_deref(), Some("endpoint.name-taken"));
    let listed = http.get("/api/v1/endpoints", &admin).await?;
    assert!(listed.body.contains("pager.example") && !listed.body.contains("whsec_"), "{}", listed.body);
    Ok(())
}

#[tokio::test]
async fn pages_hold_every_row_once_while_the_list_changes() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Viewer, Some(&[1])).await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql(
        "insert into host (client_id, site_id, name, enrolled_at)
         select 1, 1, 'host' || (number % 7), now() from generate_series(1, 100) as number",
    )
    .execute(&mut superuser)
    .await?;
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("/api/v1/hosts?limit=9{cursor}"), &token).await?.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 9);
        ids.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        sqlx::raw_sql("insert into host (client_id, site_id, name, enrolled_at) values (1, 1, 'a first one', now())")
            .execute(&mut superuser)
            .await?;
    }
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "no row comes twice");
    assert_eq!(ids.len(), 101, "rows before the cursor do not push others into the next page");
    Ok(())
}

#[tokio::test]
async fn findings_pages_go_from_the_worst_to_the_least() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Viewer, Some(&[1])).await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql(
        "insert into finding (client_id, finding_id, host_id, rule, subject_key, subject, severity, confidence, title, cause,
           evidence, remedy, state, episode, first_opened_at, opened_at, updated_at, problem)
         select client_id, gen_random_uuid(), host_id, rule, number::text, subject, 1 + number % 3, confidence, title, cause,
           evidence, remedy, state, episode, now(), timestamptz '2026-01-01' + (number / 4) * interval '1 s', now(), problem
         from finding, generate_series(1, 60) as number where client_id = 1",
    )
    .execute(&mut superuser)
    .await?;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("/api/v1/findings?state=open&limit=7{cursor}"), &token).await?.json();
        for item in page["items"].as_array().unwrap() {
            let rank = ["critical", "warning", "info"].iter().position(|word| item["severity"] == *word).unwrap();
            seen.push((rank, item["id"].as_str().unwrap().to_owned()));
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 61);
    assert!(seen.is_sorted_by_key(|(rank, _)| *rank));
    assert_eq!(seen.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 61);
    Ok(())
}

#[tokio::test]
async fn a_host_is_shown_with_its_services_ports_and_updates_joined() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    let token = http.token("ada", Role::Viewer, Some(&[1])).await?;

    let services = http.get("/api/v1/hosts/11/services", &token).await?.json();
    let ias = &services["items"][0];
    assert_eq!(ias["name"], "IAS");
    assert_eq!(ias["finding_id"], "11111111-1111-4111-8111-111111111111");
    let need = |port: &str| ias["needs"].as_array().unwrap().iter().find(|need| need["port"] == port).unwrap().clone();
    assert_eq!(need("udp/1812")["holder"]["kind"], "other");
    assert_eq!(need("udp/1812")["holder"]["process"], "dns.exe");
    assert_eq!(need("udp/1812")["holder"]["pid"], 1420);
    assert_eq!(need("udp/1813")["holder"]["kind"], "free");

    let ports = http.get("/api/v1/hosts/11/ports", &token).await?.json();
    assert_eq!(ports["items"][0]["ports"], "1812");
    assert_eq!(ports["items"][0]["process"], "dns.exe");
    let updates = http.get("/api/v1/hosts/11/updates", &token).await?.json();
    assert_eq!(updates["items"][0]["kb"], "KB948601");

    let host = http.get("/api/v1/hosts/11", &token).await?.json();
    assert_eq!(host["freshness"], "reporting");
    assert_eq!(host["open"], json!({ "critical": 1, "warning": 0, "info": 0 }));
    let policy =
        host["sections"].as_array().unwrap().iter().find(|row| row["section"] == "port_policy").unwrap().clone();
    assert_eq!(policy["state"], "unknown");
    assert_eq!(policy["reason"], "access denied DC2");
    assert_eq!(host["cannot_tell"][0]["reason"], "Cannot tell on DC2");

    let finding = http.get("/api/v1/findings/11111111-1111-4111-8111-111111111111", &token).await?.json();
    assert_eq!(finding["deliveries"][0]["last_error"], "connection refused by tickets");
    assert_eq!(finding["remedy"]["steps"][0]["command"], "net start IAS");
    assert_eq!(finding["timeline"][0]["transition"], "opened");
    Ok(())
}

#[tokio::test]
async fn unknown_sockets_are_no_free_ports() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Viewer, Some(&[1])).await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql("update host_section set unknown_reason = 'netstat failed' where section = 'sockets'")
        .execute(&mut superuser)
        .await?;
    let services = http.get("/api/v1/hosts/11/services", &token).await?.json();
    assert_eq!(services["sockets"]["reason"], "netstat failed");
    let needs = services["items"][0]["needs"].as_array().unwrap();
    assert!(!needs.is_empty() && needs.iter().all(|need| need["holder"]["kind"] == "unknown"), "{needs:?}");
    Ok(())
}

#[tokio::test]
async fn hostile_names_come_through_as_text() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Viewer, Some(&[1])).await?;
    for name in HOSTILE {
        sqlx::query("update host set name = $1 where host_id = 11")
            .bind(name)
            .execute(&mut doors.database.superuser().await?)
            .await?;
        let answer = http.get("/api/v1/hosts/11", &token).await?;
        assert_eq!(answer.json()["name"], *name);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    Ok(())
}

#[tokio::test]
async fn live_tells_of_own_clients_only_and_ends_with_the_server() -> Result<()> {
    let Seeded { http, doors } = seeded().await?;
    let token = http.token("ada", Role::Viewer, Some(&[1])).await?;
    let mut live =
        http.stream("GET", "/api/v1/live", &[("authorization", &token), ("accept-encoding", "gzip")], "").await?;
    let head = read_until(&mut live, "event: resync").await?;
    assert!(head.contains("content-type: text/event-stream") && head.contains("x-accel-buffering: no"), "{head}");
    assert!(!head.contains("content-encoding"), "{head}");

    for (client_id, id) in [(2, "quagga"), (1, "11")] {
        doors.app.bus.publish(Hint { client_id, kind: HintKind::Host, id: id.to_owned() });
    }
    let hint = read_until(&mut live, "\"client_id\":1").await?;
    assert!(
        hint.contains("event: hint") && hint.contains("\"kind\":\"host\"") && hint.contains("\"id\":\"11\""),
        "{hint}"
    );
    assert!(!hint.contains("quagga"), "{hint}");

    doors.app.stopping.cancel();
    let ended = read_until(&mut live, "no such text").await.unwrap_err();
    assert!(ended.to_string().contains("ended"), "{ended}");
    Ok(())
}

#[tokio::test]
async fn files_that_are_not_there_are_not_found() -> Result<()> {
    let Seeded { http, doors: _open } = seeded().await?;
    let html = [("accept", "text/html,application/xhtml+xml")];
    for (path, headers, status) in [
        ("/", &html[..], 200),
        ("/findings", &html[..], 200),
        ("/hosts/11?tab=ports", &html[..], 200),
        ("/findings", &[][..], 404),
        ("/assets/nope.js", &html[..], 404),
        ("/assets/", &html[..], 404),
        ("/favicon.nope", &[("accept", "image/*")][..], 404),
        ("/api/nope", &html[..], 401),
    ] {
        let answer = http.send("GET", path, headers, "").await?;
        assert_eq!(answer.status, status, "{path} {headers:?}: {}", answer.body);
        assert!(answer.header("content-security-policy").unwrap().contains("script-src 'self';"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(http.send("GET", "/", &html, "").await?.header("cache-control"), Some("no-cache"));
    assert!(http.send("POST", "/findings", &html, "").await?.status >= 400);
    Ok(())
}
