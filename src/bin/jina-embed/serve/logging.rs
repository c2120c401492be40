//! One line of standard error per event. Time and place are added by whoever collects it.

use std::io::Write;

use log::{Level, Log, Metadata, Record};

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What graphics libraries say is for their developers.
        let is_ours = metadata.target().starts_with("jina_embed");
        is_ours && metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let prefix = match record.level() {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                _ => "",
            };
            // Nobody may read it any more, which is no reason to stop.
            let _ = writeln!(std::io::stderr().lock(), "{prefix}{}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Sends the log to standard error, once per process.
pub fn to_standard_error() {
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}
