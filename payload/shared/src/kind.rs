//! The allocator entries that are recorded, by the name under which they are reported.

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
}

impl Kind {
    /// Every kind, in the order of the discriminants.
    pub const ALL: [Kind; 14] = [
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
    ];

    /// The kind with this discriminant.
    pub fn from_tag(tag: u8) -> Option<Kind> {
        Self::ALL.get(usize::from(tag).checked_sub(1)?).copied()
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
        assert_eq!(Kind::from_tag(0), None);
        assert_eq!(Kind::from_tag(15), None);
    }
}
