//! Native frames as people see them.

use prof_shared::native::{MISSING, missing};
use serde::Serialize;
use std::borrow::Cow;

use super::place::Place;
use crate::analysis::{Figures, Site};
use crate::capture::Reader;
use crate::model::{Frame, NativeFunction, NativeModule, StackId, Stacks};

/// A native frame.
pub(super) enum Native<'a> {
    /// It stands for what is missing; why.
    Missing(&'static str),
    /// An address in a module's file.
    Code {
        /// The module, if the capture knows it.
        module: Option<&'a NativeModule>,
        /// The address.
        offset: u32,
        /// The function there, after those compiled into it, innermost first.
        functions: &'a [NativeFunction],
    },
}

/// What a frame is, if it is native.
pub(super) fn of(reader: &Reader, frame: Frame) -> Option<Native<'_>> {
    let (id, offset) = (frame.code.module()?, frame.offset as u32);
    Some(match id {
        MISSING => Native::Missing(reason(offset)),
        _ => Native::Code {
            module: reader.modules().get(&id),
            offset,
            functions: reader.native_functions(id, offset),
        },
    })
}

/// Why native frames are missing at the root.
fn reason(why: u32) -> &'static str {
    match why {
        missing::UNKNOWN => "<unknown native code>",
        missing::STUCK => "<native code without usable unwind rules>",
        missing::DEEP => "<native stack too deep>",
        missing::ELSEWHERE => "<native stack not the thread's own>",
        missing::APART => "<native and Python stacks differ>",
        _ => "<no native stack>",
    }
}

impl<'a> Native<'a> {
    /// Where it is, outermost first.
    pub fn places(&self) -> Vec<Place<'a>> {
        let bare = |function, file| vec![Place { function, file, line: 0 }];
        match *self {
            Native::Missing(why) => bare(Cow::Borrowed(why), ""),
            Native::Code { module, offset, functions: [] } => {
                let path = module.map_or("", |module| &module.path);
                bare(Cow::Owned(format!("{}+{offset:#x}", name(path))), path)
            }
            Native::Code { module, functions, .. } => {
                let path = module.map_or("", |module| &module.path[..]);
                let place = |function: &'a NativeFunction| Place {
                    function: Cow::Borrowed(&function.name[..]),
                    file: if function.file.is_empty() { path } else { &function.file },
                    line: function.line,
                };
                functions.iter().rev().map(place).collect()
            }
        }
    }

    /// The module's path; empty if it is not known.
    pub fn module(&self) -> &'a str {
        match *self {
            Native::Code { module: Some(module), .. } => &module.path,
            _ => "",
        }
    }

    /// For JSON, innermost first.
    pub fn objects(&self) -> Vec<Object<'a>> {
        let mut places = self.places();
        places.reverse();
        let (module, offset) = match *self {
            Native::Missing(_) => (None, None),
            Native::Code { module, offset, .. } => (module, Some(offset)),
        };
        let last = places.len() - 1;
        let object = |(index, place): (usize, Place<'a>)| Object {
            module: module.map(|module| &module.path[..]),
            build_id: module.map(|module| &module.build_id[..]),
            offset: offset.map(|offset| format!("{offset:#x}")),
            name: place.function,
            file: place.file,
            line: place.line,
            inlined: index < last,
        };
        places.into_iter().enumerate().map(object).collect()
    }
}

/// A native function in JSON.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    module: Option<&'a str>,
    build_id: Option<&'a str>,
    offset: Option<String>,
    name: Cow<'a, str>,
    file: &'a str,
    line: u32,
    inlined: bool,
}

/// The file's name.
pub(super) fn name(path: &str) -> &str {
    match path.rsplit('/').next() {
        None | Some("") => "<unknown module>",
        Some(name) => name,
    }
}

/// How many allocations have which native stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NativeCounts {
    /// All of them.
    pub allocations: u64,
    /// Cut where no code was known.
    pub unknown_code: u64,
    /// Cut at an unwind rule that could not be followed.
    pub stuck: u64,
    /// Cut because they were too deep.
    pub too_deep: u64,
    /// Without native frames: the thread was on a stack that was not its own.
    pub other_stack: u64,
    /// Marked: native frames and those of Python do not belong together.
    pub differing: u64,
    /// Without native frames for any other reason.
    pub missing: u64,
}

impl NativeCounts {
    /// Of these sites.
    pub(super) fn new(sites: &[(Site, Figures)], stacks: &Stacks) -> NativeCounts {
        let mut counts = NativeCounts::default();
        let marks = marks(stacks);
        for (site, figures) in sites {
            let made = figures.made.blocks;
            counts.allocations = counts.allocations.saturating_add(made);
            let mark = marks.get(site.stack.0 as usize).copied().unwrap_or(0);
            if let Some(count) = counts.of(mark) {
                *count = count.saturating_add(made);
            }
        }
        counts
    }

    fn of(&mut self, mark: u32) -> Option<&mut u64> {
        Some(match mark {
            0 => return None,
            missing::UNKNOWN => &mut self.unknown_code,
            missing::STUCK => &mut self.stuck,
            missing::DEEP => &mut self.too_deep,
            missing::ELSEWHERE => &mut self.other_stack,
            missing::APART => &mut self.differing,
            _ => &mut self.missing,
        })
    }

    /// With a word on each.
    pub fn told(&self) -> [(u64, &'static str); 6] {
        [
            (self.unknown_code, "with a native stack that ends at unknown code"),
            (self.stuck, "with a native stack that ends at code without usable unwind rules"),
            (self.too_deep, "with a native stack that was too deep"),
            (self.other_stack, "made on a stack that is not the thread's own, without native frames"),
            (self.differing, "whose native and Python frames do not belong together"),
            (self.missing, "without native frames"),
        ]
    }
}

/// What the root of each stack is marked with; 0 if with nothing. Parents come before children.
fn marks(stacks: &Stacks) -> Vec<u32> {
    let mut marks: Vec<u32> = vec![0; stacks.len()];
    for id in 1..stacks.len() {
        let stack = StackId(id as u32);
        let parent = stacks.parent(stack).unwrap_or_default();
        marks[id] = match stacks.leaf(stack) {
            Some(frame) if frame.code.module() == Some(MISSING) => frame.offset as u32,
            _ => marks[parent.0 as usize],
        };
    }
    marks
}
