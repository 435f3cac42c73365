//! Stacks as people see them: two instructions on one line are one place, and so
//! are two code objects made of the same source.

use hashbrown::HashMap;

use super::place::{Place, Places};
use crate::model::{CodeId, Frame, StackId, Stacks};

/// The stacks of a capture by place instead of by instruction.
pub struct Merged<'a> {
    places: Vec<Place<'a>>,
    /// Of places in native code, the module.
    modules: Vec<Option<&'a str>>,
    /// With the index of a place for the code of each frame.
    stacks: Stacks,
    /// By the id of the original stack.
    merged: Vec<StackId>,
}

impl<'a> Merged<'a> {
    /// Takes all stacks of `raw`.
    pub fn new(raw: &Stacks, places: &mut Places<'a>) -> Merged<'a> {
        let mut numbers = Numbers::default();
        let mut stacks = Stacks::new();
        let mut merged = vec![StackId::EMPTY; raw.len()];
        // Parents come before their children.
        for id in 1..raw.len() {
            let stack = StackId(id as u32);
            let (Some(parent), Some(frame)) = (raw.parent(stack), raw.leaf(stack)) else { continue };
            let numbers = numbers.of(frame, places);
            let push = |stack, &number: &u32| stacks.push(stack, Frame { code: CodeId(number), offset: 0 });
            merged[id] = numbers.iter().fold(merged[parent.0 as usize], push);
        }
        Merged { places: numbers.places, modules: numbers.modules, stacks, merged }
    }

    /// What became of an original stack.
    pub fn of(&self, original: StackId) -> StackId {
        self.merged.get(original.0 as usize).copied().unwrap_or_default()
    }

    /// The native module that a place is in, by its number; `None` of one in Python code.
    pub fn module(&self, number: u32) -> Option<&'a str> {
        self.modules.get(number as usize).copied().flatten()
    }

    /// The place of that number.
    pub fn place(&self, number: u32) -> &Place<'a> {
        &self.places[number as usize]
    }

    /// All places, each once.
    pub fn places(&self) -> impl Iterator<Item = &Place<'a>> {
        self.places.iter()
    }

    /// Those in Python code.
    pub fn python_places(&self) -> impl Iterator<Item = &Place<'a>> {
        let all = self.places.iter().zip(&self.modules);
        all.filter(|(_, module)| module.is_none()).map(|(place, _)| place)
    }

    /// A merged stack without its leaf.
    pub fn parent(&self, stack: StackId) -> StackId {
        self.stacks.parent(stack).unwrap_or_default()
    }

    /// The place of a merged stack's leaf.
    pub fn leaf(&self, stack: StackId) -> Option<&Place<'a>> {
        self.stacks.leaf(stack).map(|frame| &self.places[frame.code.0 as usize])
    }

    /// The numbers of these places among [`Merged::places`], leaf first.
    pub fn numbers(&self, stack: StackId) -> impl Iterator<Item = u32> {
        self.stacks.frames(stack).map(|frame| frame.code.0)
    }

    /// The places of a merged stack, leaf first.
    pub fn frames(&self, stack: StackId) -> impl Iterator<Item = &Place<'a>> {
        self.stacks.frames(stack).map(|frame| &self.places[frame.code.0 as usize])
    }
}

/// Numbers for places.
#[derive(Default)]
struct Numbers<'a> {
    places: Vec<Place<'a>>,
    modules: Vec<Option<&'a str>>,
    by_place: HashMap<Place<'a>, u32>,
    by_frame: HashMap<Frame, Vec<u32>>,
}

impl<'a> Numbers<'a> {
    /// The places of a frame, outermost first.
    fn of(&mut self, frame: Frame, places: &mut Places<'a>) -> &[u32] {
        let (known, modules, by_place) = (&mut self.places, &mut self.modules, &mut self.by_place);
        self.by_frame.entry(frame).or_insert_with(|| {
            let module = places.module(frame);
            let number = |place: Place<'a>| {
                *by_place.entry(place.clone()).or_insert_with(|| {
                    known.push(place);
                    modules.push(module);
                    known.len() as u32 - 1
                })
            };
            places.places(frame).into_iter().map(number).collect()
        })
    }
}
