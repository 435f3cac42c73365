//! A bar for what takes longer than a moment.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Shorter work shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const STEPS: u64 = 1000;

/// How far some work is; on stderr, if that is a terminal.
pub(super) struct Progress {
    begun: Instant,
    bar: ProgressBar,
}

impl Progress {
    /// Work begins.
    pub fn new(what: &'static str) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::hidden());
        let template = "{msg} [{bar:30}] {percent:>3} % · {eta} left";
        bar.set_style(
            ProgressStyle::with_template(template).expect("a valid template").progress_chars("=> "),
        );
        bar.set_message(what);
        Progress { begun: Instant::now(), bar }
    }

    /// So much is done, from 0 to 1.
    pub fn show(&mut self, part: f64) {
        if self.bar.is_hidden() {
            if self.begun.elapsed() < PATIENCE || !stderr().is_terminal() {
                return;
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
        self.bar.set_position((part.clamp(0.0, 1.0) * STEPS as f64) as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
