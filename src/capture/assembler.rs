//! Puts the descriptions of code objects together from the records of the stream.
//!
//! A description is one `Code` record and the `CodeBytes` of its texts. They may
//! lie in several chunks, which are drained in any order, and two threads may
//! send the same one. Nothing is believed: lengths and the number of code objects are
//! bounded, what is held for unfinished descriptions is bounded (the oldest give way: a
//! thread that found no room in the ring has left its own for good), and what does not
//! fit together is counted.

use hashbrown::HashSet;
use prof_shared::record::{CodeField, NAME_MAX, Record};
use std::collections::BTreeMap;

use super::format::{MAX_CODES, MAX_TEXT};
use crate::model::{CodeId, CodeObject};

/// The most bytes held for unfinished descriptions.
const MAX_HELD: usize = 64 << 20;
/// What a piece costs besides its text, and a description besides its pieces.
const PIECE_COST: usize = 96;

/// Collects `Code` and `CodeBytes` records into code objects.
#[derive(Debug, Default)]
pub struct CodeAssembler {
    pending: BTreeMap<u32, Pending>,
    done: HashSet<u32>,
    held: usize,
    refused: u64,
}

#[derive(Debug)]
struct Pending {
    head: Option<(u32, [u32; 4])>,
    pieces: BTreeMap<(u8, u32), Piece>,
    received: usize,
    cost: usize,
}

#[derive(Debug)]
struct Piece {
    width: u8,
    bytes: Vec<u8>,
}

/// The parts do not make a description.
struct Misfit;

impl CodeAssembler {
    /// With nothing pending.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record; gives the code object that it completes. Other records are ignored.
    pub fn add(&mut self, record: &Record<'_>) -> Option<CodeObject> {
        let (Record::Code { id, .. } | Record::CodeBytes { id, .. }) = *record else { return None };
        if self.done.contains(&id) {
            return None;
        }
        if self.done.len() >= MAX_CODES {
            self.refused += u64::from(matches!(record, Record::Code { .. }));
            return None;
        }
        match self.put(id, record) {
            Ok(false) => None,
            Ok(true) => self.complete(id),
            Err(Misfit) => self.refuse(id),
        }
    }

    /// Descriptions that were malformed or too large.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Descriptions that are not complete yet.
    pub fn unfinished(&self) -> usize {
        self.pending.len()
    }

    fn put(&mut self, id: u32, record: &Record<'_>) -> Result<bool, Misfit> {
        if id == CodeId::TRUNCATED.0 {
            return Err(Misfit);
        }
        let pending = self.pending.entry(id).or_insert_with(|| {
            self.held += PIECE_COST;
            Pending::new()
        });
        let cost_before = pending.cost;
        match *record {
            Record::Code { first_line, lengths, .. } => pending.head(first_line, lengths)?,
            Record::CodeBytes { field, width, offset, bytes, .. } => {
                pending.piece(field, offset, width, bytes)?;
            }
            _ => {}
        }
        self.held += pending.cost - cost_before;
        let is_complete = pending.head.is_some_and(|(_, lengths)| pending.received >= total(lengths));
        if self.held > MAX_HELD {
            self.refuse_oldest();
        }
        Ok(is_complete)
    }

    fn refuse_oldest(&mut self) {
        if let Some((&oldest, _)) = self.pending.first_key_value() {
            self.refuse(oldest);
        }
    }

    fn complete(&mut self, id: u32) -> Option<CodeObject> {
        let pending = self.take(id)?;
        match pending.assemble(CodeId(id)) {
            Ok(code) => {
                self.done.insert(id);
                Some(code)
            }
            Err(Misfit) => self.refuse(id),
        }
    }

    fn refuse(&mut self, id: u32) -> Option<CodeObject> {
        self.take(id);
        self.done.insert(id);
        self.refused += 1;
        None
    }

    fn take(&mut self, id: u32) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.held -= pending.cost;
        Some(pending)
    }
}

fn total(lengths: [u32; 4]) -> usize {
    lengths.into_iter().map(|length| length as usize).sum()
}

impl Pending {
    fn new() -> Pending {
        Pending { head: None, pieces: BTreeMap::new(), received: 0, cost: PIECE_COST }
    }

