//! The unwind rows of a whole module, ready to be looked up where no file can be read.

use prof_shared::row::{Base, Row};

/// Rows by ascending start. A row counts up to the next one; where nothing is
/// known stands a row without a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(rows: Vec<Row>) -> Table {
        Table { rows }
    }

    /// The row for a pc relative to the start of the module's text.
    pub fn row(&self, pc: u32) -> Option<Row> {
        let behind = self.rows.partition_point(|row| row.start <= pc);
        let row = self.rows.get(behind.checked_sub(1)?)?;
        (row.base != Base::UNSUPPORTED).then_some(*row)
    }

    /// The rows, ascending.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}
