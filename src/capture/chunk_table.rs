//! Which pieces make up which chunk, and which chunks a thread filled, in order.

use std::ops::Range;

use super::index::BlockEntry;
use crate::model::{ChunkSerial, ThreadSerial, Tick};

/// Where a piece of a chunk is.
#[derive(Clone, Copy, Debug)]
pub(super) struct PieceAt {
    /// In the chunk.
    pub offset: u32,
    /// Of its block in the file.
    pub position: u64,
}

/// A chunk whose first piece is there.
#[derive(Clone, Debug)]
pub(super) struct ChunkAt {
    pub thread: ThreadSerial,
    pub serial: ChunkSerial,
    sequence: u32,
    pub first_tick: Tick,
    pieces: Range<usize>,
}

/// All the chunks of a capture.
#[derive(Debug, Default)]
pub(super) struct ChunkTable {
    /// By chunk and offset.
    pieces: Vec<PieceAt>,
    /// By thread, in the thread's order.
    pub chunks: Vec<ChunkAt>,
    /// Chunks without their first piece, of which nothing can be decoded.
    pub headless: u64,
}

impl ChunkTable {
    pub fn new(entries: &[BlockEntry]) -> ChunkTable {
        let mut found: Vec<_> =
            entries.iter().filter_map(|entry| Some((entry.piece?, entry.position))).collect();
        found.sort_by_key(|(piece, _)| (piece.chunk, piece.offset));
        found.dedup_by_key(|(piece, _)| (piece.chunk, piece.offset));
        let mut table = ChunkTable::default();
        for group in found.chunk_by(|(a, _), (b, _)| a.chunk == b.chunk) {
            let (first, _) = group[0];
            if first.offset != 0 {
                table.headless += 1;
                continue;
            }
            let start = table.pieces.len();
            table
                .pieces
                .extend(group.iter().map(|&(piece, position)| PieceAt { offset: piece.offset, position }));
            table.chunks.push(ChunkAt {
                thread: first.thread,
                serial: first.chunk,
                sequence: first.sequence,
                first_tick: first.first_tick,
                pieces: start..table.pieces.len(),
            });
        }
        table.chunks.sort_by_key(|chunk| (chunk.thread, chunk.sequence, chunk.serial));
        table
    }

    /// The pieces of a chunk by offset; the first is at offset 0.
    pub fn pieces(&self, chunk: &ChunkAt) -> &[PieceAt] {
        &self.pieces[chunk.pieces.clone()]
    }

    /// The chunks of each thread, as ranges of `chunks`.
    pub fn threads(&self) -> Vec<Range<usize>> {
        let mut start = 0;
        self.chunks
            .chunk_by(|a, b| a.thread == b.thread)
            .map(|group| {
                let range = start..start + group.len();
                start = range.end;
                range
            })
            .collect()
    }
}
