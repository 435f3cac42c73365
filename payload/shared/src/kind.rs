//! The allocator functions that are recorded, by the name under which they are reported.

/// What a hooked function does to memory. The discriminant is the record's tag.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `malloc(size)`.
    Malloc = 1,
    /// `calloc(count, size)`.
    Calloc = 2,
    /// `realloc(old, size)`.
    Realloc = 3,
    /// `reallocarray(old, count, size)`.
    Reallocarray = 4,
    /// `posix_memalign(out, alignment, size)`.
    PosixMemalign = 5,
    /// `aligned_alloc(alignment, size)`; glibc's `memalign` is the same address.
    AlignedAlloc = 6,
    /// `memalign(alignment, size)` where it is a function of its own.
    Memalign = 7,
    /// `valloc(size)`.
    Valloc = 8,
    /// `pvalloc(size)`.
    Pvalloc = 9,
    /// `free(address)`, `free_sized`, `free_aligned_sized`.
    Free = 10,
    /// `mmap` and `mmap64`.
    Mmap = 11,
    /// An `mmap` with `MAP_STACK`: glibc's thread stacks go through it too.
    ThreadStack = 12,
    /// `mremap`.
    Mremap = 13,
    /// `munmap`.
    Munmap = 14,
    /// An `mmap` by CPython's small-object allocator, for an arena.
    PymallocArena = 15,
    /// CPython's raw domain.
    RawMalloc = 16,
    /// 〃
    RawCalloc = 17,
    /// 〃
    RawRealloc = 18,
    /// 〃
    RawFree = 19,
    /// CPython's mem domain.
    MemMalloc = 20,
    /// 〃
    MemCalloc = 21,
    /// 〃
    MemRealloc = 22,
    /// 〃
    MemFree = 23,
    /// CPython's object domain.
    ObjectMalloc = 28,
    /// 〃
    ObjectCalloc = 29,
    /// 〃
    ObjectRealloc = 30,
    /// 〃
    ObjectFree = 31,
}

/// What a call of a [`Kind`] does to blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Makes a block or a mapping.
    Allocates,
    /// Ends a block and makes another.
    Reallocates,
    /// Gives a block back.
    Frees,
    /// `mremap`.
    Remaps,
    /// `munmap`.
    Unmaps,
}

/// One more than the largest discriminant.
pub const KIND_END: usize = 32;

impl Kind {
    /// Every kind, in the order of the discriminants. 24 to 27 are the tags of other records.
    pub const ALL: [Kind; 27] = [
        Kind::Malloc,
        Kind::Calloc,
        Kind::Realloc,
        Kind::Reallocarray,
        Kind::PosixMemalign,
        Kind::AlignedAlloc,
        Kind::Memalign,
        Kind::Valloc,
        Kind::Pvalloc,
        Kind::Free,
        Kind::Mmap,
        Kind::ThreadStack,
        Kind::Mremap,
        Kind::Munmap,
        Kind::PymallocArena,
        Kind::RawMalloc,
        Kind::RawCalloc,
        Kind::RawRealloc,
        Kind::RawFree,
        Kind::MemMalloc,
        Kind::MemCalloc,
        Kind::MemRealloc,
        Kind::MemFree,
        Kind::ObjectMalloc,
        Kind::ObjectCalloc,
        Kind::ObjectRealloc,
        Kind::ObjectFree,
    ];

    /// The kind with this discriminant.
    pub fn from_tag(tag: u8) -> Option<Kind> {
        const BY_TAG: [Option<Kind>; KIND_END] = {
            let mut kinds = [None; KIND_END];
            let mut index = 0;
            while index < Kind::ALL.len() {
                kinds[Kind::ALL[index] as usize] = Some(Kind::ALL[index]);
                index += 1;
            }
            kinds
        };
        BY_TAG.get(usize::from(tag)).copied().flatten()
    }

    /// What a call does.
    pub fn effect(self) -> Effect {
        match self {
            Kind::Realloc | Kind::Reallocarray => Effect::Reallocates,
            Kind::RawRealloc | Kind::MemRealloc | Kind::ObjectRealloc => Effect::Reallocates,
            Kind::Free | Kind::RawFree | Kind::MemFree | Kind::ObjectFree => Effect::Frees,
            Kind::Mremap => Effect::Remaps,
            Kind::Munmap => Effect::Unmaps,
            _ => Effect::Allocates,
        }
    }

    /// Whether what it makes is a mapping, which may end in parts, and not a block.
    pub fn is_mapping(self) -> bool {
        matches!(self, Kind::Mmap | Kind::ThreadStack | Kind::PymallocArena | Kind::Mremap)
    }

    /// The name used in every output.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Malloc => "malloc",
            Kind::Calloc => "calloc",
            Kind::Realloc => "realloc",
            Kind::Reallocarray => "reallocarray",
            Kind::PosixMemalign => "posix_memalign",
            Kind::AlignedAlloc => "aligned_alloc",
            Kind::Memalign => "memalign",
            Kind::Valloc => "valloc",
            Kind::Pvalloc => "pvalloc",
            Kind::Free => "free",
            Kind::Mmap => "mmap",
            Kind::ThreadStack => "thread_stack",
            Kind::Mremap => "mremap",
            Kind::Munmap => "munmap",
            Kind::PymallocArena => "pymalloc_arena",
            Kind::RawMalloc => "PyMem_RawMalloc",
            Kind::RawCalloc => "PyMem_RawCalloc",
            Kind::RawRealloc => "PyMem_RawRealloc",
            Kind::RawFree => "PyMem_RawFree",
            Kind::MemMalloc => "PyMem_Malloc",
            Kind::MemCalloc => "PyMem_Calloc",
            Kind::MemRealloc => "PyMem_Realloc",
            Kind::MemFree => "PyMem_Free",
            Kind::ObjectMalloc => "PyObject_Malloc",
            Kind::ObjectCalloc => "PyObject_Calloc",
            Kind::ObjectRealloc => "PyObject_Realloc",
            Kind::ObjectFree => "PyObject_Free",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_discriminants() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_tag(kind as u8), Some(kind));
        }
        for tag in [0, 24, 25, 26, 27, 32, 255] {
            assert_eq!(Kind::from_tag(tag), None);
        }
    }
}
