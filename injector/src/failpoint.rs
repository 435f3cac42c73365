//! Places where a test lets this process die, stop or fail.
//!
//! After each step that changes the target stands a [`fail_point`]. With the
//! feature `failpoints`, the variable `PROF_FAIL_AT=<name or number>:<kill|stop|error>`
//! chooses one, by its name or as the n-th that is passed, from 1. Without the
//! feature nothing is compiled in. A [`panic_point`] is passed again and again.

/// A fail point that was told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("told to fail after {0}")]
pub struct ToldToFail(pub &'static str);

/// Passes the fail point behind step `name`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn fail_point(_name: &'static str) -> Result<(), ToldToFail> {
    Ok(())
}

/// Panics where a test wants it: `PROF_PANIC_AT=<name>:<file>` chooses a place, and the moment
/// from which on the file is there.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn panic_point(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub use enabled::{fail_point, panic_point};

#[cfg(feature = "failpoints")]
mod enabled {
    use super::ToldToFail;
    use nix::sys::signal::{Signal, raise};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static CHOSEN: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
        let value = std::env::var("PROF_FAIL_AT").ok()?;
        let (place, action) = value.split_once(':')?;
        Some((place.to_owned(), action.to_owned()))
    });

    /// Passes the fail point behind step `name`.
    pub fn fail_point(name: &'static str) -> Result<(), ToldToFail> {
        let number = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
        match &*CHOSEN {
            Some((place, action)) if *place == name || *place == number.to_string() => act(name, action),
            _ => Ok(()),
        }
    }

    static PANICS: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
        let value = std::env::var("PROF_PANIC_AT").ok()?;
        value.split_once(':').map(|(place, file)| (place.to_owned(), file.to_owned()))
    });

    /// Panics where and when it was told to.
    pub fn panic_point(name: &'static str) {
        if let Some((place, file)) = &*PANICS
            && place == name
            && std::fs::exists(file).unwrap_or(false)
        {
            panic!("told to panic at {name}");
        }
    }

    fn act(name: &'static str, action: &str) -> Result<(), ToldToFail> {
        let signal = match action {
            "kill" => Signal::SIGKILL,
            "stop" => {
                eprintln!("stopping after {name}");
                Signal::SIGSTOP
            }
            _ => return Err(ToldToFail(name)),
        };
        raise(signal).map_err(|_| ToldToFail(name))
    }
}
