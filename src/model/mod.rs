//! Plain data that the other parts exchange: typed ids, events, stacks, code
//! objects and what is known about a recording. No I/O and no policy.

mod code;
mod event;
mod id;
mod native;
mod recording;
mod stack;

pub use code::CodeObject;
pub use event::{Event, What};
pub use id::{Addr, ChunkSerial, CodeId, ProcessId, StackId, ThreadSerial, Tick, Tid};
pub use native::{NativeFunction, NativeModule, NativePlace};
pub use prof_shared::kind::{Effect, KIND_END, Kind};
pub use recording::{
    Clock, End, EndReason, Entry, Losses, MallocArena, Metadata, Module, Note, NoteKind, ProcessLife,
    Pymalloc, Python, RssSample, ThreadName,
};
pub use stack::{Frame, Stacks};
