//! Made-up material for tests.

use hashbrown::HashMap;

use super::material::{Layer, Material, Spot, SpotId};
use super::shape::Shape;
use super::tree::{Label, Tree};
use crate::analysis::{Figures, Sum};
use crate::model::{Kind, StackId, ThreadSerial};
use crate::report::{Place, Row, View};

/// The tree as `prof tree` shows it first.
pub const PLAIN: Shape = Shape {
    view: View::Peak,
    biggest: 200,
    by_thread: false,
    is_inverted: false,
    hides_imports: false,
    hides_plumbing: true,
};

/// Rows as (stack from the root on, thread, bytes at the peak). All of a stack with
/// `leak` in it leaks, and everything was allocated twice. A function with `import` in it
/// is of the import system, one with `runpy` is of that.
pub fn material(rows: &[(&str, u32, u64)]) -> Material<'static> {
    let mut paths: Vec<Vec<SpotId>> = vec![Vec::new()];
    let mut places: Vec<Place<'static>> = Vec::new();
    let mut all = Vec::new();
    for &(stack, thread, bytes) in rows {
        let mut path: Vec<_> = stack.split_whitespace().map(|name| spot(name, &mut places)).collect();
        path.reverse();
        let stack_id = paths.iter().position(|known| *known == path).unwrap_or(paths.len());
        if stack_id == paths.len() {
            paths.push(path);
        }
        let peak = Sum { bytes, blocks: 1 };
        let kept = if stack.contains("leak") { peak } else { Sum::default() };
        let made = Sum { bytes: 2 * bytes, blocks: 2 };
        let figures = Figures { peak, kept, made, ..Figures::default() };
        let kind = if thread == 1 { Kind::Malloc } else { Kind::Mmap };
        all.push(Row { stack: StackId(stack_id as u32), thread: ThreadSerial(thread), kind, figures });
    }
    let places: &'static [Place<'static>] = places.leak();
    let threads: HashMap<_, _> =
        rows.iter().map(|&(_, thread, _)| (ThreadSerial(thread), format!("worker-{thread}"))).collect();
    Material {
        rows: all.leak(),
        spots: places.iter().map(|place| Spot { place, layer: Layer::of(place) }).collect(),
        threads,
        path: Box::new(move |stack| paths[stack.0 as usize].clone()),
        has_gaps: false,
    }
}

fn spot(name: &str, places: &mut Vec<Place<'static>>) -> SpotId {
    let known = places.iter().position(|place| place.function == name);
    SpotId(known.unwrap_or_else(|| {
        let file = match name {
            _ if name.contains("import") => "<frozen importlib._bootstrap>",
            _ if name.contains("runpy") => "<frozen runpy>",
            _ => "/srv/shop/app.py",
        };
        let line = places.len() as u32 + 1;
        places.push(Place { function: name.to_owned().into(), file, line });
        places.len() - 1
    }) as u32)
}

/// A tree as text: name, total, and what it has of its own if that is something else.
pub fn text(tree: &Tree, material: &Material<'_>) -> Vec<String> {
    let line = |id| {
        let node = tree.node(id);
        let depth = tree.ancestors(id).count() - 1;
        let name = match node.label {
            Label::All => "all".to_owned(),
            Label::Thread(serial) => material.thread(serial).to_owned(),
            Label::Spot(spot) => material.spot(spot).place.function.to_string(),
            Label::NoPython => "none".to_owned(),
            Label::Below => format!("{} of {} places", node.total.blocks, node.places),
        };
        let own = match node.own.bytes {
            own if own == 0 || own == node.total.bytes => String::new(),
            own => format!(" own {own}"),
        };
        format!("{}{name} {}{own}", ".".repeat(depth), node.total.bytes)
    };
    tree.outline(|_| true).into_iter().map(line).collect()
}
