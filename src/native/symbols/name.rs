//! The names of functions as people write them.

use std::fmt::{self, Write};
use std::num::NonZeroU32;

/// Longer names are cut, in bytes.
const LONGEST: usize = 4096;
/// Stands where a name was cut.
const CUT: char = '…';
/// Nested types deeper than this are left as they are.
const DEEPEST: NonZeroU32 = NonZeroU32::new(96).expect("96 is not 0");

/// The text of a name; bytes that are no UTF-8 are replaced.
pub(super) fn text(raw: &[u8]) -> String {
    let mut name = Cut::default();
    // What does not fit is what is cut.
    let _cut = raw.utf8_chunks().try_for_each(|chunk| {
        name.write_str(chunk.valid())?;
        if chunk.invalid().is_empty() { Ok(()) } else { name.write_char(char::REPLACEMENT_CHARACTER) }
    });
    name.0
}

/// A name of C++ or Rust in the language's own form; others are theirs already. A symbol's
/// version (`memcpy@@GLIBC_2.14`) is left out.
pub(super) fn demangled(raw: &str) -> String {
    let unversioned = raw.split_once('@').map_or(raw, |(name, version)| match version {
        "plt" => raw,
        _ => name,
    });
    // Rust's older names are of C++'s form.
    rust(raw).or_else(|| cpp(raw)).unwrap_or_else(|| unversioned.to_owned())
}

/// Whether a name says more than the function's last name.
pub(super) fn is_mangled(raw: &[u8]) -> bool {
    raw.starts_with(b"_Z") || raw.starts_with(b"_R")
}

fn rust(raw: &str) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(raw).ok()?;
    let mut name = Cut::default();
    // The alternate form has no hash.
    let _cut = write!(name, "{symbol:#}");
    Some(name.0)
}

fn cpp(raw: &str) -> Option<String> {
    if !raw.starts_with("_Z") {
        return None;
    }
    let parse = cpp_demangle::ParseOptions::default().recursion_limit(DEEPEST.get());
    let symbol = cpp_demangle::Symbol::new_with_options(raw, &parse).ok()?;
    let options = cpp_demangle::DemangleOptions::new().recursion_limit(DEEPEST.get());
    let mut name = Cut::default();
    let is_whole = symbol.structured_demangle(&mut name, &options).is_ok();
    (is_whole || name.0.ends_with(CUT)).then_some(name.0)
}

/// Text that ends where it gets too long.
#[derive(Default)]
struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        if !self.0.ends_with(CUT) {
            let end = (0..=room).rfind(|at| text.is_char_boundary(*at)).expect("0 is one");
            self.0.push_str(&text[..end]);
            self.0.push(CUT);
        }
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let table = [
            ("main", "main"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("memcpy@GLIBC_2.2.5", "memcpy"),
            ("malloc@plt", "malloc@plt"),
            ("_PyEval_EvalFrameDefault.cold", "_PyEval_EvalFrameDefault.cold"),
            ("_ZN5space3fooEibc", "space::foo(int, bool, char)"),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_ZN5alloc3vec9from_elem17h0123456789abcdefE", "alloc::vec::from_elem"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_Znot one", "_Znot one"),
            ("", ""),
        ];
        for (raw, name) in table {
            assert_eq!(demangled(raw), name);
        }
    }

    #[test]
    fn long_names_are_cut() {
        let cut = |name: &str| name.len() <= LONGEST + CUT.len_utf8() && name.ends_with(CUT);
        assert!(cut(&text(&[b'a'; 5000])));
        assert!(cut(&text("ä".repeat(5000).as_bytes())));
        assert_eq!(text(&[b'a'; 4096]), "a".repeat(4096));
        // Each parameter is a pair of the one before it.
        let digits = ('0'..='9').chain('A'..='N');
        let pairs: String = digits.map(|last| format!("S_IS{last}_S{last}_E")).collect();
        assert!(cut(&demangled(&format!("_Z1f1pIiiE{pairs}"))));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(text(b"a\xffb\xc3"), "a\u{fffd}b\u{fffd}");
    }
}
