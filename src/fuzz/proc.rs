//! What the kernel tells of a process, with names in it that the process chose.

use crate::inspect::{Landmarks, segments};
use prof_injector::process::{Activity, Mapping, Maps, TaskStatus};

/// Takes the bytes for `maps`, `status` and `syscall`.
pub fn proc(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut maps = Maps(text.lines().filter_map(Mapping::parse).collect());
    for mapping in &maps.0 {
        assert!(!mapping.is_empty());
    }
    maps.0.sort_by_key(|mapping| mapping.range.start);
    maps.0.dedup_by(|later, kept| later.range.start < kept.range.end);
    for mapping in &maps.0 {
        assert_eq!(maps.at(mapping.range.start), Some(mapping));
        assert!(!maps.is_free(&mapping.range));
    }
    let landmarks = Landmarks {
        stack_pointers: maps.0.iter().map(|mapping| mapping.range.end - 1).collect(),
        ..Landmarks::default()
    };
    for segment in segments(&maps, &landmarks) {
        assert!(segment.range.start < segment.range.end);
    }
    let _none = (TaskStatus::parse(&text), Activity::parse(&text));
}
