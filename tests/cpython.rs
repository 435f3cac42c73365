//! What `prof::cpython` reads, against every interpreter found on this machine.

#[path = "cpython/finding.rs"]
mod finding;
#[path = "cpython/layouts.rs"]
mod layouts;
#[path = "cpython/live.rs"]
mod live;
#[path = "cpython/tables.rs"]
mod tables;
#[path = "cpython/targets.rs"]
mod targets;
