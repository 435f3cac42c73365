//! Names, files and lines of frames.

use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;

use super::native;
use super::plain::Plain;
use crate::capture::Reader;
use crate::model::{CodeId, CodeObject, Frame};

/// Tells the line of an instruction offset. The interpreter's versions differ in
/// how they write that down, so this comes from outside.
pub type LineResolver<'a> = &'a dyn Fn(&CodeObject, i32) -> u32;

/// The place of what no Python asked for.
pub const NO_PYTHON: &str = "(no Python stack)";

/// Where a frame is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place<'a> {
    /// Qualified name, or name.
    pub function: Cow<'a, str>,
    /// `co_filename`.
    pub file: &'a str,
    /// From 1 on; 0 if there is none.
    pub line: u32,
}

impl Place<'_> {
    /// As Memray's reports have it, `function:file:line`.
    pub fn joined(&self) -> String {
        format!("{}:{}:{}", self.function, self.file, self.line)
    }

    /// For a terminal, `function (file:line)`.
    pub fn plain(&self) -> String {
        self.with(&self.at())
    }

    /// For a terminal, in at most `width` columns: the ends of the function's name and
    /// of the path go last.
    pub fn short(&self, width: usize) -> String {
        self.shortened(&self.at(), width)
    }

    /// The same without the line.
    pub fn short_function(&self, width: usize) -> String {
        self.shortened(&Plain(self.file).to_string(), width)
    }

    /// For a terminal, `file:line`, or the file.
    pub fn at(&self) -> String {
        match self.line {
            0 => Plain(self.file).to_string(),
            line => format!("{}:{line}", Plain(self.file)),
        }
    }

    fn with(&self, at: &str) -> String {
        match self.file {
            "" => Plain(&self.function).to_string(),
            _ => format!("{} ({at})", Plain(&self.function)),
        }
    }

    fn shortened(&self, at: &str, width: usize) -> String {
        let whole = self.with(at);
        if whole.chars().count() <= width {
            return whole;
        }
        let function = head(&Plain(&self.function).to_string(), width / 2);
        if self.file.is_empty() {
            return function;
        }
        let room = width.saturating_sub(function.chars().count() + 3);
        format!("{function} ({})", tail(at, room))
    }
}

/// The first `width` columns, with a mark where something is missing.
pub fn head(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => text.to_owned(),
        false => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// The last `width` columns of a path; of a longer file name both ends.
pub(super) fn tail(path: &str, width: usize) -> String {
    let length = path.chars().count();
    if length <= width {
        return path.to_owned();
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    let name_length = name.chars().count();
    let room = width.saturating_sub(1);
    if name_length <= room {
        return ['…'].into_iter().chain(path.chars().skip(length - room)).collect();
    }
    let front = room / 2;
    let back = name.chars().skip(name_length - (room - front));
    name.chars().take(front).chain(['…']).chain(back).collect()
}

/// Resolves the frames of a capture.
pub struct Places<'a> {
    reader: &'a Reader,
    resolver: LineResolver<'a>,
    lines: HashMap<Frame, u32>,
    unresolved: HashSet<CodeId>,
}

impl<'a> Places<'a> {
    /// For the frames of `reader`.
    pub fn new(reader: &'a Reader, resolver: LineResolver<'a>) -> Places<'a> {
        Places { reader, resolver, lines: HashMap::new(), unresolved: HashSet::new() }
    }

    /// Where a frame is, and after it those that were compiled into it, innermost last.
    pub fn places(&mut self, frame: Frame) -> Vec<Place<'a>> {
        match native::of(self.reader, frame) {
            Some(native) => native.places(),
            None => vec![self.python(frame)],
        }
    }

    /// The module of a native frame.
    pub fn module(&self, frame: Frame) -> Option<&'a str> {
        native::of(self.reader, frame).map(|native| native.module())
    }

    /// Where a frame of Python is. A code object that the capture does not describe gets a
    /// name from its id, and is counted.
    fn python(&mut self, frame: Frame) -> Place<'a> {
        if frame.code == CodeId::TRUNCATED {
            return Place { function: Cow::Borrowed("<truncated>"), file: "", line: 0 };
        }
        let Some(code) = self.reader.code(frame.code) else {
            self.unresolved.insert(frame.code);
            return Place { function: Cow::Owned(format!("<code {}>", frame.code.0)), file: "", line: 0 };
        };
        let line = *self.lines.entry(frame).or_insert_with(|| (self.resolver)(code, frame.offset));
        Place { function: Cow::Borrowed(code.display_name()), file: &code.file, line }
    }

    /// Code objects asked for that the capture does not describe.
    pub fn unresolved(&self) -> usize {
        self.unresolved.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_places_keep_function_and_line() {
        let place = Place { function: "handle".into(), file: "/usr/lib/app/server.py", line: 42 };
        for (width, shown) in [
            (40, "handle (/usr/lib/app/server.py:42)"),
            (30, "handle (…lib/app/server.py:42)"),
            (24, "handle (…p/server.py:42)"),
            (20, "handle (serve…py:42)"),
            (8, "han… (…)"),
        ] {
            let found = place.short(width);
            assert!(found.chars().count() <= width.max(8), "{found}");
            assert_eq!(found, shown);
        }
    }
}
