//! JSON that is safe to look at: control characters that JSON allows in strings
//! (DEL and C1, which some terminals obey) are escaped too.

use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Writes a value on a line of its own.
pub fn write_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", text(value)?)
}

/// A value on one line.
pub(super) fn text(value: &impl Serialize) -> io::Result<String> {
    Ok(escape(serde_json::to_string(value)?))
}

/// A value on many lines.
pub(super) fn pretty(value: &impl Serialize) -> io::Result<String> {
    Ok(escape(serde_json::to_string_pretty(value)?))
}

/// RFC 3339, UTC.
pub fn time(unix_ns: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(unix_ns)).to_string()
}

fn escape(json: String) -> String {
    let steers = |c: char| matches!(c, '\u{7f}'..='\u{9f}');
    if !json.contains(steers) {
        return json;
    }
    json.chars().fold(String::new(), |mut out, c| {
        if steers(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)))
        } else {
            out.push(c)
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_characters_come_out() {
        let text = text(&"\x1b[2J\u{9b}J\u{7f}é").expect("a string");
        assert_eq!(text, r#""\u001b[2J\u009bJ\u007fé""#);
        assert_eq!(serde_json::from_str::<String>(&text).expect("valid"), "\x1b[2J\u{9b}J\u{7f}é");
    }
}
