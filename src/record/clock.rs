//! Ticks, and how they map to wall time.
//!
//! A tick is the time stamp counter, shifted: some 6 ns, still finer than a block
//! can change threads. Where that counter is not one clock for all processors,
//! threads take their moments from a word in the ring instead: exact in order, and
//! in time as exact as the attacher sets it, every few milliseconds.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What moments are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The time stamp counter.
    Counter,
    /// The ring's sequence, in nanoseconds.
    Sequence,
}

/// One reading of a clock and of wall time.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The tick.
    pub ticks: u64,
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    instant: Instant,
}

/// A tick of the counter is 2⁴ cycles.
const COUNTER_SHIFT: u32 = 4;
/// Long enough to know the counter's rate to a percent.
const ROUGH: Duration = Duration::from_millis(2);

impl Clock {
    /// The counter, if the kernel says that it is one clock for all processors.
    pub fn choose() -> Clock {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let has = |name| line.split_whitespace().any(|flag| flag == name);
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        let source = std::fs::read_to_string(source).unwrap_or_default();
        let is_trusted = !matches!(source.trim(), "hpet" | "acpi_pm" | "refined-jiffies");
        match has("constant_tsc") && has("nonstop_tsc") && has("rdtscp") && is_trusted {
            true => Clock::Counter,
            false => Clock::Sequence,
        }
    }

    /// Bits dropped from the counter; [`prof_shared::region::SEQUENCE`] for the sequence.
    pub fn shift(self) -> u32 {
        match self {
            Clock::Counter => COUNTER_SHIFT,
            Clock::Sequence => prof_shared::region::SEQUENCE,
        }
    }

    /// The present tick.
    pub fn now(self) -> u64 {
        match self {
            Clock::Counter => counter() >> COUNTER_SHIFT,
            Clock::Sequence => unix_ns(),
        }
    }

    /// Reads the clock and wall time; the tightest of a few tries.
    pub fn read(self) -> Reading {
        let tries = (0..16).map(|_| {
            let (before, instant, unix_ns, after) = (self.now(), Instant::now(), unix_ns(), self.now());
            (after.wrapping_sub(before), Reading { ticks: before.midpoint(after), unix_ns, instant })
        });
        tries.min_by_key(|(width, _)| *width).expect("there was a try").1
    }

    /// Ticks a second from a short measurement; enough for time-outs.
    pub fn rough_rate(self) -> u64 {
        let start = self.read();
        std::thread::sleep(ROUGH);
        start.rate(&self.read()) as u64
    }
}

impl Reading {
    /// Time since then.
    pub fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }

    /// Ticks a second, measured from `self` to `later`.
    pub fn rate(&self, later: &Reading) -> f64 {
        let seconds = later.instant.duration_since(self.instant).as_secs_f64();
        later.ticks.wrapping_sub(self.ticks) as f64 / seconds.max(1e-9)
    }
}

fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    #[expect(unsafe_code)]
    // SAFETY: every x86-64 has the counter, and Linux lets user mode read it.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_agree_with_time() {
        let rate = Clock::Sequence.rough_rate();
        assert!((900_000_000..1_100_000_000).contains(&rate), "{rate}");
        let start = Clock::Counter.read();
        assert!(Clock::Counter.read().ticks >= start.ticks);
    }
}
