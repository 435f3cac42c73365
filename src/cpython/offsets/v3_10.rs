//! Layout of CPython 3.10 (x86_64), written by `scripts/gen_offsets`.

use super::{ArenaLayout, Layout};
use prof_shared::region::{self, PyOffsets};

/// The layout.
pub const LAYOUT: Layout = Layout {
    walk: PyOffsets {
        this_thread_state: 0,
        finalizing: 0,
        code_type: 0,
        frame_code_mask: !0,
        tstate_frame: 24,
        cframe_frame: region::ABSENT,
        frame_code: 32,
        frame_previous: 24,
        frame_ip: 96,
        frame_ip_form: region::ip_form::UNITS,
        frame_owner: region::ABSENT,
        frame_owner_hidden: region::ABSENT,
        code_instructions: region::ABSENT,
        code_name: 112,
        code_qualified_name: region::ABSENT,
        code_file: 104,
        code_first_line: 40,
        code_line_table: 120,
        str_length: 16,
        str_state: 32,
        str_ascii_data: 48,
        str_compact_data: 72,
        bytes_length: 16,
        bytes_data: 32,
    },
    runtime_finalizing: 16,
    runtime_interpreters: 32,
    runtime_allocators: region::ABSENT,
    interpreter_next: 0,
    interpreter_threads: 8,
    thread_next: 8,
    thread_id: 176,
    native_thread_id: region::ABSENT,
    object_type: 8,
    type_dealloc: 48,
    arenas: ArenaLayout {
        interpreter_state: region::ABSENT,
        interpreter_state_debug: region::ABSENT,
        is_pointer: false,
        state_objects: region::ABSENT,
        state_length: region::ABSENT,
        arena_bytes: 1048576,
        pool_bytes: 16384,
    },
    debug: None,
};
