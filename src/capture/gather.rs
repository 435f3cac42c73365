//! What a capture says, taken as it comes and kept in memory: events until they are due, the
//! rest until the end. It comes from a file that is followed, or from a recorder that keeps no
//! events and writes all the rest anew, every few seconds, into a small capture.

use serde::Serialize;
use std::io;
use std::path::Path;

use super::block::Blocks;
use super::columns::Records;
use super::error::{Error, Result};
use super::index::BlockEntry;
use super::online::Online;
use super::piece::PieceHead;
use super::reader::Rest;
use super::waiting::Waiting;
use super::writer::{Begun, Writer};
use crate::model::{
    ChunkSerial, CodeObject, End, Event, Metadata, NativeFunction, NativeModule, NativePlace, Note,
    ProcessLife, RssSample, Stacks, ThreadName,
};

/// A capture in the making.
#[derive(Debug, Default)]
pub struct Gathering {
    pub(super) rest: Rest,
    pub(super) online: Online,
}

impl Gathering {
    /// With nothing but the metadata.
    pub fn new(metadata: &Metadata) -> Gathering {
        let rest = Rest { metadata: Some(metadata.clone()), ..Rest::default() };
        Gathering { rest, online: Online::default() }
    }

    /// Whole records of a chunk, from byte `offset` of it on.
    pub fn piece(&mut self, chunk: ChunkSerial, offset: u32, raw: Vec<u8>) {
        let head = PieceHead::of(chunk, offset, &raw);
        self.online.add(head, Waiting::Raw { bytes: raw, read: 0 });
    }

    pub(super) fn take(&mut self, head: PieceHead, records: Records) {
        self.online.add(head, Waiting::Sorted(records));
    }

    /// Takes a block that is no piece; false if it is damaged.
    pub(super) fn block(
        &mut self,
        blocks: &Blocks,
        entry: &BlockEntry,
        body: &mut Vec<u8>,
    ) -> io::Result<bool> {
        self.rest.read(blocks, entry, body)
    }

    /// Replaces the metadata given before, as more becomes known.
    pub fn metadata(&mut self, metadata: &Metadata) {
        self.rest.metadata = Some(metadata.clone());
    }

    /// A code object.
    pub fn code(&mut self, code: &CodeObject) {
        self.rest.codes.entry(code.id).or_insert_with(|| code.clone());
    }

    /// A process that was forked, or how it ended.
    pub fn process(&mut self, process: &ProcessLife) {
        self.rest.processes.insert(process.number, process.clone());
    }

    /// Who is recorded, how and where.
    pub fn about(&self) -> &Metadata {
        self.rest.metadata.as_ref().expect("nobody makes one without")
    }

    /// The processes that were forked while recording, by number.
    pub fn processes(&self) -> impl Iterator<Item = &ProcessLife> {
        self.rest.processes.values()
    }

    /// A native module that came, or went.
    pub fn module(&mut self, module: &NativeModule) {
        self.rest.modules.insert(module.id, module.clone());
    }

    /// What is at places of native modules.
    pub fn native_places(&mut self, places: &[NativePlace]) {
        places.iter().for_each(|place| self.rest.native_place(place.clone()));
    }

    /// The names of threads.
    pub fn threads(&mut self) -> &mut Vec<ThreadName> {
        &mut self.rest.threads
    }

    /// Samples of the resident set.
    pub fn rss(&mut self) -> &mut Vec<RssSample> {
        &mut self.rest.rss
    }

    /// What a reader should know.
    pub fn notes(&mut self) -> &mut Vec<Note> {
        &mut self.rest.notes
    }

    /// What comes from now on is later than what came three rounds ago.
    pub fn next_round(&mut self) {
        self.online.next_round();
    }

    /// Nothing comes any more: all is due.
    pub fn finish(&mut self) {
        self.online.finish();
    }

    /// Gives the events that are due, oldest first.
    pub fn for_each_due(&mut self, take: impl FnMut(&Event)) {
        self.online.for_each_due(take);
    }

    /// The stacks of the events given so far.
    pub fn stacks(&self) -> &Stacks {
        &self.online.stacks
    }

    /// Chunks that are damaged.
    pub fn damaged_chunks(&self) -> u64 {
        self.online.damaged
    }

