//! A table for spreadsheets: a line for each row, with Memray's columns, and behind them the
//! process where there are several.
//!
//! Spreadsheets take a cell that begins like a formula for one, quoted or not. So such a
//! cell gets an apostrophe in front, which they take for "this is text".

use csv::{Terminator, WriterBuilder};
use std::io::{self, Write};

use super::{Transform, plain};
use crate::model::Tid;
use crate::report::place::Place;

const COLUMNS: [&str; 6] = ["allocator", "num_allocations", "size", "tid", "thread_name", "stack_trace"];
const OF_SEVERAL: [&str; 2] = ["pid", "process"];

pub(super) fn write(transform: &Transform<'_, '_>, out: &mut dyn Write) -> io::Result<()> {
    let profile = transform.profile;
    let mut table = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    let of_several = OF_SEVERAL.iter().filter(|_| !profile.processes.is_single());
    table.write_record(COLUMNS.iter().chain(of_several))?;
    for row in transform.most_first(transform.rows()) {
        let sum = transform.view.of(&row.figures);
        let Tid(tid) = profile.threads.tid(row.thread);
        let frames: Vec<_> = profile.frames(row.stack).map(frame).collect();
        let process = profile.threads.process(row.thread);
        let pid = profile.processes.pid(process).map(|pid| pid.to_string()).unwrap_or_default();
        let whose = [pid, process.0.to_string()].into_iter().filter(|_| !profile.processes.is_single());
        let cells = [
            row.kind.name().to_owned(),
            sum.blocks.to_string(),
            sum.bytes.to_string(),
            tid.to_string(),
            text(plain(profile.threads.name(row.thread))),
            text(frames.join("|")),
        ];
        table.write_record(cells.into_iter().chain(whose))?;
    }
    table.flush()
}

/// As `add;cache.py;3`; what divides frames and their parts is not in names.
fn frame(place: &Place<'_>) -> String {
    let part = |text| plain(text).replace([';', '|'], ":");
    format!("{};{};{}", part(&place.function), part(place.file), place.line)
}

/// A cell that is no formula. The wide forms are those of East Asian keyboards.
fn text(cell: String) -> String {
    let begins_formula = |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    if cell.trim_start().starts_with(begins_formula) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, shown) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(text(cell.to_owned()), shown);
        }
    }

    #[test]
    fn frames_have_three_parts() {
        let place = Place { function: "a;b|c".into(), file: "d;e\n.py", line: 3 };
        assert_eq!(frame(&place), r"a:b:c;d:e\n.py;3");
        assert_eq!(frame(&Place { function: "<truncated>".into(), file: "", line: 0 }), "<truncated>;;0");
    }
}
