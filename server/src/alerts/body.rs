//! The body of a webhook, schema 1: `{"schema":1,"type":"finding.opened","id":…,"time":…,"data":{…}}`. The receiver
//! finds in it everything a ticket needs: what, where, since when, why, and what to do. Pure.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::db::deliveries::Place;
use crate::findings::{FindingChange, Transition};

/// Standard Webhooks asks for bodies under 20 KB.
const MAX_BYTES: usize = 20 * 1000;

pub(super) fn body(
    change: &FindingChange,
    transition: Transition,
    place: &Place,
    public_url: &str,
    now: DateTime<Utc>,
) -> String {
    let mut data = json!(change.finding);
    for list in ["/remedy/steps", "/remedy/undo"] {
        for step in data.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            // What a plan is made of: a person reads the words.
            step.as_object_mut().map(|step| step.remove("changes"));
        }
    }
    data["id"] = json!(change.id);
    data["state"] = json!(if transition == Transition::Resolved { "resolved" } else { "open" });
    data["episode"] = json!(change.episode);
    data["opened_at"] = json!(time(change.opened_at));
    if let Some(because) = change.because {
        data["resolved_because"] = json!(because);
    }
    // One ticket per finding and episode: a return is another ticket, its end closes the right one.
    data["dedup_key"] = json!(format!("{}/{}", change.id, change.episode));
    data["client"] = json!({ "id": place.client_id, "name": place.client });
    data["site"] = json!({ "id": place.site_id, "name": place.site });
    data["host"] = json!({ "id": place.host_id, "name": place.host });
    data["url"] = json!(format!("{public_url}/findings/{}", change.id));
    let mut body = json!({
        "schema": 1,
        "type": format!("finding.{}", transition.as_str()),
        "id": change.id,
        "time": time(now),
        "data": data,
    });
    shrink(&mut body);
    body.to_string()
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Leaves out evidence from its end, then the remedy's steps, and says how many were left out; the page has them all.
fn shrink(body: &mut Value) {
    for list in ["/data/evidence", "/data/remedy/steps", "/data/remedy/undo"] {
        let mut left_out = 0_u32;
        while body.to_string().len() >= MAX_BYTES {
            let Some(items) = body.pointer_mut(list).and_then(Value::as_array_mut) else { break };
            if items.pop().is_none() {
                break;
            }
            left_out += 1;
            body["data"]["left_out"][list.trim_start_matches("/data/")] = json!(left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rules::finding::{Confidence, Evidence, Finding, Remedy, Restart, Severity, Step, Subject};
    use rules::remedy::Change;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{MAX_BYTES, body};
    use crate::db::deliveries::Place;
    use crate::findings::{FindingChange, Transition};

    fn change(evidence: usize) -> FindingChange {
        let text = "dns.exe holds udp/1812 <b>".repeat(20);
        FindingChange {
            id: Uuid::from_u128(7),
            transition: Transition::Reopened,
            episode: 2,
            opened_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            before: None,
            because: None,
            finding: Finding {
                rule: "port-conflict/blocked".to_owned(),
                subject: Subject::from([("service".to_owned(), "IAS".to_owned())]),
                problem: String::new(),
                severity: Severity::Critical,
                confidence: Confidence::Certain,
                title: "IAS did not start".to_owned(),
                cause: String::new(),
                evidence: vec![Evidence { at: None, text, source: "socket table".to_owned() }; evidence],
                remedy: Remedy {
                    summary: String::new(),
                    applies_to: String::new(),
                    steps: vec![Step {
                        text: "Start IAS".to_owned(),
                        command: Some("net start IAS".to_owned()),
                        changes: vec![Change::RestartServer],
                    }],
                    risk: String::new(),
                    restart: Restart::Service,
                    undo: Vec::new(),
                    proven_when: String::new(),
                },
                since: None,
                probability: None,
            },
        }
    }

    fn sent(evidence: usize) -> (String, Value) {
        let place = Place {
            client_id: 1,
            client: "Contoso".to_owned(),
            site_id: 2,
            site: "Bremen".to_owned(),
            host_id: 3,
            host: "DC01".to_owned(),
        };
        let now = DateTime::from_timestamp(1_800_000_060, 0).unwrap();
        let text = body(&change(evidence), Transition::Reopened, &place, "http://127.0.0.1:8080", now);
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn says_what_where_and_since_when() {
        let (_, body) = sent(1);
        assert_eq!(body["schema"], 1);
        assert_eq!(body["type"], "finding.reopened");
        assert_eq!(body["time"], "2027-01-15T08:01:00.000Z");
        let data = &body["data"];
        assert_eq!(data["dedup_key"], "00000000-0000-0000-0000-000000000007/2");
        assert_eq!(data["host"], json!({ "id": 3, "name": "DC01" }));
        assert_eq!(data["url"], "http://127.0.0.1:8080/findings/00000000-0000-0000-0000-000000000007");
        assert_eq!(data["remedy"]["steps"][0]["command"], "net start IAS");
        assert_eq!(data["remedy"]["steps"][0].get("changes"), None);
        assert_eq!(data.get("left_out"), None);
    }

    #[test]
    fn stays_under_the_limit_and_says_what_it_left_out() {
        let (text, body) = sent(500);
        assert!(text.len() < MAX_BYTES);
        let kept = body["data"]["evidence"].as_array().unwrap().len();
        assert!(kept > 0);
        assert_eq!(body["data"]["left_out"]["evidence"], 500 - kept);
        assert_eq!(body["data"]["remedy"]["steps"].as_array().unwrap().len(), 1);
    }
}
