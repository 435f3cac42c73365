//! Foreign text that is safe to print.

use std::fmt::{self, Write};

/// Shows a text with everything escaped that could steer a terminal, break a
/// line or change the direction of writing. Of a very long one the middle is left out.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

/// Of a text with more characters than these together the first and the last are shown.
const HEAD: usize = 800;
const TAIL: usize = 400;

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match middle(self.0) {
            None => write_escaped(self.0, f)?,
            Some((head, tail)) => {
                write_escaped(head, f)?;
                f.write_char('…')?;
                write_escaped(tail, f)?;
            }
        }
        if self.0.is_empty() { f.write_char('?') } else { Ok(()) }
    }
}

/// What is before and behind the part that is left out.
fn middle(text: &str) -> Option<(&str, &str)> {
    // No character is shorter than a byte.
    if text.len() <= HEAD + TAIL {
        return None;
    }
    let (head, _) = text.char_indices().nth(HEAD)?;
    let (tail, _) = text.char_indices().nth_back(TAIL - 1)?;
    (head < tail).then(|| (&text[..head], &text[tail..]))
}

fn write_escaped(mut rest: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    while let Some((at, character)) = rest.char_indices().find(|&(_, c)| is_unsafe(c)) {
        f.write_str(&rest[..at])?;
        write!(f, "{}", character.escape_default())?;
        rest = &rest[at + character.len_utf8()..];
    }
    f.write_str(rest)
}

/// Control characters (C0, DEL, C1), line separators, and Unicode's invisible
/// marks that change direction or width.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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

    #[test]
    fn long_texts_are_bounded() {
        for (length, shown) in [(1199, 1199), (1200, 1200), (1201, 1201), (1300, 1201), (10 << 20, 1201)] {
            for letter in ["a", "é", "😀"] {
                let text = Plain(&letter.repeat(length)).to_string();
                assert_eq!((text.chars().count(), text.contains('…')), (shown, length > 1200), "{length}");
            }
        }
        let text = format!("begin{}end", "\x1b".repeat(1 << 20));
        let shown = Plain(&text).to_string();
        assert!(shown.starts_with("begin") && shown.ends_with("end") && shown.len() < 10_000);
    }
}
