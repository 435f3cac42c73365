//! What `prof::cpython` reads, against every interpreter found on this machine.

#[path = "cpython/live.rs"]
mod live;
#[path = "cpython/targets.rs"]
mod targets;
