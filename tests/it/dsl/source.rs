//! The source of a target program: lines are found by markers, never by number.
//!
//! A line that ends in `# site:40001` is the call site of the allocation of
//! 40001 bytes. One line may have several.

use super::program;
use std::collections::BTreeMap;

/// A target program's markers.
pub struct Source {
    name: String,
    sites: BTreeMap<String, u32>,
}

impl Source {
    /// Reads a file under `tests/programs`.
    pub fn read(name: &str) -> Source {
        let text = std::fs::read_to_string(program(name)).expect("the program exists");
        let lines = text.lines().zip(1..);
        let sites = lines.flat_map(|(line, number)| markers(line).map(move |site| (site, number))).collect();
        Source { name: name.to_owned(), sites }
    }

    /// The line marked `# site:NAME`.
    #[track_caller]
    pub fn line(&self, site: &str) -> u32 {
        *self.sites.get(site).unwrap_or_else(|| panic!("{} has no `# site:{site}`", self.name))
    }

    /// Every marked site.
    pub fn sites(&self) -> impl Iterator<Item = (&str, u32)> {
        self.sites.iter().map(|(name, line)| (name.as_str(), *line))
    }
}

fn markers(line: &str) -> impl Iterator<Item = String> {
    let comment = line.split_once("# site:").map_or("", |_| line);
    comment.split_whitespace().filter_map(|word| word.strip_prefix("site:")).map(str::to_owned)
}
