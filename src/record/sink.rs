//! Where a recording goes: into a capture with all its events, by a [`Writer`], or into one
//! with figures only.

use crate::capture::{Result, Writer};
use crate::model::{
    ChunkSerial, CodeObject, End, Metadata, NativeModule, NativePlace, Note, ProcessLife, RssSample,
    ThreadName,
};

/// Takes what is recorded.
pub trait Sink: Send {
    /// Replaces the metadata given before.
    fn metadata(&mut self, metadata: &Metadata) -> Result<()>;
    /// Whole records of a chunk, from byte `offset` of it on.
    fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: Vec<u8>) -> Result<()>;
    /// All records of events up to now have come, but for those on their way just now.
    fn round(&mut self) -> Result<()>;
    /// A code object, before the piece in which it is used.
    fn code(&mut self, code: &CodeObject) -> Result<()>;
    /// A thread's name.
    fn thread(&mut self, thread: &ThreadName) -> Result<()>;
    /// A process that was forked, or how it ended.
    fn process(&mut self, process: &ProcessLife) -> Result<()>;
    /// A sample of the resident set.
    fn rss(&mut self, sample: &RssSample) -> Result<()>;
    /// A native module that came, or went.
    fn module(&mut self, module: &NativeModule) -> Result<()>;
    /// What is at places of native modules.
    fn native_places(&mut self, places: &[NativePlace]) -> Result<()>;
    /// A loss, a refusal, a soft error.
    fn note(&mut self, note: &Note) -> Result<()>;
    /// Bytes of the capture.
    fn length(&self) -> u64;
    /// The ending.
    fn finish(self: Box<Self>, end: &End) -> Result<()>;
}

impl Sink for Writer {
    fn metadata(&mut self, metadata: &Metadata) -> Result<()> {
        self.metadata(metadata)
    }

    fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: Vec<u8>) -> Result<()> {
        self.piece(chunk, offset, &raw)
    }

    fn round(&mut self) -> Result<()> {
        Ok(())
    }

    fn code(&mut self, code: &CodeObject) -> Result<()> {
        self.code(code)
    }

    fn thread(&mut self, thread: &ThreadName) -> Result<()> {
        self.thread(thread)
    }

    fn process(&mut self, process: &ProcessLife) -> Result<()> {
        self.process(process)
    }

    fn rss(&mut self, sample: &RssSample) -> Result<()> {
        self.rss(sample)
    }

    fn module(&mut self, module: &NativeModule) -> Result<()> {
        self.module(module)
    }

    fn native_places(&mut self, places: &[NativePlace]) -> Result<()> {
        self.native_places(places)
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        self.note(note)
    }

    fn length(&self) -> u64 {
        self.length()
    }

    fn finish(self: Box<Self>, end: &End) -> Result<()> {
        (*self).finish(end)
    }
}
