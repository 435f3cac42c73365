//! Layout of CPython 3.12 (x86_64), written by `scripts/gen_offsets`.

use super::{ArenaLayout, Layout};
use prof_shared::region::{self, PyOffsets};

/// The layout.
pub const LAYOUT: Layout = Layout {
    walk: PyOffsets {
        this_thread_state: 0,
        finalizing: 0,
        code_type: 0,
        frame_code_mask: !0,
        tstate_frame: 56,
        cframe_frame: 0,
        frame_code: 0,
        frame_previous: 8,
        frame_ip: 56,
        frame_ip_form: region::ip_form::POINTER,
        frame_owner: 70,
        frame_owner_hidden: 3,
        code_instructions: 192,
        code_name: 120,
        code_qualified_name: 128,
        code_file: 112,
        code_first_line: 68,
        code_line_table: 136,
        str_length: 16,
        str_state: 32,
        str_ascii_data: 40,
        str_compact_data: 56,
        bytes_length: 16,
        bytes_data: 32,
    },
    runtime_finalizing: 24,
    runtime_interpreters: 40,
    runtime_allocators: 96,
    interpreter_next: 0,
    interpreter_threads: 72,
    thread_next: 8,
    thread_id: 136,
    native_thread_id: 144,
    object_type: 8,
    type_dealloc: 48,
    arenas: ArenaLayout {
        interpreter_state: 3960,
        interpreter_state_debug: 3960,
        is_pointer: false,
        state_objects: 512,
        state_length: 520,
        arena_bytes: 1048576,
        pool_bytes: 16384,
    },
    debug: None,
};
