//! Ticks: the time stamp counter, shifted, and how it maps to wall time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A tick is 2⁴ cycles: some 6 ns, still finer than a block can change threads.
pub const SHIFT: u32 = 4;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The tick.
    pub ticks: u64,
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    instant: Instant,
}

/// The present tick.
pub fn now() -> u64 {
    counter() >> SHIFT
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    #[expect(unsafe_code)]
    // SAFETY: every x86-64 has the counter; `is_trustworthy` says whether it is sane.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
}

impl Reading {
    /// Reads both clocks; the tightest of a few tries.
    pub fn take() -> Reading {
        let mut best: Option<(u64, Reading)> = None;
        for _ in 0..16 {
            let before = now();
            let instant = Instant::now();
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let after = now();
            let reading =
                Reading { ticks: before.midpoint(after), unix_ns: since.as_nanos() as u64, instant };
            if best.as_ref().is_none_or(|(width, _)| after - before < *width) {
                best = Some((after - before, reading));
            }
        }
        best.expect("there was a try").1
    }

    /// Ticks a second, measured from `self` to `later`.
    pub fn rate(&self, later: &Reading) -> f64 {
        let seconds = later.instant.duration_since(self.instant).as_secs_f64();
        (later.ticks.wrapping_sub(self.ticks)) as f64 / seconds.max(1e-9)
    }
}

/// Ticks a second from a short measurement; enough for time-outs.
pub fn rough_rate() -> u64 {
    let start = Reading::take();
    std::thread::sleep(Duration::from_millis(2));
    start.rate(&Reading::take()) as u64
}

/// Whether the counter is one clock for all cores: the kernel's own verdict.
pub fn is_trustworthy() -> bool {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |name| line.split_whitespace().any(|flag| flag == name);
    has("constant_tsc") && has("nonstop_tsc") && has("rdtscp")
}
