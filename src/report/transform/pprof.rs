//! The form of Google's pprof: gzipped protobuf, all views as sample types.
//!
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>. Parts of a message may
//! come in any order, so each text, function and location is written when it is first
//! needed; only the numbers that they got are kept.

use flate2::Compression;
use flate2::write::GzEncoder;
use hashbrown::HashMap;
use std::io::{self, Write};

use super::protobuf::Message;
use super::tree::Tree;
use super::{Transform, plain};
use crate::model::ThreadSerial;
use crate::report::place::Place;
use crate::report::profile::Row;
use crate::report::view::View;

/// The names of the views; the first two are those of Go's heap profiles.
const VIEWS: [(View, &str); 5] = [
    (View::Allocations, "alloc"),
    (View::Leaks, "inuse"),
    (View::Peak, "peak"),
    (View::Temporary, "temporary"),
    (View::LateLeaks, "inuse_late"),
];

/// Numbers of fields.
mod field {
    pub mod profile {
        pub const SAMPLE_TYPE: u32 = 1;
        pub const SAMPLE: u32 = 2;
        pub const LOCATION: u32 = 4;
        pub const FUNCTION: u32 = 5;
        pub const STRING_TABLE: u32 = 6;
        pub const TIME_NANOS: u32 = 9;
        pub const DURATION_NANOS: u32 = 10;
        pub const PERIOD_TYPE: u32 = 11;
        pub const PERIOD: u32 = 12;
        pub const COMMENT: u32 = 13;
        pub const DEFAULT_SAMPLE_TYPE: u32 = 14;
    }
    pub mod value_type {
        pub const TYPE: u32 = 1;
        pub const UNIT: u32 = 2;
    }
    pub mod sample {
        pub const LOCATION_ID: u32 = 1;
        pub const VALUE: u32 = 2;
        pub const LABEL: u32 = 3;
    }
    pub mod label {
        pub const KEY: u32 = 1;
        pub const STR: u32 = 2;
    }
    pub mod location {
        pub const ID: u32 = 1;
        pub const LINE: u32 = 4;
    }
    pub mod line {
        pub const FUNCTION_ID: u32 = 1;
        pub const LINE: u32 = 2;
    }
    pub mod function {
        pub const ID: u32 = 1;
        pub const NAME: u32 = 2;
        pub const SYSTEM_NAME: u32 = 3;
        pub const FILENAME: u32 = 4;
    }
}

pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let mut file = File {
        out: GzEncoder::new(out, Compression::default()),
        texts: HashMap::new(),
        functions: HashMap::new(),
        threads: HashMap::new(),
        message: Message::default(),
    };
    file.text("")?;
    file.write_head(transform)?;
    let rows = transform.rows_of_all_views();
    let tree = Tree::new(&transform.profile.stacks, rows.iter().copied());
    for (id, place) in (1..).zip(tree.places()) {
        file.write_location(id, place)?;
    }
    let views = views(transform);
    for row in rows {
        file.write_sample(transform, &tree, &views, row)?;
    }
    file.out.finish().map(drop)
}

/// The views of this recording. Without a gap, all leaks are late.
fn views(transform: &Transform<'_, '_>) -> Vec<(View, &'static str)> {
    let has_gaps = !transform.profile.gaps().is_empty();
    let is_there = |view| view != View::LateLeaks || has_gaps || transform.view == View::LateLeaks;
    VIEWS.into_iter().filter(|&(view, _)| is_there(view)).collect()
}

/// A file that is being written.
struct File<'o> {
    out: GzEncoder<&'o mut dyn Write>,
    texts: HashMap<String, u64>,
    functions: HashMap<(u64, u64), u64>,
    /// The texts that threads are called by.
    threads: HashMap<ThreadSerial, u64>,
    /// Room for the next one.
    message: Message,
}

