//! Source around a line, read when the cursor comes there.

use hashbrown::HashMap;

use super::material::{Material, SpotId};
use crate::report::{Plain, Source};

/// Lines shown at most before and after the one in question.
const REACH: u32 = 40;

/// Lines of source, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snippet {
    /// None.
    Absent(&'static str),
    /// Some, harmless ones, with their numbers.
    Lines {
        /// The number of the line in question.
        at: u32,
        /// They.
        lines: Vec<(u32, String)>,
    },
}

/// Those that were read.
pub struct Snippets {
    source: Option<Source>,
    known: HashMap<SpotId, Snippet>,
}

impl Snippet {
    /// Whether this is the number of the line in question.
    pub fn is_at(&self, number: u32) -> bool {
        matches!(self, Snippet::Lines { at, .. } if *at == number)
    }
}

impl Snippets {
    /// Of this source; of none if none is wanted.
    pub fn new(source: Option<Source>) -> Snippets {
        Snippets { source, known: HashMap::new() }
    }

    /// That of a spot.
    pub fn of(&mut self, spot: Option<SpotId>, material: &Material<'_>) -> &Snippet {
        let (Some(spot), Some(source)) = (spot, &self.source) else {
            return &Snippet::Absent("source is not shown: --no-source");
        };
        self.known.entry(spot).or_insert_with(|| {
            let place = material.spot(spot).place;
            match source.around(place.file, place.line, REACH) {
                lines if lines.is_empty() => Snippet::Absent("no source here, or it has changed"),
                lines => Snippet::Lines { at: place.line, lines: lines.into_iter().map(harmless).collect() },
            }
        })
    }
}

fn harmless((number, text): (u32, String)) -> (u32, String) {
    match text.replace('\t', "    ") {
        empty if empty.is_empty() => (number, empty),
        text => (number, Plain(&text).to_string()),
    }
}
