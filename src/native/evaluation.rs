//! Which code evaluates Python code: native frames there stand for Python's.

use object::{Object, ObjectSymbol};
use std::ops::Range;

/// The function of CPython that does, of every version. Compilers split it, and name the
/// parts with a dot.
const EVALUATION: &str = "_PyEval_EvalFrameDefault";

/// Its parts in a file, as addresses of the file, ascending.
pub fn evaluations(file: &[u8]) -> Vec<Range<u64>> {
    let Ok(file) = object::File::parse(file) else { return Vec::new() };
    let is_part = |name: &str| name.strip_prefix(EVALUATION).is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.')));
    let symbols = file.symbols().chain(file.dynamic_symbols());
    let parts = symbols.filter(|symbol| symbol.is_definition() && symbol.size() > 0);
    let parts = parts.filter(|symbol| symbol.name().is_ok_and(is_part));
    let mut ranges: Vec<_> =
        parts.map(|symbol| symbol.address()..symbol.address().saturating_add(symbol.size())).collect();
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, previous| next.start < previous.end);
    ranges
}
