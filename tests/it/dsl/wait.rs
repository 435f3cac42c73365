//! Waiting for a condition, with a deadline. The only place that sleeps.

use std::time::{Duration, Instant};

/// How long any single thing may take. Generous: machines that run tests are slow.
pub const DEADLINE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `probe` gives a value; panics with `what` after [`DEADLINE`].
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, probe).unwrap_or_else(|| panic!("waited {DEADLINE:?} in vain until {what}"))
}

/// Waits until `probe` gives a value; `None` if it did not within `limit`.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        match probe() {
            Some(value) => return Some(value),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(PAUSE),
        }
    }
}
