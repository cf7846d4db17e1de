//! Where the program says what it does.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt, registry};

pub(crate) struct Sink {
    pub(crate) lines: BoxMakeWriter,
    pub(crate) is_terminal: bool,
    /// Another place that hears the same.
    pub(crate) also: Option<Box<dyn Layer<Registry> + Send + Sync>>,
}

impl Sink {
    pub(crate) fn standard_error() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { lines: BoxMakeWriter::new(std::io::stderr), is_terminal, also: None }
    }
}

/// Once in a process.
pub(crate) fn start(level: Level, sink: Sink) {
    // Libraries speak of every frame: of them only warnings are for people.
    let levels = Targets::new().with_target("portreeve_agent", level).with_default(level.min(Level::WARN));
    let lines = fmt::layer().with_writer(sink.lines).with_ansi(sink.is_terminal);
    registry().with(sink.also).with(lines).with(levels).init();
}
