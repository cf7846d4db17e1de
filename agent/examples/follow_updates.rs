//! A program for tests: prints the ids of the updates, and again each time the agent's watch says that something changed.

fn main() {
    #[cfg(windows)]
    windows::follow();
}

#[cfg(windows)]
mod windows {
    use std::sync::mpsc;

    use portreeve_agent::collect::windows::Collector;

    pub(super) fn follow() {
        let (sender, changes) = mpsc::channel();
        let on_change = move || {
            // Nobody listens any longer when the program ends.
            let _ = sender.send(());
        };
        let mut collector = Collector::new(on_change, None);
        loop {
            #[expect(clippy::disallowed_methods, reason = "a program of its own reads the clock itself")]
            let facts = collector.look(chrono::Utc::now());
            match facts.updates.known() {
                Some(updates) => println!("known {:?}", updates.iter().map(|update| &update.id).collect::<Vec<_>>()),
                None => println!("unknown"),
            }
            if changes.recv().is_err() {
                return;
            }
        }
    }
}
