//! The files of a plan on a Windows: `regedit` takes in what the plan says, and the command prompt takes it back. (`findstr`
//! of Wine finds everything, so that what a script checks first is not tested here.)

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rules::catalog::Catalog;
use rules::check;
use rules::facts::Section;
use rules::history::History;
use rules::plan::script::{self, Format};
use rules::plan::{self, Plan};
use tests::wine::WinePrefix;

/// A Server 2008 R2 whose IAS lost udp/1812 to the DNS server; its list holds 1900.
const FACTS: &str = include_str!("../../rules/cases/port-conflict-blocked/ias-loses-to-dns-pool/facts.json");
const KEY: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters";
const VALUE: &str = "SocketPoolExcludedPortRanges";

fn plan_for(host: &str) -> Result<Plan> {
    let mut facts = check::parse_facts(FACTS.as_bytes())?;
    if let Section::Known(known) = &mut facts.host {
        known.name = host.into();
    }
    let catalog = Catalog::builtin();
    let judgement = rules::judge(&facts, &catalog, &History::default());
    Ok(plan::of_host(&facts, &catalog, &judgement))
}

fn ranges(prefix: &WinePrefix) -> Result<String> {
    let shown = prefix.succeed(Path::new("reg"), &["query", KEY, "/v", VALUE])?;
    let ranges = shown.split("REG_MULTI_SZ").nth(1).context("the list is set")?;
    Ok(ranges.trim().to_owned())
}

#[test]
fn windows_takes_in_a_plan_and_takes_it_back() -> Result<()> {
    let prefix = WinePrefix::new()?;
    let name = prefix.succeed(Path::new("cmd"), &["/c", "echo %COMPUTERNAME%"])?;
    let plan = plan_for(name.trim())?;
    for format in [Format::Registry, Format::Command] {
        let file = prefix.drive().join(format!("plan.{}", format.extension()));
        fs::write(file, script::write(&plan, format))?;
    }

    prefix.succeed(Path::new("regedit"), &["/S", r"C:\plan.reg"])?;
    assert_eq!(ranges(&prefix)?, r"1645-1646\01812-1813\01900-1900");

    // Wine has no account of the local service, by whose key the script knows an administrator.
    let said = prefix.succeed(Path::new("cmd"), &["/c", r"reg add HKU\S-1-5-19 /f & C:\plan.cmd undo"])?;
    assert_eq!(ranges(&prefix)?, "1900-1900", "{said}");
    Ok(())
}
