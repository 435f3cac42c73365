//! A code object of the target, as it was when first seen.

use super::CodeId;

/// What is known of a code object. Its texts are the target's and may hold anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeObject {
    /// Its id within the recording.
    pub id: CodeId,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// `co_name`.
    pub name: String,
    /// `co_qualname`; empty before CPython 3.11.
    pub qualified_name: String,
    /// `co_filename`.
    pub file: String,
    /// `co_lnotab` or `co_linetable`, as the interpreter keeps it.
    pub line_table: Vec<u8>,
}

impl CodeObject {
    /// The qualified name where the interpreter has one, else the name.
    pub fn display_name(&self) -> &str {
        if self.qualified_name.is_empty() { &self.name } else { &self.qualified_name }
    }
}
