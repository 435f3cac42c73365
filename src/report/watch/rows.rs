//! Sites by function or line, with what each holds.

use hashbrown::{HashMap, HashSet};

use super::{Grouping, LivePath, LiveRow, Source};
use crate::model::{CodeId, CodeObject, Frame};
use crate::report::place::NO_PYTHON;

/// The rows in the order in which they are met, and if wanted the stacks. `marked` has the live
/// bytes of the first sites at the mark.
pub fn rows(
    source: &dyn Source,
    grouping: Grouping,
    marked: &[u64],
    mut line_of: impl FnMut(Frame, &CodeObject) -> u32,
) -> (Vec<LiveRow>, Vec<LivePath>) {
    let names = source.threads();
    let mut rows: Vec<LiveRow> = Vec::new();
    let mut row_of: HashMap<(u32, u32, u32), usize> = HashMap::new();
    let (mut seen, mut paths) = (HashSet::new(), Vec::new());
    let marked = marked.iter().copied().chain(std::iter::repeat(0));
    for ((site, figures), marked) in source.sites().zip(marked) {
        let growth_bytes = (figures.live.bytes as i64).wrapping_sub(marked as i64);
        let mut frames: Vec<Option<Frame>> = source.stacks().frames(site.stack).map(Some).collect();
        if frames.is_empty() {
            frames.push(None);
        }
        seen.clear();
        let mut path = LivePath { rows: Vec::new(), live: figures.live };
        for (depth, frame) in frames.into_iter().enumerate() {
            let code = frame.map(|frame| frame.code);
            let line = match (frame, code.and_then(|code| source.code(code))) {
                (Some(frame), Some(object)) if !grouping.by_function => line_of(frame, object),
                _ => 0,
            };
            let thread = if grouping.by_thread { site.thread.0 } else { 0 };
            let key = (code.map_or(u32::MAX, |code| code.0), line, thread);
            let row = *row_of.entry(key).or_insert_with(|| {
                let thread = grouping.by_thread.then(|| names.label(site.thread));
                rows.push(row(source, code, line, thread));
                rows.len() - 1
            });
            if grouping.has_paths {
                path.rows.push(row as u32);
            }
            let row = &mut rows[row];
            if depth == 0 {
                row.own.add(figures.live);
                row.made = row.made.saturating_add(figures.made.blocks);
                row.growth_bytes = row.growth_bytes.saturating_add(growth_bytes);
            }
            if seen.insert(key) {
                row.total_bytes = row.total_bytes.saturating_add(figures.live.bytes);
            }
        }
        if grouping.has_paths && !path.live.is_zero() {
            paths.push(path);
        }
    }
    (rows, paths)
}

/// One without figures.
fn row(source: &dyn Source, code: Option<CodeId>, line: u32, thread: Option<String>) -> LiveRow {
    let (function, file) = match code {
        None => (NO_PYTHON.to_owned(), String::new()),
        Some(CodeId::TRUNCATED) => ("<truncated>".to_owned(), String::new()),
        Some(id) => match source.code(id) {
            Some(object) => (object.display_name().to_owned(), object.file.clone()),
            None => (format!("<code {}>", id.0), String::new()),
        },
    };
    LiveRow { function, file, line, thread, ..LiveRow::default() }
}
