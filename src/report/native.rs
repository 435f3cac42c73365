//! Native frames as people see them.

use serde::Serialize;
use std::borrow::Cow;
use prof_shared::native::{MISSING, missing};

use super::place::Place;
use crate::capture::Reader;
use crate::model::{Frame, NativeFunction, NativeModule};

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

fn name(path: &str) -> &str {
    match path.rsplit('/').next() {
        None | Some("") => "<unknown module>",
        Some(name) => name,
    }
}
