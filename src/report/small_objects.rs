//! What a reader has to know where Python's small objects were not recorded one by one.

use crate::model::Metadata;

/// How to see them.
pub const REMEDY: &str = "`prof attach --trace-python-allocators` records each of them.";

/// What is recorded of them instead; `None` if each was recorded.
pub fn seen_only_as(metadata: &Metadata) -> Option<&'static str> {
    let allocator = &metadata.python.allocator;
    match metadata.domains {
        false if allocator.starts_with("pymalloc") => {
            Some("Small objects (at most 512 bytes) are seen only as pymalloc's arenas.")
        }
        false if allocator.starts_with("mimalloc") => Some("Objects are seen only as mimalloc's mappings."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Python;

    #[test]
    fn it_is_said_where_it_is_true() {
        for (allocator, domains, is_said) in [
            ("pymalloc", false, true),
            ("pymalloc_debug", false, true),
            ("mimalloc", false, true),
            ("malloc", false, false),
            ("malloc_debug", false, false),
            ("", false, false),
            ("pymalloc", true, false),
            ("mimalloc_debug", true, false),
        ] {
            let python = Python { allocator: allocator.into(), ..Python::default() };
            let metadata = Metadata { python, domains, ..Metadata::default() };
            assert_eq!(seen_only_as(&metadata).is_some(), is_said, "{allocator} {domains}");
        }
    }
}
