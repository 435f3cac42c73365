//! Small captures for tests: records by hand, pieces in any order.

use prof_shared::record::{Delta, Encoder, Process};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

use super::Writer;
use crate::model::{ChunkSerial, Clock, CodeId, CodeObject, Kind, Metadata};

/// A capture in a directory of its own, removed when dropped.
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch { dir: tempfile::tempdir().expect("there is a place for temporary files") }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("test.prof")
    }

    pub fn writer(&self) -> Writer {
        Writer::create(&self.path(), false, &metadata()).expect("an empty directory")
    }

    /// A finished file of these bytes.
    pub fn holding(bytes: &[u8]) -> Scratch {
        let scratch = Scratch::new();
        fs::write(scratch.path(), bytes).expect("there is room");
        scratch
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).expect("it was written")
    }
}

/// A tick is a nanosecond.
pub(crate) fn metadata() -> Metadata {
    let clock = Clock { ticks_per_second: 1_000_000_000, ..Clock::default() };
    Metadata { pid: 42, command_line: vec!["python3".into(), "app.py".into()], clock, ..Metadata::default() }
}

pub(crate) fn code(id: u32, name: &str) -> CodeObject {
    let file = format!("{name}.py");
    CodeObject { id: CodeId(id), first_line: 10 * id, name: name.into(), file, ..CodeObject::default() }
}

/// The records of a chunk.
pub(crate) struct Records {
    bytes: Vec<u8>,
    delta: Delta,
}

impl Records {
    /// With its `Origin`; the tid is 100 + the thread.
    pub fn new(thread: u32, ticks: u64) -> Records {
        Records::of(thread, 0, ticks)
    }

    /// The thread's chunk of that number.
    pub fn of(thread: u32, sequence: u32, ticks: u64) -> Records {
        let records = Records { bytes: Vec::new(), delta: Delta::default() };
        records.put(|e| e.origin(thread, 100 + thread, sequence, ticks))
    }

    /// In the forked process of that number; its pid is 1000 + the number.
    pub fn of_child(number: u32, thread: u32, ticks: u64) -> Records {
        let process = Process { number, parent: 0, pid: 1000 + number };
        let records = Records { bytes: Vec::new(), delta: Delta::default() };
        records.put(|e| e.origin_of_child(process, thread, 100 + thread, 0, ticks))
    }

    pub fn put(mut self, write: impl FnOnce(&mut Encoder)) -> Records {
        let mut out = vec![0; 1 << 16];
        let mut encoder = Encoder::new(&mut out, &mut self.delta);
        write(&mut encoder);
        let length = encoder.len();
        self.bytes.extend_from_slice(&out[..length]);
        self
    }

    pub fn malloc(self, ticks: u64, addr: u64, size: u64) -> Records {
        self.put(|e| {
            e.tag(Kind::Malloc);
            e.block(ticks, addr, size);
        })
    }

    /// A `malloc` after the stack changed.
    pub fn malloc_from(self, pops: u32, pushes: &[(u32, i32)], ticks: u64, addr: u64, size: u64) -> Records {
        self.put(|e| {
            e.stack(pops, pushes.len() as u32);
            pushes.iter().for_each(|&(code, offset)| e.frame(code, offset));
            e.tag(Kind::Malloc);
            e.block(ticks, addr, size);
        })
    }

    pub fn free(self, ticks: u64, addr: u64) -> Records {
        self.put(|e| {
            e.tag(Kind::Free);
            e.moment(ticks, addr);
        })
    }

    pub fn realloc(self, before: u64, old_addr: u64, ticks: u64, addr: u64, size: u64) -> Records {
        self.put(|e| {
            e.tag(Kind::Realloc);
            e.moment(before, old_addr);
            e.block(ticks, addr, size);
        })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

pub(crate) fn put_chunk(writer: &mut Writer, serial: u64, records: &Records) {
    writer.piece(ChunkSerial(serial), 0, records.bytes()).expect("there is room");
}
