//! What is live as a tree: callers above what they called.

use hashbrown::HashMap;

use crate::analysis::Figures;
use crate::explore::material::{Layer, Material, Spot, SpotId};
use crate::explore::shape::Shape;
use crate::explore::tree::{Label, Node, NodeId, Tree};
use crate::model::{Kind, StackId, ThreadSerial};
use crate::report::{LivePath, LiveRow, NO_PYTHON, Place, Plain, Row, Snapshot, View, plural};

/// So many stacks have nodes of their own.
const BIGGEST: usize = 500;

/// The tree of those paths that `is_wanted` says. A place has the number of its row, so labels
/// mean the same in the next tree.
pub fn tree(snapshot: &Snapshot, is_wanted: impl Fn(&LivePath) -> bool) -> Tree {
    let places: Vec<_> = snapshot.rows.iter().map(place).collect();
    let paths: Vec<_> = snapshot.paths.iter().filter(|path| is_wanted(path)).collect();
    let row = |(number, path): (u32, &&LivePath)| Row {
        stack: StackId(number),
        thread: ThreadSerial(0),
        kind: Kind::Malloc,
        figures: Figures { live: path.live, ..Figures::default() },
    };
    let rows: Vec<_> = (0..).zip(&paths).map(row).collect();
    let material = Material {
        rows: &rows,
        spots: places.iter().map(|place| Spot { place, layer: Layer::of(place) }).collect(),
        threads: HashMap::new(),
        path: Box::new(|stack| paths[stack.0 as usize].rows.iter().map(|&row| SpotId(row)).collect()),
        has_gaps: false,
    };
    SHAPE.tree(&material)
}

const SHAPE: Shape = Shape {
    view: View::AtEnd,
    biggest: BIGGEST,
    by_thread: false,
    is_inverted: false,
    hides_imports: false,
    hides_plumbing: true,
};

fn place(row: &LiveRow) -> Place<'_> {
    Place { function: row.function.as_str().into(), file: &row.file, line: row.line }
}

/// The node in a newer tree with the same path, or the last one that its path has there.
pub fn counterpart(old: &Tree, new: &Tree, id: NodeId) -> NodeId {
    let mut path: Vec<_> = old.ancestors(id).map(|id| old.node(id).label).collect();
    // Without the root.
    path.pop();
    path.reverse();
    new.follow(&path).0
}

/// What a node is called, in so many columns if that is possible.
pub fn name(node: &Node, rows: &[LiveRow], width: usize) -> String {
    match node.label {
        Label::All => "all".to_owned(),
        Label::Spot(SpotId(number)) => {
            let row = &rows[number as usize];
            // All below it is of the same thread.
            let thread = row.thread.as_ref().filter(|_| node.parent == Tree::ROOT);
            let thread = thread.map_or_else(String::new, |thread| format!("{} · ", Plain(thread)));
            let room = width.saturating_sub(thread.chars().count());
            thread + &short(row, room)
        }
        Label::NoPython | Label::Thread(_) => NO_PYTHON.to_owned(),
        Label::Below => format!("{} in smaller places", plural(node.total.blocks, "block")),
    }
}

/// The place of a row, in so many columns if that is possible.
pub fn short(row: &LiveRow, width: usize) -> String {
    let place = place(row);
    if row.line == 0 { place.short_function(width) } else { place.short(width) }
}