    fn head(&mut self, first_line: u32, lengths: [u32; 4]) -> Result<(), Misfit> {
        if lengths.into_iter().any(|length| length as usize > MAX_TEXT) {
            return Err(Misfit);
        }
        self.cost += PIECE_COST;
        self.head = Some((first_line, lengths));
        Ok(())
    }

    fn piece(&mut self, field: u8, offset: u32, width: u8, bytes: &[u8]) -> Result<(), Misfit> {
        if offset as usize + bytes.len() > MAX_TEXT || usize::from(field) >= CodeField::ALL.len() {
            return Err(Misfit);
        }
        if bytes.is_empty() || self.pieces.contains_key(&(field, offset)) {
            return Ok(());
        }
        self.cost += PIECE_COST + bytes.len();
        self.received += bytes.len();
        self.pieces.insert((field, offset), Piece { width, bytes: bytes.to_vec() });
        Ok(())
    }

    fn assemble(&self, id: CodeId) -> Result<CodeObject, Misfit> {
        let (first_line, lengths) = self.head.ok_or(Misfit)?;
        let text = |field: CodeField| self.text(field, lengths[field as usize] as usize);
        Ok(CodeObject {
            id,
            first_line,
            name: decode(text(CodeField::Name)?)?,
            qualified_name: decode(text(CodeField::QualifiedName)?)?,
            file: decode(text(CodeField::File)?)?,
            line_table: text(CodeField::LineTable)?.1,
        })
    }

    /// Width and bytes of one text.
    fn text(&self, field: CodeField, length: usize) -> Result<(u8, Vec<u8>), Misfit> {
        let field = field as u8;
        let mut out = Vec::new();
        let mut width = 1;
        for (&(_, offset), piece) in self.pieces.range((field, 0)..=(field, u32::MAX)) {
            if offset as usize != out.len() || (offset != 0 && piece.width != width) {
                return Err(Misfit);
            }
            width = piece.width;
            out.extend_from_slice(&piece.bytes);
        }
        if out.len() == length { Ok((width, out)) } else { Err(Misfit) }
    }
}

/// Characters of a CPython string, with an ellipsis for those behind [`NAME_MAX`]. A lone
/// surrogate, which UTF-8 cannot carry, becomes the replacement character.
fn decode((width, bytes): (u8, Vec<u8>)) -> Result<String, Misfit> {
    let character = |number: u32| char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
    match width {
        1 => Ok(bounded(bytes.into_iter().map(char::from))),
        2 => Ok(bounded(bytes.as_chunks().0.iter().map(|&unit| character(u16::from_ne_bytes(unit).into())))),
        4 => Ok(bounded(bytes.as_chunks().0.iter().map(|&unit| character(u32::from_ne_bytes(unit))))),
        _ => Err(Misfit),
    }
}

