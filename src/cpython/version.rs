//! A CPython version, exact to the release candidate.

use std::fmt;

/// A version as `sys.version_info` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3.
    pub major: u8,
    /// The feature release.
    pub minor: u8,
    /// The bug-fix release.
    pub micro: u8,
    /// How finished it is.
    pub stage: Stage,
}

/// How finished a release is, with the serial number where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `a1`: layouts still move.
    Alpha(u8),
    /// `b1`: layouts still move.
    Beta(u8),
    /// `rc1`: layouts are final.
    Candidate(u8),
    /// A release.
    Final,
}

impl Version {
    /// Reads `PY_VERSION_HEX`, the value of `Py_Version` (3.11 and later).
    pub fn from_hex(hex: u32) -> Option<Version> {
        let [major, minor, micro, release] = hex.to_be_bytes();
        let serial = release & 0xf;
        let stage = match release >> 4 {
            0xa => Stage::Alpha(serial),
            0xb => Stage::Beta(serial),
            0xc => Stage::Candidate(serial),
            0xf => Stage::Final,
            _ => return None,
        };
        Some(Version { major, minor, micro, stage })
    }

    /// Reads `PY_VERSION`, say `3.9.18`, `3.10.0rc1` or `3.9.2+`.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.strip_suffix('+').unwrap_or(text);
        let (major, rest) = text.split_once('.')?;
        let (minor, rest) = rest.split_once('.')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (micro, release) = rest.split_at(digits);
        let stage = match release.find(|c: char| c.is_ascii_digit()).map(|at| release.split_at(at)) {
            None if release.is_empty() => Stage::Final,
            Some(("a", serial)) => Stage::Alpha(serial.parse().ok()?),
            Some(("b", serial)) => Stage::Beta(serial.parse().ok()?),
            Some(("rc", serial)) => Stage::Candidate(serial.parse().ok()?),
            _ => return None,
        };
        Some(Version {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            micro: micro.parse().ok()?,
            stage,
        })
    }

    /// Whether it is `3.minor` or later.
    pub fn at_least(self, minor: u8) -> bool {
        (self.major, self.minor) >= (3, minor)
    }

    /// Whether layouts could still change when it was built.
    pub fn is_unstable(self) -> bool {
        matches!(self.stage, Stage::Alpha(_) | Stage::Beta(_))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)?;
        match self.stage {
            Stage::Alpha(serial) => write!(f, "a{serial}"),
            Stage::Beta(serial) => write!(f, "b{serial}"),
            Stage::Candidate(serial) => write!(f, "rc{serial}"),
            Stage::Final => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        for (hex, text) in [
            (0x0308_12f0, "3.8.18"),
            (0x030d_00f0, "3.13.0"),
            (0x030a_00c1, "3.10.0rc1"),
            (0x030e_00a7, "3.14.0a7"),
        ] {
            let version = Version::from_hex(hex);
            assert_eq!(version, Version::parse(text), "{text}");
            assert_eq!(version.map(|v| v.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Version::parse("3.9.2+"), Version::parse("3.9.2"));
    }

    #[test]
    fn other_texts_are_no_version() {
        for text in ["", "3", "3.8", "3.8.", "3.8.1x", "3.8.300", "3..1", "3.8.1rc", "3.8.1rc999", "a.b.c"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(Version::from_hex(0x0308_1200), None);
    }

    #[test]
    fn order_follows_the_release() {
        let parse = |text| Version::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert!(parse("3.13.0rc1") < parse("3.13.0"));
        assert!(parse("3.9.18") < parse("3.10.0"));
        assert!(parse("3.10.0").at_least(9) && !parse("3.8.18").at_least(9));
    }
}