impl File<'_> {
    fn write_head(&mut self, transform: &Transform<'_, '_>) -> io::Result<()> {
        use field::profile::*;
        let profile = transform.profile;
        for (view, name) in views(transform) {
            for (quantity, unit, is_blocks) in [("objects", "count", true), ("space", "bytes", false)] {
                let name = format!("{name}_{quantity}");
                let sample_type = self.value_type(&name, unit)?;
                self.write_message(SAMPLE_TYPE, &sample_type)?;
                if view == transform.view && is_blocks == transform.blocks {
                    let name = self.text(&name)?;
                    self.write_number(DEFAULT_SAMPLE_TYPE, name)?;
                }
            }
        }
        let (from, to) = transform.range_ns();
        let started = profile.metadata.started_unix_ns.saturating_add(from);
        self.write_number(TIME_NANOS, signed(started))?;
        self.write_number(DURATION_NANOS, signed(to - from))?;
        // Nothing is sampled: every byte counts.
        let period_type = self.value_type("space", "bytes")?;
        self.write_message(PERIOD_TYPE, &period_type)?;
        self.write_number(PERIOD, 1)?;
        let by = format!("recorded by prof {}", plain(&profile.metadata.prof_version));
        for comment in [by, transform.title()].into_iter().chain(transform.caveats()) {
            let text = self.text(&comment)?;
            self.write_number(COMMENT, text)?;
        }
        Ok(())
    }

    fn write_location(&mut self, id: u64, place: &Place<'_>) -> io::Result<()> {
        let function = self.function(place)?;
        let mut line = Message::default();
        line.number(field::line::FUNCTION_ID, function);
        line.number(field::line::LINE, place.line.into());
        let mut location = Message::default();
        location.number(field::location::ID, id);
        location.message(field::location::LINE, &line);
        self.write_message(field::profile::LOCATION, &location)
    }

    fn write_sample(
        &mut self,
        transform: &Transform<'_, '_>,
        tree: &Tree<'_, '_>,
        views: &[(View, &str)],
        row: &Row,
    ) -> io::Result<()> {
        let mut sample = Message::default();
        let locations = tree.path(tree.node(row)).map(|place| u64::from(place) + 1);
        sample.numbers(field::sample::LOCATION_ID, locations);
        let sums = views.iter().map(|(view, _)| view.of(&row.figures));
        sample.numbers(field::sample::VALUE, sums.flat_map(|sum| [sum.blocks, sum.bytes]).map(signed));
        let thread = match self.threads.get(&row.thread) {
            Some(&text) => text,
            None => {
                let text = self.text(&plain(&transform.profile.threads.label(row.thread)))?;
                self.threads.insert(row.thread, text);
                text
            }
        };
        let allocator = self.text(row.kind.name())?;
        for (key, text) in [("thread", thread), ("allocator", allocator)] {
            let mut label = Message::default();
            label.number(field::label::KEY, self.text(key)?);
            label.number(field::label::STR, text);
            sample.message(field::sample::LABEL, &label);
        }
        self.write_message(field::profile::SAMPLE, &sample)
    }

    fn value_type(&mut self, name: &str, unit: &str) -> io::Result<Message> {
        let mut message = Message::default();
        message.number(field::value_type::TYPE, self.text(name)?);
        message.number(field::value_type::UNIT, self.text(unit)?);
        Ok(message)
    }

    /// The number of a function, which is written if it is new.
    fn function(&mut self, place: &Place<'_>) -> io::Result<u64> {
        let key = (self.text(&plain(&place.function))?, self.text(&plain(place.file))?);
        if let Some(&id) = self.functions.get(&key) {
            return Ok(id);
        }
        let id = self.functions.len() as u64 + 1;
        self.functions.insert(key, id);
        let mut function = Message::default();
        function.number(field::function::ID, id);
        function.number(field::function::NAME, key.0);
        function.number(field::function::SYSTEM_NAME, key.0);
        function.number(field::function::FILENAME, key.1);
        self.write_message(field::profile::FUNCTION, &function)?;
        Ok(id)
    }

    /// The number of a text, which is written if it is new.
    fn text(&mut self, text: &str) -> io::Result<u64> {
        if let Some(&number) = self.texts.get(text) {
            return Ok(number);
        }
        let number = self.texts.len() as u64;
        self.texts.insert(text.to_owned(), number);
        self.write(|message| message.text(field::profile::STRING_TABLE, text))?;
        Ok(number)
    }

    fn write_message(&mut self, field: u32, inner: &Message) -> io::Result<()> {
        self.write(|message| message.message(field, inner))
    }

    fn write_number(&mut self, field: u32, value: u64) -> io::Result<()> {
        self.write(|message| message.number(field, value))
    }

    fn write(&mut self, put: impl FnOnce(&mut Message)) -> io::Result<()> {
        self.message.clear();
        put(&mut self.message);
        self.out.write_all(self.message.bytes())
    }
}

/// What fits into protobuf's `int64`.
pub(super) fn signed(value: u64) -> u64 {
    value.min(i64::MAX as u64)
}
