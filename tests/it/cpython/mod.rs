//! What `prof::cpython` reads, against every interpreter found on this machine.

mod finding;
mod layouts;
mod live;
mod tables;
mod targets;
