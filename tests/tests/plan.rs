//! The plan of a host at the door of the API: from a capture to a list of steps and to the files, for those who may see the
//! host.

use anyhow::{Context as _, Result, ensure};
use portreeve_server::people::Role;
use serde_json::{Value, json};
use tests::doors::Doors;
use tests::http_door::{Answer, HttpDoor};

/// A Server 2003 whose IAS lost udp/1645 to the DNS server.
const IAS_2003: &str = include_str!("../../rules/cases/port-conflict-blocked/ias-capture-2003/facts.json");
const HEALTHY: &str = include_str!("../../rules/cases/port-conflict-blocked/ias-runs/facts.json");
const BOUNDARY: &str = "portreeve-test-boundary";

struct Served {
    doors: Doors,
    http: HttpDoor,
    place: (i32, i64),
    token: String,
}

impl Served {
    async fn new() -> Result<Self> {
        let doors = Doors::open().await?;
        let site = doors.site("Contoso").await?;
        let http = HttpDoor::open(&doors.app)?;
        let token = http.token("ada", Role::Operator, None).await?;
        Ok(Self { doors, http, place: (site.client_id, site.site_id), token })
    }

    /// Imports facts under another name of their host; answers its path.
    async fn host(&self, facts: &str, name: &str) -> Result<String> {
        let mut facts: Value = serde_json::from_str(facts)?;
        facts["host"]["known"]["name"] = json!(name);
        let (client, site) = self.place;
        let part = |name: &str, text: &dyn std::fmt::Display| {
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name={name}\r\n\r\n{text}\r\n")
        };
        let body = [
            part("\"client\"", &client),
            part("\"site\"", &site),
            part("\"files\"; filename=\"facts.json\"", &facts),
            format!("--{BOUNDARY}--\r\n"),
        ]
        .concat();
        let form = format!("multipart/form-data; boundary={BOUNDARY}");
        let headers = [("content-type", form.as_str()), ("authorization", self.token.as_str())];
        let answer = self.http.send("POST", "/api/v1/captures", &headers, &body).await?;
        ensure!(answer.status == 201, "{}", answer.body);
        let id = answer.json()["host"]["id"].as_i64().context("a new host")?;
        Ok(format!("/api/v1/hosts/{id}/plan"))
    }

    async fn get(&self, path: &str) -> Result<Answer> {
        let answer = self.http.get(path, &self.token).await?;
        ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.body);
        Ok(answer)
    }
}

fn texts(steps: &Value) -> Vec<&str> {
    steps.as_array().into_iter().flatten().filter_map(|step| step["text"].as_str()).collect()
}

#[tokio::test]
async fn findings_become_one_plan_and_its_files() -> Result<()> {
    let served = Served::new().await?;
    let path = served.host(IAS_2003, "RADIUS9").await?;

    let plan = served.get(&path).await?.json();
    assert_eq!(plan["applies_to"], "Server 2003");
    assert_eq!(plan["restart"], "server");
    let steps = texts(&plan["steps"]);
    let at = |start: &str| {
        steps.iter().position(|text| text.starts_with(start)).with_context(|| format!("{start}: {steps:?}"))
    };
    assert!(at("Stop DNS")? < at("Add 1645-1646")? && at("Add 1645-1646")? < at("Start IAS")?, "{steps:?}");
    assert!(at("Start IAS")? < at("Start DNS")?, "{steps:?}");
    assert_eq!(at("Restart the server")?, steps.len() - 1);
    let id = plan["steps"][0]["findings"][0]["id"].as_str().context("the finding of a step")?;
    served.get(&format!("/api/v1/findings/{id}")).await?;
    assert!(texts(&plan["undo"]).iter().any(|text| text.contains("ReservedPorts")), "{plan}");

    for extension in ["ps1", "cmd", "reg"] {
        let file = served.get(&format!("{path}.{extension}")).await?;
        let named = format!("attachment; filename=\"portreeve-plan-RADIUS9.{extension}\"");
        assert_eq!(file.header("content-disposition"), Some(named.as_str()));
        assert_eq!(file.header("content-type"), Some("application/octet-stream"));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        // UTF-16 for regedit.
        let text = file.body.replace('\0', "");
        assert!(text.contains("1645") || text.contains("ReservedPorts"), "{extension}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hostile_name_reaches_no_header_and_a_healthy_host_has_an_empty_plan() -> Result<()> {
    let served = Served::new().await?;
    let path = served.host(IAS_2003, "x\"; a=b & calc").await?;
    let file = served.get(&format!("{path}.cmd")).await?;
    let id = path.split('/').nth(4).context("an id")?;
    assert_eq!(
        file.header("content-disposition"),
        Some(format!("attachment; filename=\"portreeve-plan-{id}.cmd\"").as_str())
    );
    assert!(!file.body.contains("& calc"), "{}", file.body);

    let path = served.host(HEALTHY, "HEALTHY1").await?;
    let plan = served.get(&path).await?.json();
    assert_eq!((&plan["steps"], &plan["by_hand"], &plan["restart"]), (&json!([]), &json!([]), &json!("none")));
    assert!(served.get(&format!("{path}.cmd")).await?.body.contains("Nothing is to be done"));
    Ok(())
}

#[tokio::test]
async fn a_plan_is_for_those_who_see_the_host() -> Result<()> {
    let served = Served::new().await?;
    let path = served.host(IAS_2003, "RADIUS9").await?;
    let other = served.doors.site("Fabrikam").await?;
    let confined = served.http.token("bob", Role::Admin, Some(&[other.client_id])).await?;
    for path in [path.clone(), format!("{path}.ps1"), format!("{path}.cmd"), format!("{path}.reg")] {
        assert_eq!(served.http.get(&path, &confined).await?.code().as_deref(), Some("resource.not-found"), "{path}");
        assert_eq!(served.http.send("GET", &path, &[], "").await?.status, 401, "{path}");
    }
    Ok(())
}