fn bounded(mut characters: impl Iterator<Item = char>) -> String {
    let mut text: String = characters.by_ref().take(NAME_MAX as usize).collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(id: u32, lengths: [u32; 4]) -> Record<'static> {
        Record::Code { id, first_line: 7, lengths }
    }

    fn bytes(id: u32, field: CodeField, offset: u32, bytes: &'static [u8]) -> Record<'static> {
        Record::CodeBytes { id, field: field as u8, width: 1, offset, bytes }
    }

    fn assemble(records: &[Record<'static>]) -> (Vec<CodeObject>, CodeAssembler) {
        let mut assembler = CodeAssembler::new();
        let codes = records.iter().filter_map(|record| assembler.add(record)).collect();
        (codes, assembler)
    }

    #[test]
    fn pieces_come_in_any_order_and_twice() {
        let records = [
            bytes(3, CodeField::LineTable, 2, b"cd"),
            bytes(3, CodeField::Name, 0, b"f\xe9"),
            code(3, [2, 0, 4, 4]),
            bytes(3, CodeField::File, 0, b"a.py"),
            bytes(3, CodeField::Name, 0, b"f\xe9"),
            bytes(3, CodeField::LineTable, 0, b"ab"),
            code(3, [2, 0, 4, 4]),
            bytes(3, CodeField::Name, 0, b"f\xe9"),
        ];
        let (codes, assembler) = assemble(&records);
        let [code] = &codes[..] else { panic!("{codes:?}") };
        assert_eq!(
            (code.name.as_str(), code.file.as_str(), &code.line_table[..]),
            ("fé", "a.py", &b"abcd"[..])
        );
        assert_eq!((code.first_line, assembler.unfinished(), assembler.held), (7, 0, 0));
    }

    #[test]
    fn wide_texts() {
        let wide = |width, bytes| Record::CodeBytes { id: 1, field: 0, width, offset: 0, bytes };
        for (width, text, expected) in [
            (2, &[0x3a, 0x26, 0x00, 0xd8][..], "☺\u{fffd}"),
            (4, &[0x00, 0xf6, 0x01, 0, 0xff, 0xff, 0xff, 0xff][..], "😀\u{fffd}"),
        ] {
            let (codes, _) = assemble(&[code(1, [text.len() as u32, 0, 0, 0]), wide(width, text)]);
            assert_eq!(codes[0].name, expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_counted() {
        for (what, records) in [
            ("a hole", vec![code(1, [4, 0, 0, 0]), bytes(1, CodeField::Name, 1, b"abcd")]),
            (
                "an overlap",
                vec![
                    code(1, [4, 0, 0, 0]),
                    bytes(1, CodeField::Name, 0, b"ab"),
                    bytes(1, CodeField::Name, 1, b"bc"),
                ],
            ),
            ("a huge length", vec![code(1, [u32::MAX, 0, 0, 0])]),
            ("a huge offset", vec![bytes(1, CodeField::Name, u32::MAX, b"a")]),
            ("the id of truncated stacks", vec![code(0, [0; 4])]),
            (
                "an unknown field",
                vec![Record::CodeBytes { id: 1, field: 4, width: 1, offset: 0, bytes: b"a" }],
            ),
            (
                "an unknown width",
                vec![
                    code(1, [3, 0, 0, 0]),
                    Record::CodeBytes { id: 1, field: 0, width: 3, offset: 0, bytes: b"abc" },
                ],
            ),
        ] {
            let (codes, assembler) = assemble(&records);
            assert_eq!((codes.len(), assembler.refused(), assembler.held), (0, 1, 0), "{what}");
        }
    }

    #[test]
    fn long_names_are_cut_and_say_so() {
        let (most, table) = (NAME_MAX as usize, [7; 9000]);
        for (width, sent, shown) in
            [(1, most, most), (1, most + 1, most + 1), (2, 9000, most + 1), (4, 9000, most + 1)]
        {
            let text = b"a\0\0\0"[..width].repeat(sent);
            let lengths = [text.len() as u32, 0, 0, table.len() as u32];
            let (width, mut assembler) = (width as u8, CodeAssembler::new());
            let piece = |field: CodeField, width, bytes| Record::CodeBytes {
                id: 1,
                field: field as u8,
                width,
                offset: 0,
                bytes,
            };
            assembler.add(&code(1, lengths));
            assembler.add(&piece(CodeField::LineTable, 1, &table));
            let code = assembler.add(&piece(CodeField::Name, width, &text)).expect("complete");
            assert_eq!((code.name.chars().count(), code.name.ends_with('…')), (shown, sent > most));
            assert_eq!(code.line_table, table);
        }
    }

    #[test]
    fn many_small_descriptions_are_bounded() {
        let mut assembler = CodeAssembler::new();
        for id in 1..=2_000_000 {
            assembler.add(&bytes(id, CodeField::Name, 0, b""));
        }
        assert!(assembler.held <= MAX_HELD && assembler.unfinished() <= MAX_HELD / PIECE_COST);
        let last = 2_000_000;
        assert!(assembler.add(&code(last, [0; 4])).is_some(), "the newest have their place");
    }

    #[test]
    fn the_number_of_codes_is_bounded() {
        let mut assembler = CodeAssembler::new();
        let given = (1..=MAX_CODES as u32 + 7).filter(|&id| assembler.add(&code(id, [0; 4])).is_some());
        assert_eq!(given.count(), MAX_CODES);
        assert_eq!((assembler.done.len(), assembler.refused()), (MAX_CODES, 7));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut assembler = CodeAssembler::new();
        let text = vec![b'a'; MAX_TEXT];
        for id in 1..=100 {
            assembler.add(&Record::CodeBytes { id, field: 0, width: 1, offset: 0, bytes: &text });
        }
        assert!(assembler.held <= MAX_HELD);
        assert!(assembler.refused() > 30, "{}", assembler.refused());
        assert!(assembler.pending.contains_key(&100), "the oldest give way");
    }
}
