//! Foreign text that is safe to print.

use std::fmt::{self, Write};

/// Shows a text with everything escaped that could steer a terminal, break a
/// line or change the direction of writing.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, character)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
            f.write_str(&rest[..at])?;
            write!(f, "{}", character.escape_default())?;
            rest = &rest[at + character.len_utf8()..];
        }
        f.write_str(rest)?;
        if self.0.is_empty() { f.write_char('?') } else { Ok(()) }
    }
}

/// Control characters (C0, DEL, C1), line separators, and Unicode's invisible
/// marks that change direction or width.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (text, shown) in [
            ("f", "f"),
            ("Klasse.größe <locals>", "Klasse.größe <locals>"),
            ("\x1b[2Jf\x07", r"\u{1b}[2Jf\u{7}"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}"),
            ("x\u{202e}y\u{2066}", r"x\u{202e}y\u{2066}"),
            ("", "?"),
        ] {
            assert_eq!(Plain(text).to_string(), shown);
        }
    }
}
