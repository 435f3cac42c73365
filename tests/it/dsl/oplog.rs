//! What `helper.c` says it did, read from the file it shares with the test.
//!
//! ```text
//!  lane = count:u64, pad to 64, op × 8192        one lane a thread
//!  op   = kind:16 tid:u32 pad:u32 addr old_addr size old_size   (u64 each)
//! ```
//!
//! The file is a shared mapping: what a target did before a SIGKILL is in it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

const LANE_OPS: usize = 8192;
const LANE_HEAD: usize = 64;
const OP_BYTES: usize = 56;
const LANE_BYTES: usize = LANE_HEAD + LANE_OPS * OP_BYTES;

/// One thing the helper did. Fields that a kind does not have are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub kind: String,
    pub tid: u32,
    pub addr: u64,
    pub old_addr: u64,
    pub size: u64,
    pub old_size: u64,
}

/// Everything the helper did, by lane.
pub struct OpLog {
    pub lanes: Vec<Vec<Op>>,
}

impl OpLog {
    /// Reads the log.
    pub fn read(path: &Path) -> OpLog {
        let bytes = std::fs::read(path).expect("the helper's log can be read");
        OpLog { lanes: bytes.chunks_exact(LANE_BYTES).map(lane).collect() }
    }

    /// All ops, by the thread that did them, in its order.
    pub fn by_thread(&self) -> BTreeMap<u32, Vec<Op>> {
        let mut threads: BTreeMap<u32, Vec<Op>> = BTreeMap::new();
        for op in self.lanes.iter().flatten() {
            threads.entry(op.tid).or_default().push(op.clone());
        }
        threads
    }

    /// The sizes that only the helper uses.
    pub fn sizes(&self) -> HashSet<u64> {
        let ops = self.lanes.iter().flatten();
        ops.flat_map(|op| [op.size, op.old_size]).filter(|&size| size != 0).collect()
    }
}

fn lane(bytes: &[u8]) -> Vec<Op> {
    let count = word(bytes, 0) as usize;
    assert!(count <= LANE_OPS, "the helper's log overflowed");
    bytes[LANE_HEAD..].chunks_exact(OP_BYTES).take(count).map(op).collect()
}

fn op(bytes: &[u8]) -> Op {
    let kind = bytes[..16].split(|&byte| byte == 0).next().unwrap_or_default();
    Op {
        kind: String::from_utf8_lossy(kind).into_owned(),
        tid: word(bytes, 16) as u32,
        addr: word(bytes, 24),
        old_addr: word(bytes, 32),
        size: word(bytes, 40),
        old_size: word(bytes, 48),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
