//! The small language the tests are written in.
//!
//! ```text
//! let mut target = target("load.py").python("3.12").ready();     a process under test
//! let recording  = prof(&["attach", &target.pid()]).recording(); prof, once it records
//! let capture    = recording.interrupt().capture();              what it wrote
//! target.finish();                                               its own self-check
//! ```

mod capture;
mod control_group;
mod health;
mod helper;
mod interpreter;
mod oplog;
mod prof;
mod program;
mod screen;
mod setuid;
mod snapshot;
mod source;
mod stream;
mod target;
mod wait;

pub use capture::{Capture, Event, Frame};
pub use control_group::ControlGroup;
pub use health::{Health, workload};
pub use helper::{
    arena_library, big_library, c23_library, classes_library, embedding_program, forks_library,
    helper_library, hostile_library, native_library, slow_library,
};
pub(crate) use interpreter::python_tests;
pub use interpreter::{available, home, interpreter, shared_library, skip};
pub use oplog::{Op, OpLog};
pub use prof::{FAILURE, Finished, Prof, REFUSAL, Recording, USAGE, binary, prof};
pub use program::{program, uniquely_named};
pub use screen::Screen;
pub use setuid::{SetuidProgram, shared_dir};
pub use snapshot::Snapshot;
pub use source::Source;
pub use stream::Stream;
pub use target::{Target, signal, target};
pub use wait::{DEADLINE, until, within};
