//! Numbers for people: IEC bytes, grouped counts, durations.

/// As `1.5 MiB`; below 1 KiB in bytes.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// As `+1.5 MiB` or `-1.5 MiB`.
pub fn signed_bytes(change: i64) -> String {
    let sign = if change < 0 { '-' } else { '+' };
    format!("{sign}{}", bytes(change.unsigned_abs()))
}

/// As `1,234,567`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// As `1 block` or `2,000 blocks`.
pub fn plural(n: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(n), if n == 1 { "" } else { "s" })
}

/// As `12.3 s`, `4.5 ms` or `2 min 5 s`.
pub fn duration(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{:.1} µs", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        1_000_000_000..120_000_000_000 => format!("{:.1} s", nanos as f64 / 1e9),
        _ => {
            let seconds = nanos / 1_000_000_000;
            format!("{} min {} s", count(seconds / 60), seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        for (value, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (93 << 20, "93.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(value), shown);
        }
        for (value, shown) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), shown);
        }
        assert_eq!((plural(1, "gap"), plural(2000, "gap")), ("1 gap".into(), "2,000 gaps".into()));
        assert_eq!((signed_bytes(-1536), signed_bytes(0)), ("-1.5 KiB".into(), "+0 B".into()));
        let second = 1_000_000_000;
        for (value, shown) in
            [(84_000, "84.0 µs"), (12 * second + second / 3, "12.3 s"), (125 * second, "2 min 5 s")]
        {
            assert_eq!(duration(value), shown);
        }
    }
}
