//! Folded stacks: a line for each, `main (app.py:7);add (cache.py:3) 4096`, as
//! `flamegraph.pl`, inferno and many others read them.
//!
//! `;` divides frames and the last word is the figure, so names have no `;`, no line has
//! a break in it, and every frame ends with a bracket: readers take two numbers at the end
//! of a line for a comparison.

use std::io::{self, Write};

use super::tree::Tree;
use super::{Transform, plain};
use crate::report::place::Place;

pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let tree = Tree::new(&transform.profile.stacks, transform.rows());
    let sums = tree.sums(transform.rows(), |row| transform.view.of(&row.figures));
    let weights: Vec<_> = sums.into_iter().map(|sum| transform.weight(sum)).collect();
    let names: Vec<_> = tree.places().iter().map(|place| name(place)).collect();
    for node in tree.in_order(&weights) {
        if weights[node as usize] > 0 {
            let mut path: Vec<_> = tree.path(node).map(|place| &*names[place as usize]).collect();
            path.reverse();
            writeln!(out, "{} {}", path.join(";"), weights[node as usize])?;
        }
    }
    Ok(())
}

fn name(place: &Place<'_>) -> String {
    let function = plain(&place.function);
    let name = match place.file {
        "" if function.ends_with(['>', ')']) => function,
        file => format!("{function} ({}:{})", plain(file), place.line),
    };
    name.replace(';', ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_frame() {
        for (function, file, line, shown) in [
            ("add", "/app/cache.py", 3, "add (/app/cache.py:3)"),
            ("a;b", "c;d.py", 1, "a:b (c:d.py:1)"),
            ("a\nb\r", "c\x1b[2J", 1, r"a\nb\r (c\u{1b}[2J:1)"),
            ("(no Python stack)", "", 0, "(no Python stack)"),
            ("forged 12", "", 0, "forged 12 (:0)"),
            ("", "", 0, " (:0)"),
        ] {
            assert_eq!(name(&Place { function: function.into(), file, line }), shown);
        }
    }
}
