//! A capture, read back through `prof parse --json` and `prof stats --json`.

use super::{Op, OpLog, prof};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Kinds that are memory events; every other object is a record of its own.
fn is_event(kind: &str) -> bool {
    let is_python = kind.starts_with("PyMem_") || kind.starts_with("PyObject_");
    let is_mapping = matches!(kind, "mmap" | "thread_stack" | "pymalloc_arena" | "mremap" | "munmap");
    let is_block = matches!(
        kind,
        "malloc"
            | "calloc"
            | "realloc"
            | "reallocarray"
            | "posix_memalign"
            | "aligned_alloc"
            | "memalign"
            | "valloc"
            | "pvalloc"
            | "free"
    );
    is_python || is_mapping || is_block
}

/// What a capture holds.
pub struct Capture {
    pub path: PathBuf,
    /// The memory events, in the order of time.
    pub events: Vec<Event>,
    /// Every other record: `code`, `thread`, `rss`, `note` …
    pub others: Vec<Value>,
    /// `prof stats --json`.
    pub stats: Value,
}

/// One memory event. Fields that a kind does not have are 0 or empty.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Event {
    pub kind: String,
    pub t_ns: u64,
    pub tid: u32,
    /// Counts threads; never used again, as tids are.
    pub thread: u32,
    #[serde(default, deserialize_with = "address")]
    pub addr: u64,
    #[serde(default, deserialize_with = "address")]
    pub old_addr: u64,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub old_size: u64,
    /// How many blocks a sample stands for.
    pub weight: Option<f64>,
    /// Leaf first.
    #[serde(default)]
    pub stack: Vec<Frame>,
}

/// One Python frame: `["function", "file.py", 7]`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(pub String, pub String, pub u32);

impl Capture {
    /// Reads a capture; panics if `prof parse` does not like it.
    #[track_caller]
    pub fn read(path: &Path) -> Capture {
        let output = prof(&["parse", "--json"]).arg(path).run().success();
        Capture { stats: Capture::stats_of(path), ..Capture::parse(path, &output.stdout) }
    }

    /// The figures alone: of millions of events they are there sooner than the events.
    #[track_caller]
    pub fn stats_of(path: &Path) -> Value {
        let stats = prof(&["stats", "--json"]).arg(path).run().success();
        serde_json::from_str(&stats.stdout).expect("stats prints one JSON object")
    }

    /// Takes in what `prof parse --json` printed; without the figures.
    pub fn parse(path: &Path, text: &str) -> Capture {
        let (path, events, others) = (path.to_owned(), Vec::new(), Vec::new());
        let mut capture = Capture { path, events, others, stats: Value::Null };
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).expect("every line is one JSON object");
            if is_event(value["kind"].as_str().expect("every record has a kind")) {
                capture.events.push(serde_json::from_value(value).expect("an event as documented"));
            } else {
                capture.others.push(value);
            }
        }
        capture
    }

    /// Panics if anything was lost, cut or unmatched.
    #[track_caller]
    pub fn is_complete(&self) {
        let stats = &self.stats;
        assert_eq!(stats["lost_events"], 0, "events were lost: {stats:#}");
        assert!(stats["gaps"].as_array().is_some_and(Vec::is_empty), "{stats:#}");
    }

    /// The events that `log` speaks of: allocations of sizes that nobody else
    /// uses, and what happens to those blocks and mappings afterwards.
    pub fn of(&self, log: &OpLog) -> Vec<&Event> {
        let sizes = log.sizes();
        // Of each address: whether the latest block there was ours. A free does not
        // change that, so that a second one is seen.
        let mut blocks: HashMap<u64, bool> = HashMap::new();
        let ours = |event: &&Event| match event.kind.as_str() {
            kind if kind == "free" || kind.ends_with("Free") => blocks.get(&event.addr) == Some(&true),
            _ if event.is_mapping() => sizes.contains(&event.size),
            _ => {
                let was_ours = blocks.get(&event.old_addr) == Some(&true);
                let is_ours = was_ours || sizes.contains(&event.size);
                blocks.insert(event.addr, is_ours);
                is_ours
            }
        };
        self.events.iter().filter(ours).collect()
    }

    /// Panics unless the capture holds exactly what the helper says it did:
    /// count, size, kind, addresses, order and thread.
    #[track_caller]
    pub fn holds_exactly(&self, log: &OpLog) {
        let mut recorded: BTreeMap<u32, Vec<Op>> = BTreeMap::new();
        for event in self.of(log) {
            recorded.entry(event.tid).or_default().push(event.op());
        }
        let done = log.by_thread();
        assert_eq!(recorded.keys().collect::<Vec<_>>(), done.keys().collect::<Vec<_>>(), "threads differ");
        for (tid, done) in done {
            let recorded = &recorded[&tid];
            let differ = (0..done.len().max(recorded.len())).find(|&at| done.get(at) != recorded.get(at));
            if let Some(at) = differ {
                let (done, recorded) = (done.get(at), recorded.get(at));
                panic!("thread {tid}, event {at}:\n  done     {done:?}\n  recorded {recorded:?}");
            }
        }
    }

    /// Panics unless, in the order of time, no block is allocated on top of a
    /// live one and none is freed twice, among the events of `log`.
    #[track_caller]
    pub fn pairs_up(&self, log: &OpLog) {
        let mut live = HashSet::new();
        let mut previous_ns = 0;
        for event in self.of(log).into_iter().filter(|event| !event.is_mapping()) {
            assert!(event.t_ns >= previous_ns, "time runs backwards at {event:?}");
            previous_ns = event.t_ns;
            if event.old_addr != 0 {
                assert!(live.remove(&event.old_addr), "not live: {event:?}");
            }
            match event.kind.as_str() {
                "free" => assert!(live.remove(&event.addr), "not live: {event:?}"),
                _ => assert!(live.insert(event.addr), "on top of a live block: {event:?}"),
            }
        }
        assert!(live.is_empty(), "the helper frees everything, yet live: {live:x?}");
    }

    /// The records of a kind that is no event.
    pub fn records(&self, kind: &str) -> Vec<&Value> {
        self.others.iter().filter(|record| record["kind"] == kind).collect()
    }

    /// The only allocation of this size.
    #[track_caller]
    pub fn one(&self, size: u64) -> &Event {
        let allocates = |event: &&Event| event.size == size && event.kind != "munmap";
        let found: Vec<_> = self.events.iter().filter(allocates).collect();
        let [event] = found[..] else { panic!("{} allocations of {size} bytes: {found:?}", found.len()) };
        event
    }
}

impl Event {
    fn op(&self) -> Op {
        let Event { kind, tid, addr, old_addr, size, old_size, .. } = self.clone();
        Op { kind, tid, addr, old_addr, size, old_size }
    }

    fn is_mapping(&self) -> bool {
        matches!(self.kind.as_str(), "mmap" | "munmap" | "mremap" | "thread_stack" | "pymalloc_arena")
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix("0x").ok_or_else(|| serde::de::Error::custom("an address without 0x"))?;
    u64::from_str_radix(digits, 16).map_err(serde::de::Error::custom)
}
