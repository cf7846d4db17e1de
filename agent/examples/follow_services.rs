//! A program for tests: looks at this host as the agent does, every ten minutes unless something is pushed, and prints each
//! change of a service's state.
//!
//! usage: follow_services    (prints `NAME STATE EXIT-CODE MILLISECONDS`, the last from the moment that the agent says it
//! changed to the moment that the agent has told it)

#[cfg(windows)]
fn main() -> anyhow::Result<()> {
    windows::follow()
}

#[cfg(not(windows))]
fn main() {}

#[cfg(windows)]
mod windows {
    use std::collections::HashMap;
    use std::io::Write as _;
    use std::time::Duration;

    use portreeve_agent::{clock, collect::live};

    pub(super) fn follow() -> anyhow::Result<()> {
        let (mut source, _collecting) = live::watch(clock::now, None)?;
        source.collect_every.send(Duration::from_mins(10))?;
        let mut known = HashMap::new();
        while let Some(facts) = source.facts.blocking_recv() {
            let told_at = clock::now();
            let mut out = std::io::stdout().lock();
            for service in facts.services.known().into_iter().flatten() {
                let state = (service.state, service.state_since);
                let before = known.insert(service.name.clone(), state);
                if before.is_none_or(|before| before == state) {
                    continue;
                }
                let after = service.state_since.map_or(-1, |since| (told_at - since).num_milliseconds());
                let exit_code = service.service_exit_code.or(service.exit_code).unwrap_or_default();
                writeln!(out, "{} {:?} {exit_code} {after}", service.name, service.state)?;
            }
            writeln!(out, "looked")?;
            out.flush()?;
        }
        Ok(())
    }
}
