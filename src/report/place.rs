//! Names, files and lines of frames.

use hashbrown::{HashMap, HashSet};
use std::borrow::Cow;

use super::plain::Plain;
use crate::capture::Reader;
use crate::model::{CodeId, CodeObject, Frame};

/// Tells the line of an instruction offset. The interpreter's versions differ in
/// how they write that down, so this comes from outside.
pub type LineResolver<'a> = &'a dyn Fn(&CodeObject, i32) -> u32;

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
        match self.file {
            "" => Plain(&self.function).to_string(),
            file => format!("{} ({}:{})", Plain(&self.function), Plain(file), self.line),
        }
    }
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

    /// Where a frame is. A code object that the capture does not describe gets a
    /// name from its id, and is counted.
    pub fn place(&mut self, frame: Frame) -> Place<'a> {
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
