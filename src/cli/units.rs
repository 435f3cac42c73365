//! Times and sizes as typed.

use crate::record::SAMPLE_INTERVALS;
use prof_shared::ring::Shape;
use std::time::Duration;

/// `60`, `90s`, `5m`, `1500ms`.
pub(super) fn moment(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(duration) => duration.map_err(|error| error.to_string()),
        None => humantime::parse_duration(text).map_err(|_| "not a time such as 60, 90s or 5m".to_owned()),
    }
}

/// The same; not nothing.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = moment(text)?;
    if duration.is_zero() { Err("a recording takes longer than that".to_owned()) } else { Ok(duration) }
}

/// The size of the ring where none is given.
pub(super) const RING_SIZE: &str = "32MiB";

/// `32MiB`, `1GiB`, `256K`; a number alone is bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        other => return Err(format!("unknown unit {other:?}; use KiB, MiB or GiB")),
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.ok_or_else(|| "not a size".to_owned())
}

/// The same, for a ring.
pub(super) fn ring_size(text: &str) -> Result<Shape, String> {
    match size(text)? {
        bytes if (Shape::MIN_BYTES..=Shape::MAX_BYTES).contains(&bytes) => Ok(Shape::new(bytes)),
        _ => Err("a ring has 256 KiB to 16 GiB".to_owned()),
    }
}

/// The same, for the distance between samples.
pub(super) fn sample_interval(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if SAMPLE_INTERVALS.contains(&bytes) => Ok(bytes),
        _ => Err("samples lie 1 KiB to 1 GiB apart".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [("60", 60_000), ("90s", 90_000), ("5m", 300_000), ("0.5", 500), ("50ms", 50)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(moment("0"), Ok(Duration::ZERO));
        for text in ["", "0", "-1", "soon", "5 parsecs", "nan", "1e30"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ring_sizes() {
        assert_eq!(ring_size("32MiB"), Ok(Shape::new(32 << 20)));
        assert_eq!(ring_size("256K"), Ok(Shape::new(256 << 10)));
        assert_eq!((sample_interval("512KiB"), sample_interval("1K")), (Ok(512 << 10), Ok(1 << 10)));
        for text in ["", "0", "1023", "1025MiB", "half"] {
            assert!(sample_interval(text).is_err(), "{text}");
        }
        for text in ["", "1KiB", "17GiB", "MiB", "32 parsecs", "-1", "99999999999999999999G"] {
            assert!(ring_size(text).is_err(), "{text}");
        }
    }
}
