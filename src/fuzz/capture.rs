//! Capture files, and everything that is told of them.

use super::frame;
use crate::capture::Reader;
use crate::cpython::{self, Version};
use crate::report::{
    By, Format, Profile, Records, StatsReport, SummaryReport, Transform, TransformFormat, View, Wanted,
};
use prof_injector::memfd;
use std::io::{self, Write, sink};
use std::os::fd::AsRawFd;

/// The first byte says whether a file follows, or blocks for [`frame`].
pub fn capture(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let bytes = if how % 2 == 0 { data.to_vec() } else { frame(data) };
    let mut file = memfd::create("fuzz").expect("memory files can be made");
    file.write_all(&bytes).expect("there is room");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    if let Ok(reader) = Reader::open(path.as_ref()) {
        report(&reader).expect("nobody refuses to be written to");
    }
}

fn report(reader: &Reader) -> io::Result<()> {
    let version = Version::parse(&reader.metadata().python.version);
    let line = |version, code: &crate::model::CodeObject, offset| {
        cpython::line(version, code.first_line, &code.line_table, offset)
    };
    let lines = |code: &crate::model::CodeObject, offset| {
        version.map_or(code.first_line, |version| line(version, code, offset))
    };
    let profile = || Profile::new(reader, &lines);
    let summary = |by| SummaryReport::new(&profile(), Wanted { by, top: 20, ..Wanted::default() });
    let mut plain = PlainText;
    for format in [Format::Text { width: 80 }, Format::WHOLE_TEXT] {
        StatsReport::new(profile(), 5).write(format, &mut plain)?;
        StatsReport::new(profile(), 5).write_screen(format, &mut plain)?;
        for by in [By::Function, By::Module, By::Thread] {
            summary(by).write(format, &mut plain)?;
        }
        Records::new(reader, &lines, format).write(&mut plain)?;
    }
    StatsReport::new(profile(), 5).write(Format::Json, &mut Json::default())?;
    StatsReport::new(profile(), 5).write_screen(Format::Json, &mut Json::default())?;
    summary(By::File).write(Format::Json, &mut Json::default())?;
    transforms(&profile())?;
    Records::new(reader, &lines, Format::Json).write(&mut sink())
}

fn transforms(profile: &Profile<'_>) -> io::Result<()> {
    for view in [View::Leaks, View::Allocations] {
        let transform = Transform { profile, view, blocks: view == View::Leaks, window: None };
        for format in TransformFormat::ALL {
            match format {
                TransformFormat::Pprof | TransformFormat::Csv => transform.write(format, &mut sink()),
                TransformFormat::Collapsed => transform.write(format, &mut PlainText),
                _ => transform.write(format, &mut Json::default()),
            }?;
        }
    }
    Ok(())
}

/// Checks that nothing in it steers a terminal.
struct PlainText;

impl Write for PlainText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A character may be cut; no byte of UTF-8's longer ones is a control character.
        let steers = |&&byte: &&u8| byte < 0x20 && byte != b'\n' || byte == 0x7f;
        assert_eq!(bytes.iter().find(steers), None);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks that all of it is one value.
#[derive(Default)]
struct Json(Vec<u8>);

impl Write for Json {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            serde_json::from_slice::<serde_json::Value>(&self.0).expect("valid JSON");
        }
    }
}
