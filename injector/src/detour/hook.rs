//! The payload's hooks: which functions they serve, and where the island puts
//! the entry's address for them.

use iced_x86::Register;
use prof_shared::kind::Kind;

/// A hook of the payload, in the order in which one is chosen for functions
/// that share an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// `malloc(size)`.
    Malloc,
    /// `calloc(count, size)`.
    Calloc,
    /// `realloc(old, size)`.
    Realloc,
    /// `reallocarray(old, count, size)`.
    Reallocarray,
    /// `posix_memalign(out, alignment, size)`.
    PosixMemalign,
    /// `aligned_alloc(alignment, size)`.
    AlignedAlloc,
    /// `memalign(alignment, size)`.
    Memalign,
    /// `valloc(size)`.
    Valloc,
    /// `pvalloc(size)`.
    Pvalloc,
    /// `free(address)`.
    Free,
    /// `free_sized(address, size)`.
    FreeSized,
    /// `free_aligned_sized(address, alignment, size)`.
    FreeAlignedSized,
    /// `mmap` and `mmap64`, six arguments.
    Mmap,
    /// `mremap`, up to five arguments.
    Mremap,
    /// `munmap(address, length)`.
    Munmap,
}

/// The integer argument registers of the System V convention, in order.
const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// The functions that are detoured, and the hook of each.
pub(super) const FUNCTIONS: [(&str, Hook); 16] = [
    ("malloc", Hook::Malloc),
    ("calloc", Hook::Calloc),
    ("realloc", Hook::Realloc),
    ("reallocarray", Hook::Reallocarray),
    ("posix_memalign", Hook::PosixMemalign),
    ("aligned_alloc", Hook::AlignedAlloc),
    ("memalign", Hook::Memalign),
    ("valloc", Hook::Valloc),
    ("pvalloc", Hook::Pvalloc),
    ("free", Hook::Free),
    ("free_sized", Hook::FreeSized),
    ("free_aligned_sized", Hook::FreeAlignedSized),
    ("mmap", Hook::Mmap),
    ("mmap64", Hook::Mmap),
    ("mremap", Hook::Mremap),
    ("munmap", Hook::Munmap),
];

impl Hook {
    /// Every hook, in order.
    pub const ALL: [Hook; 15] = [
        Hook::Malloc,
        Hook::Calloc,
        Hook::Realloc,
        Hook::Reallocarray,
        Hook::PosixMemalign,
        Hook::AlignedAlloc,
        Hook::Memalign,
        Hook::Valloc,
        Hook::Pvalloc,
        Hook::Free,
        Hook::FreeSized,
        Hook::FreeAlignedSized,
        Hook::Mmap,
        Hook::Mremap,
        Hook::Munmap,
    ];

    /// The payload's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Hook::Malloc => "prof_malloc",
            Hook::Calloc => "prof_calloc",
            Hook::Realloc => "prof_realloc",
            Hook::Reallocarray => "prof_reallocarray",
            Hook::PosixMemalign => "prof_posix_memalign",
            Hook::AlignedAlloc => "prof_aligned_alloc",
            Hook::Memalign => "prof_memalign",
            Hook::Valloc => "prof_valloc",
            Hook::Pvalloc => "prof_pvalloc",
            Hook::Free => "prof_free",
            Hook::FreeSized => "prof_free_sized",
            Hook::FreeAlignedSized => "prof_free_aligned_sized",
            Hook::Mmap => "prof_mmap",
            Hook::Mremap => "prof_mremap",
            Hook::Munmap => "prof_munmap",
        }
    }

    /// What its records are.
    pub fn kind(self) -> Kind {
        match self {
            Hook::Malloc => Kind::Malloc,
            Hook::Calloc => Kind::Calloc,
            Hook::Realloc => Kind::Realloc,
            Hook::Reallocarray => Kind::Reallocarray,
            Hook::PosixMemalign => Kind::PosixMemalign,
            Hook::AlignedAlloc => Kind::AlignedAlloc,
            Hook::Memalign => Kind::Memalign,
            Hook::Valloc => Kind::Valloc,
            Hook::Pvalloc => Kind::Pvalloc,
            Hook::Free | Hook::FreeSized | Hook::FreeAlignedSized => Kind::Free,
            Hook::Mmap => Kind::Mmap,
            Hook::Mremap => Kind::Mremap,
            Hook::Munmap => Kind::Munmap,
        }
    }

    /// The registers that carry the function's own arguments.
    pub fn arguments(self) -> &'static [Register] {
        let count = match self {
            Hook::Malloc | Hook::Valloc | Hook::Pvalloc | Hook::Free => 1,
            Hook::Calloc | Hook::Realloc | Hook::AlignedAlloc | Hook::Memalign => 2,
            Hook::FreeSized | Hook::Munmap => 2,
            Hook::Reallocarray | Hook::PosixMemalign | Hook::FreeAlignedSized => 3,
            Hook::Mremap => 5,
            Hook::Mmap => 6,
        };
        &ARGUMENTS[..count]
    }

    /// The register in which the hook finds its entry: the next argument, and
    /// r11 where there is none left.
    pub fn entry_register(self) -> Register {
        ARGUMENTS.get(self.arguments().len()).copied().unwrap_or(Register::R11)
    }

    /// Whether the function does nothing for a null first argument.
    pub(super) fn ignores_null(self) -> bool {
        self.kind() == Kind::Free
    }

    /// Whether the function belongs to the heap, not to the kernel's mappings.
    pub(super) fn is_heap(self) -> bool {
        !matches!(self, Hook::Mmap | Hook::Mremap | Hook::Munmap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_comes_behind_the_arguments() {
        let expected = [
            (Hook::Malloc, Register::RSI),
            (Hook::Calloc, Register::RDX),
            (Hook::Realloc, Register::RDX),
            (Hook::Reallocarray, Register::RCX),
            (Hook::PosixMemalign, Register::RCX),
            (Hook::AlignedAlloc, Register::RDX),
            (Hook::Memalign, Register::RDX),
            (Hook::Valloc, Register::RSI),
            (Hook::Pvalloc, Register::RSI),
            (Hook::Free, Register::RSI),
            (Hook::FreeSized, Register::RDX),
            (Hook::FreeAlignedSized, Register::RCX),
            (Hook::Mmap, Register::R11),
            (Hook::Mremap, Register::R9),
            (Hook::Munmap, Register::RDX),
        ];
        assert_eq!(expected.map(|(hook, _)| hook), Hook::ALL);
        for (hook, register) in expected {
            assert_eq!(hook.entry_register(), register, "{hook:?}");
        }
    }

    #[test]
    fn of_several_names_the_lowest_documented_one_wins() {
        assert!(Hook::AlignedAlloc < Hook::Memalign);
        assert!(Hook::Free < Hook::FreeSized);
        assert!(Hook::ALL.is_sorted());
    }
}