    /// Writes all but the events, and what became of them, over the capture that was written
    /// there before: at each moment either is there whole. Returns its length.
    pub fn write(&self, over: &mut Begun, aggregate: &impl Serialize, end: Option<&End>) -> Result<u64> {
        let written = self.write_to(&over.next_path(), aggregate, end);
        let (next, length) = written.map_err(|error| match error {
            Error::Full(_) => Error::Full(over.path().to_owned()),
            error => error,
        })?;
        over.replace_by(next)?;
        Ok(length)
    }

    /// A file is whole or does not stay.
    fn write_to(&self, path: &Path, aggregate: &impl Serialize, end: Option<&End>) -> Result<(Begun, u64)> {
        let mut writer = Writer::create(path, true, self.about())?;
        let begun = writer.begun().map_err(|error| Error::Create(path.to_owned(), error))?;
        match self.fill(&mut writer, aggregate).and_then(|()| writer.close(end)) {
            Ok(length) => Ok((begun, length)),
            Err(error) => {
                begun.remove();
                Err(error)
            }
        }
    }

    fn fill(&self, writer: &mut Writer, aggregate: &impl Serialize) -> Result<()> {
        let Rest { codes, threads, processes, modules, native_places, rss, notes, .. } = &self.rest;
        let mut codes: Vec<_> = codes.values().collect();
        codes.sort_by_key(|code| code.id);
        codes.into_iter().try_for_each(|code| writer.code(code))?;
        threads.iter().try_for_each(|thread| writer.thread(thread))?;
        processes.values().try_for_each(|process| writer.process(process))?;
        modules.values().try_for_each(|module| writer.module(module))?;
        let place = |(&(module, offset), functions): (&(u32, u32), &Vec<NativeFunction>)| NativePlace {
            module,
            offset,
            functions: functions.clone(),
        };
        let places: Vec<NativePlace> = native_places.iter().map(place).collect();
        writer.native_places(&places)?;
        rss.iter().try_for_each(|sample| writer.rss(sample))?;
        notes.iter().try_for_each(|note| writer.note(note))?;
        writer.aggregate(aggregate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Reader;
    use crate::capture::testing::{Records, Scratch, code, metadata};
    use std::fs;

    fn gathered() -> Gathering {
        let mut gathering = Gathering::new(&metadata());
        gathering.code(&code(7, "app"));
        gathering.notes().push(Note { text: "so it was".into(), ..Note::default() });
        gathering
    }

    #[test]
    fn all_but_the_events_is_written() {
        let scratch = Scratch::new();
        let mut begun = scratch.writer().begun().expect("it is there");
        let mut gathering = gathered();
        let records = Records::of(1, 0, 10).malloc(20, 0x10, 8).free(30, 0x10);
        gathering.piece(ChunkSerial(1), 0, records.bytes().to_vec());
        gathering.finish();
        let mut events = 0;
        gathering.for_each_due(|_| events += 1);
        let length = gathering.write(&mut begun, &events, Some(&End::default())).expect("there is room");
        let reader = Reader::open(&scratch.path()).expect("a capture");
        assert_eq!(reader.aggregate(), Some(2));
        assert_eq!((reader.codes().len(), reader.notes().len(), reader.events().count()), (1, 1, 0));
        assert_eq!((length, reader.end()), (scratch.bytes().len() as u64, Some(&End::default())));
    }

    /// Whatever happens while the next one is written: the last one stays.
    #[test]
    fn a_capture_is_replaced_whole() {
        let scratch = Scratch::new();
        let mut begun = scratch.writer().begun().expect("it is there");
        for number in 1..4 {
            gathered().write(&mut begun, &number, None).expect("there is room");
            assert_eq!(Reader::open(&scratch.path()).expect("a capture").aggregate(), Some(number));
        }
        struct Unwritable;
        impl Serialize for Unwritable {
            fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("as if the disk were full"))
            }
        }
        assert!(gathered().write(&mut begun, &Unwritable, None).is_err());
        assert_eq!(Reader::open(&scratch.path()).expect("a capture").aggregate(), Some(3));
        let files = fs::read_dir(scratch.path().parent().expect("a directory")).expect("it is there");
        assert_eq!(files.count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_somebody_else_put_there_stays() {
        let scratch = Scratch::new();
        let mut begun = scratch.writer().begun().expect("it is there");
        fs::remove_file(scratch.path()).expect("it is there");
        gathered().write(&mut begun, &1, None).expect("there is room");
        fs::rename(scratch.path(), scratch.path().with_extension("moved")).expect("it is there");
        fs::write(scratch.path(), "not ours").expect("there is room");
        assert!(gathered().write(&mut begun, &2, None).is_err());
        assert_eq!(scratch.bytes(), b"not ours");
    }
}
