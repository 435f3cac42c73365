//! Functions, inlined ones too, and lines as DWARF tells them.

use super::image::Image;
use super::meter::{Meter, Metered};
use addr2line::{Context, Location, LookupContinuation, LookupResult, SplitDwarfLoad};
use gimli::{
    AbbreviationsCacheStrategy, DW_FORM_implicit_const, Dwarf, DwarfPackage, Reader, Section, SectionId,
};
use std::collections::HashSet;
use std::sync::Arc;

/// More attributes has no entry that a compiler wrote. Attributes may take no bytes, so
/// that a file could have any number of them read for nothing.
const MOST_ATTRIBUTES: usize = 200;
/// Deeper inlining is cut.
const MOST_FRAMES: usize = 256;

/// One function at an address.
pub(super) struct Frame {
    /// As the linker knows it where DWARF says that, else its last name.
    pub name: Option<Vec<u8>>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

/// The DWARF of one file.
pub(super) struct Lines<'a> {
    context: Context<Metered<'a>>,
    package: Option<DwarfPackage<Metered<'a>>>,
    meter: &'a Meter,
}

impl<'a> Lines<'a> {
    /// The DWARF of `image`, with the parts of it that lie in `shared` (`dwz`) and in
    /// `package` (`dwp`).
    pub fn new(
        image: &'a Image<'_>,
        shared: Option<&'a Image<'_>>,
        package: Option<&'a Image<'_>>,
        meter: &'a Meter,
    ) -> Option<Lines<'a>> {
        meter.mark();
        let mut dwarf = sections(image, meter)?;
        if let Some(shared) = shared {
            dwarf.set_sup(sections(shared, meter)?);
        }
        let package = package.and_then(|package| {
            let load = |id: SectionId| Ok(Metered::new(package.section(id.dwo_name().unwrap_or("")), meter));
            DwarfPackage::load::<_, gimli::Error>(load, Metered::new(&[], meter)).ok()
        });
        Some(Lines { context: Context::from_dwarf(dwarf).ok()?, package, meter })
    }

    /// The functions at an address, the innermost first.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        self.meter.mark();
        let mut found = Vec::new();
        // `addr2line` asks for what reaches behind it, and there is no such number.
        if address == u64::MAX {
            return found;
        }
        let mut result = self.context.find_frames(address);
        let frames = loop {
            match result {
                LookupResult::Output(frames) => break frames,
                LookupResult::Load { load, continuation } => result = continuation.resume(self.split(&load)),
            }
        };
        let Ok(mut frames) = frames else { return found };
        while let Ok(Some(frame)) = frames.next() {
            if found.len() == MOST_FRAMES {
                break;
            }
            let name = frame.function.map(|function| function.name.bytes().to_vec());
            let Location { file, line, .. } =
                frame.location.unwrap_or(Location { file: None, line: None, column: None });
            found.push(Frame { name, file: file.map(|file| super::name::text(file.as_bytes())), line });
        }
        found
    }

    /// The part of a unit that its compiler wrote into a file of its own, from the package.
    fn split(&self, load: &SplitDwarfLoad<Metered<'a>>) -> Option<Arc<Dwarf<Metered<'a>>>> {
        let unit = self.package.as_ref()?.find_cu(load.dwo_id, &load.parent).ok()??;
        has_few_attributes(&unit).then(|| Arc::new(unit))
    }
}

fn sections<'a>(image: &'a Image<'_>, meter: &'a Meter) -> Option<Dwarf<Metered<'a>>> {
    let load = |id: SectionId| Ok(Metered::new(image.section(id.name()), meter));
    let mut dwarf = Dwarf::load::<_, gimli::Error>(load).ok()?;
    if !has_few_attributes(&dwarf) {
        return None;
    }
    dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
    Some(dwarf)
}

/// Whether every abbreviation that a unit could use is of a sane length.
fn has_few_attributes(dwarf: &Dwarf<Metered<'_>>) -> bool {
    let mut seen = HashSet::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let offset = header.debug_abbrev_offset();
        let mut table = dwarf.debug_abbrev.reader().clone();
        if seen.insert(offset) && table.skip(offset.0).is_ok() && most_attributes(table) > MOST_ATTRIBUTES {
            return false;
        }
    }
    true
}

/// The longest abbreviation of a table (DWARF 5, 7.5.3), up to where it is damaged.
fn most_attributes(mut table: Metered<'_>) -> usize {
    let mut most = 0;
    let mut entry = || -> gimli::Result<bool> {
        if table.read_uleb128()? == 0 {
            return Ok(false);
        }
        let (_tag, _children) = (table.read_uleb128()?, table.read_u8()?);
        let mut count = 0;
        loop {
            let (name, form) = (table.read_uleb128()?, table.read_uleb128()?);
            if form == u64::from(DW_FORM_implicit_const.0) {
                table.read_sleb128()?;
            }
            if (name, form) == (0, 0) {
                return Ok(true);
            }
            count += 1;
            most = most.max(count);
        }
    };
    while let Ok(true) = entry() {}
    most
}
